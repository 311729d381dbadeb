"""One run from its lock to its record, with all its tries: the same sequence wherever it happens."""

from __future__ import annotations

from pathlib import Path

from cvbench.events import Event
from cvbench.executors.base import Job, OnEvent, StoppedError, Work, failed, is_due
from cvbench.executors.retrying import run_with_retries
from cvbench.failure import Failure
from cvbench.store import Store


def settle(job: Job, work: Work, tell: OnEvent) -> Event:
    """Does one run, again where `Machine.retries` says so. Returns how it ended.

    Events on the way go to `tell`. Raises StoppedError if `work` does, and then notes nothing.
    """
    run, store = job.run, Store(job.store)
    tries = 0

    def begin(anew: bool) -> Path:
        nonlocal tries
        tries += 1
        first = tries == 1 and not job.begun
        working = store.begin(run, anew=anew or (first and job.rerun == "all"))
        if tries == 1:
            tell(Event("start", run))
        return working

    try:
        with store.lock(run):
            try:
                completed = store.complete(run)
                rerun = "missing" if completed and job.begun else job.rerun
                # Another suite on the same store may have done it while this one waited for the lock.
                if rerun != "all" and not is_due(run, store, job.revision, rerun):
                    return Event("skipped", run)
                failure = run_with_retries(work, run, job.machine, begin, tell)
                if failure is None:
                    store.finish(run)
                    return Event("done", run, fraction=1.0)
            except StoppedError:
                raise
            except Exception as error:  # a run that fails, whatever the reason, must not end the suite
                failure = Failure.of(run, error)
            return failed(store, run, failure, locked=True)
    except StoppedError:
        raise
    except Exception as error:  # no lock: a full disk, a read-only store, a file in the folder's place
        return failed(store, run, Failure.of(run, error))

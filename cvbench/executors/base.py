"""What all executors share: the protocol, which runs are due, what came of them, and how a failure is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from cvbench.events import Event
from cvbench.failure import Failure
from cvbench.machine import Machine
from cvbench.spec import RunSpec
from cvbench.store import State, Store

OnEvent = Callable[[Event], None]
Rerun = Literal["missing", "failed", "all"]

# Does one run on a machine, in the folder given, and returns why it failed or None. It may raise instead.
Work = Callable[[RunSpec, Machine, Path, OnEvent], Failure | None]

# `missing` is whatever has no valid record, failures included: the next `cvbench run` does what is left to do.
_RERUN: dict[str, frozenset[State]] = {
    "missing": frozenset({"missing", "failed", "outdated", "stale"}),
    "failed": frozenset({"failed"}),
    "all": frozenset({"missing", "failed", "outdated", "stale", "done"}),
}


@dataclass
class Outcomes:
    """What came of the runs of a suite.

    skipped: the store had them, or `rerun` left them out; submitted: left to a cluster, which has not said yet.
    """

    done: list[RunSpec] = field(default_factory=list)
    skipped: list[RunSpec] = field(default_factory=list)
    failed: list[tuple[RunSpec, Failure]] = field(default_factory=list)
    submitted: list[RunSpec] = field(default_factory=list)

    def note(self, event: Event) -> None:
        """Takes an event into account that ends a run; others say nothing of outcomes."""
        if event.kind == "failed":
            assert event.failure is not None
            self.failed.append((event.run, event.failure))
        ends = {"done": self.done, "skipped": self.skipped, "submitted": self.submitted}
        if event.kind in ends:
            ends[event.kind].append(event.run)

    def add(self, others: Outcomes) -> None:
        """Takes those of runs that followed into account."""
        for name in (one.name for one in fields(self)):
            getattr(self, name).extend(getattr(others, name))


@dataclass(frozen=True)
class Job:
    """One run and all that whoever does it must know, on this machine or another that sees the same disk.

    store: its root; machine: with threads filled in and absolute paths; revision: of the data when the suite began.
    begun: this suite has begun it already, and its cluster begins it again: it goes on, whatever `rerun` is.
    """

    run: RunSpec
    store: Path
    machine: Machine
    rerun: Rerun
    revision: str | None
    begun: bool = False


class Executor(Protocol):
    """Who runs the runs. Used once, for one suite."""

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[Event | None]:
        """Submits the jobs and yields what happens, in the calling thread, until each has ended.

        Each job gets exactly one of the events `done`, `failed`, `skipped` (or `submitted`, where it is left alone).
        None is yielded now and then while nothing happens, so that Ctrl-C is seen.
        """
        ...

    def close(self) -> None:
        """Ends whatever still runs, and lets go of what `outcomes` took. Always called, whatever went before."""
        ...


class StoppedError(Exception):
    """Somebody ended the suite while this run was going: that is no failure of the run."""


def is_due(run: RunSpec, store: Store, revision: str | None, rerun: Rerun) -> bool:
    """Whether `rerun` asks for this run as it stands in the store."""
    return store.state(run, revision) in _RERUN[rerun]


def unique(runs: Sequence[RunSpec]) -> list[RunSpec]:
    """The runs without repeats: two benchmarks of a suite may ask for the same one."""
    return list({run.run_id: run for run in runs}.values())


def failed(store: Store, run: RunSpec, failure: Failure, *, locked: bool = False) -> Event:
    """Notes in the store why a run failed, and returns the event that says so.

    Whoever has the run's lock says so with `locked`. Without it nothing is noted: another suite may be at the run since
    a lost job's lock came free, and what cannot be locked is not ours to write to. A job that was lost when all its
    work was done is done.
    """
    with contextlib.suppress(OSError, ValueError):  # a full disk or a read-only store may be the reason itself
        if locked:
            store.fail(run, failure)
        else:
            with store.lock(run, wait=False):
                if store.complete(run):
                    return Event("done", run, fraction=1.0)
                store.fail(run, failure)
    return Event("failed", run, message=f"{failure.kind}: {failure.message}", failure=failure)


def killed(run: RunSpec, code: int | None, tail: str = "") -> Failure:
    """A process that ended without a word: out of memory, a signal, a crash in native code."""
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    hint = "; signal 9 is most often the system's out-of-memory killer" if code == -9 else ""
    return lost(run, f"the process of this run ended with {how}{hint}", tail)


def lost(run: RunSpec, message: str, tail: str = "") -> Failure:
    """A run whose process is gone, and why as far as anybody knows."""
    return Failure(run_id=run.run_id, kind="killed", message=message, traceback=tail, failed_at=datetime.now(UTC))

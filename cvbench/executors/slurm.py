"""Runs a suite through SLURM: one job a run, written and submitted by submitit, which may go back into the queue."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cvbench.events import Event
from cvbench.executors.base import Job, failed, lost
from cvbench.executors.remote import perform
from cvbench.executors.streams import redacting
from cvbench.machine import Machine
from cvbench.placement import Placement
from cvbench.queued import JOBS, note, queued
from cvbench.store import Store
from cvbench.telling import heard, said

# SLURM's usual MaxArraySize is 1001.
MOST_IN_ARRAY = 1000
# How often jobs are looked at, and how often SLURM's accounts are asked what became of them.
LOOK_SECONDS, ASK_SECONDS = 1.0, 60.0
# Before the time limit, or before a preempted job is killed: what it takes to go back into the queue.
SIGNAL_SECONDS = 60


class SlurmExecutor:
    """Submits all jobs at once, in arrays, and waits for them; detached, it leaves them to the queue.

    Job scripts, logs and what submitit passes between processes lie in `<store>/slurm`, for this user's eyes only.
    """

    def __init__(self, machine: Machine, place: Placement, *, detach: bool = False) -> None:
        self.machine, self.place, self.detach = machine, place, detach
        self.pending: list[_Submitted] = []

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[Event | None]:
        queue = self.queue(jobs[0].store / JOBS)
        on_slurm = self.machine.slurm.cluster == "slurm"
        # Whoever waits for the results submits again: such a job waits for the first one's lock and finds the run done.
        going = queued(Store(jobs[0].store), [job.run for job in jobs]) if self.detach else {}
        for job in jobs:
            if job.run.run_id in going:
                yield Event("submitted", job.run, message=f"queued already as job {going[job.run.run_id]}")
        waiting = iter([job for job in jobs if job.run.run_id not in going])
        # A queue takes them all; this machine, where jobs are tried, as many as may run at once.
        while batch := list(itertools.islice(waiting, MOST_IN_ARRAY if on_slurm else self.place.jobs or 1)):
            array = yield from self._submit(queue, batch)
            if not on_slurm:
                yield from self._wait()
            elif self.place.jobs:  # a limit that SLURM keeps within an array: the next one waits for this one
                queue.update_parameters(slurm_additional_parameters={"dependency": f"afterany:{array}"})
        yield from self._wait()

    def close(self) -> None:
        if self.pending and self.machine.slurm.cluster == "slurm":
            arrays = sorted({_array(one.handle) for one in self.pending})
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # SLURM does not answer
                subprocess.run(["scancel", *arrays], check=False, timeout=60)
            return
        for one in self.pending:
            one.handle.cancel()

    def queue(self, folder: Path) -> Any:
        """submitit's executor, with what each run asks of SLURM. Raises ValueError where either is not there."""
        submitit, slurm = _submitit(), self.machine.slurm
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)  # also one that was there
        try:
            queue = submitit.AutoExecutor(
                folder=folder / "%j", cluster=slurm.cluster, slurm_max_num_timeout=slurm.requeues
            )
        except RuntimeError as error:
            remedy = "`slurm: {cluster: local}` in machine.yaml tries the jobs on this machine"
            raise ValueError(f"executor slurm: {error} {remedy}") from error
        gres = slurm.gres or (f"gpu:{self.place.gpus}" if self.place.gpus else None)
        queue.update_parameters(
            name="cvbench",
            timeout_min=slurm.time,
            nodes=1,
            tasks_per_node=1,
            cpus_per_task=self.place.cpus,
            slurm_gres=gres,
            slurm_partition=slurm.partition,
            slurm_account=slurm.account,
            slurm_qos=slurm.qos,
            slurm_constraint=slurm.constraint,
            slurm_mem=f"{slurm.memory >> 20}M" if slurm.memory else None,
            slurm_array_parallelism=self.place.jobs or MOST_IN_ARRAY,
            slurm_signal_delay_s=SIGNAL_SECONDS,
            slurm_wckey="cvbench",
        )
        return queue

    def _submit(self, queue: Any, jobs: Sequence[Job]) -> Generator[Event, None, str]:
        """Returns SLURM's number of the array."""
        try:
            with queue.batch():  # one array, not a thousand calls of sbatch
                handles = [queue.submit(Requeued(job, tuple(sys.path))) for job in jobs]
        except (_submitit().core.utils.FailedJobError, OSError) as error:
            raise ValueError(f"executor slurm: the jobs could not be submitted: {str(error).strip()}") from error
        for job, handle in zip(jobs, handles, strict=True):
            note(Store(job.store), job.run, self.machine.slurm.cluster, handle.job_id)
            if self.detach:
                yield Event("submitted", job.run, message=f"job {handle.job_id}, its log {handle.paths.stderr}")
            else:
                self.pending.append(_Submitted(job, handle))
        return _array(handles[0])

    def _wait(self) -> Iterator[Event | None]:
        asked = time.monotonic()
        while self.pending:
            # A job that ended in order leaves its result; of others only SLURM knows, and answers for all at once.
            ask = time.monotonic() - asked > ASK_SECONDS
            asked = time.monotonic() if ask else asked
            for at, one in enumerate(list(self.pending)):
                over = one.handle.done(force_check=ask and at == 0)
                yield from one.told()
                if over:
                    yield one.ended()
                    self.pending.remove(one)
            yield None
            time.sleep(LOOK_SECONDS)


@dataclass
class Requeued:
    """What a job calls. `checkpoint` is submitit's word: asked before the job is killed, it says how to go on."""

    job: Job
    path: tuple[str, ...]

    def __call__(self) -> Event:
        with redacting(1, 2):
            return perform(self.job, self.path, _say)

    def checkpoint(self) -> Any:
        return _submitit().helpers.DelayedSubmission(replace(self, job=replace(self.job, begun=True)))


def _say(event: Event) -> None:
    """Progress is worth less than the run: where it cannot be written, on a full disk, the run goes on."""
    with contextlib.suppress(OSError):
        print(said(event), flush=True)


@dataclass
class _Submitted:
    """A job in the queue, as seen from here. read: bytes of its output that are heard already."""

    job: Job
    handle: Any
    read: int = field(default=0)

    def told(self) -> Iterator[Event]:
        """The events that the job's output tells of since the last call."""
        with contextlib.suppress(FileNotFoundError), self.handle.paths.stdout.open("rb") as output:
            output.seek(self.read)
            whole, newline, _ = output.read().rpartition(b"\n")
            self.read += len(whole) + len(newline)
            for line in whole.decode(errors="replace").splitlines():
                if (event := heard(line, self.job.run)) is not None:
                    yield event

    def ended(self) -> Event:
        """How the run ended, from what its job returned, or from what SLURM says became of it."""
        try:
            event: Event = self.handle.result()
        except Exception as error:  # killed, out of time or of memory, cancelled by somebody: SLURM's words are in it
            text = str(error).strip()
            state, log = self.handle.state, self.handle.paths.stderr
            message = f"SLURM's job {self.handle.job_id} ended without a word ({state}); see {log}"
            return failed(Store(self.job.store), self.job.run, lost(self.job.run, message, text))
        return event


def _array(handle: Any) -> str:
    number: str = handle.job_id.partition("_")[0]
    return number


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise ValueError("executor slurm: Expected submitit to be installed: pip install 'cvbench[slurm]'") from error
    return submitit

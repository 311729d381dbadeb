"""Runs a suite on this machine: `jobs` runs at once, each in a process that lives for the whole suite."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from cvbench.events import Event
from cvbench.executors.base import Job, OnEvent, StoppedError
from cvbench.executors.distributed import Distributed
from cvbench.executors.meeting import LostError, Meeting
from cvbench.executors.settle import settle
from cvbench.executors.worker import Worker
from cvbench.failure import Failure
from cvbench.machine import Machine
from cvbench.placement import Placement
from cvbench.spec import RunSpec

Told = queue.SimpleQueue[Event | LostError | None]


class LocalExecutor:
    """Slots of this machine, each with GPUs of its own; a run goes to the slot that is free first.

    meeting: where this process is the first of several posts; then there is one slot, which calls the others.
    """

    def __init__(self, machine: Machine, place: Placement, meeting: Meeting | None = None) -> None:
        self.machine, self.place, self.meeting = machine, place, meeting
        self.slots: list[_Slot] = []

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[Event | None]:
        due, told = queue.SimpleQueue[Job](), Told()
        for job in jobs:
            due.put(job)
        self.slots = [_Slot(due, self._process(gpus)) for gpus in self.place.slots[: len(jobs)]]
        for slot in self.slots:
            slot.start(told)
        left = len(self.slots)
        while left:
            try:
                event = told.get(timeout=1.0)  # a time limit lets Ctrl-C through on every platform
            except queue.Empty:
                yield None
                continue
            if isinstance(event, LostError):
                raise event
            if event is None:
                left -= 1
            else:
                yield event

    def _process(self, gpus: tuple[str, ...]) -> Worker | Distributed:
        environment = _environment(self.place.threads, gpus)
        return Distributed(environment, self.meeting) if self.machine.world > 1 else Worker(environment)

    def close(self) -> None:
        with contextlib.ExitStack() as stack:  # each is stopped, whatever becomes of the others
            for slot in self.slots:
                stack.callback(slot.stop)


def _environment(threads: int, gpus: tuple[str, ...]) -> dict[str, str]:
    """Of the processes of one slot. Both are read once: by OpenMP when it is loaded, by CUDA when it is first asked."""
    return {"OMP_NUM_THREADS": str(threads)} | ({"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {})


class _Slot:
    """One place where runs go one after the other: a thread here that waits for a process there."""

    def __init__(self, due: queue.SimpleQueue[Job], process: Worker | Distributed) -> None:
        self.due, self.process = due, process
        self.stopped = False

    def start(self, told: Told) -> None:
        threading.Thread(target=self._serve, args=(told,), daemon=True).start()

    def stop(self) -> None:
        self.stopped = True
        self.process.stop()

    def _serve(self, told: Told) -> None:
        try:
            while not self.stopped:
                told.put(settle(self.due.get_nowait(), self._work, told.put))
        except LostError as error:
            told.put(error)
        except (queue.Empty, StoppedError):
            pass
        finally:
            told.put(None)

    def _work(self, run: RunSpec, machine: Machine, folder: Path, tell: OnEvent) -> Failure | None:
        if self.stopped:  # between two tries
            raise StoppedError
        try:
            failure = self.process.run(run, machine, folder, tell)
        except Exception:
            if self.stopped:  # and what was raised came of that
                raise StoppedError from None
            raise
        if self.stopped:
            raise StoppedError
        return failure

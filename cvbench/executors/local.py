"""Runs a suite on this machine: `jobs` runs at once, each in a process that lives for the whole suite."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from cvbench.events import Event
from cvbench.executors.base import Outcomes, Rerun, is_due, unique
from cvbench.executors.distributed import Distributed
from cvbench.executors.worker import Worker
from cvbench.machine import Machine
from cvbench.spec import RunSpec
from cvbench.store import Failure, Store, revisions

OnEvent = Callable[[Event], None]


def resources(machine: Machine, runs: int) -> tuple[int, int]:
    """(jobs, threads): runs at once, and threads of each process; the same for the same suite and machine.

    Threads change the last bits of sums, so they follow from the whole plan (`runs`: its size) and not from what is
    left of it or was chosen from it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    on_cpu = machine.accelerator == "cpu" or (machine.accelerator == "auto" and not _has_gpu())
    jobs = machine.jobs or (max(1, min(cores // machine.devices, 8, runs)) if on_cpu else 1)
    return jobs, machine.threads or max(1, cores // (jobs * machine.devices))


def _has_gpu() -> bool:
    # Asked of the driver's device files, because asking torch would import it into the process that only waits.
    return sys.platform == "darwin" or any(os.path.exists(path) for path in ("/dev/nvidia0", "/dev/kfd"))


def execute(
    runs: Sequence[RunSpec],
    store: Store | Path | str = "runs",
    machine: Machine | None = None,
    *,
    rerun: Rerun = "missing",
    on_event: OnEvent | None = None,
    planned: int | None = None,
) -> Outcomes:
    """Does what `rerun` asks for and the store lacks. A run that fails costs itself only.

    on_event is called in the calling thread. KeyboardInterrupt ends the workers and passes on; what is done is kept.
    planned: runs of the whole plan, where `runs` are only some of them. Raises ValueError for what no run could do, a
    store that cannot be written included.
    """
    tell = on_event or (lambda event: None)
    store = store if isinstance(store, Store) else Store(store)
    machine = machine or Machine()
    wanted = unique(runs)
    for run in wanted:
        machine.batch_per_device(run.recipe.batch_size)  # a mistake that all processes would only repeat
    jobs, threads = resources(machine, planned or len(wanted))
    machine = machine.model_copy(update={"threads": threads, "jobs": jobs})
    known = revisions(wanted, machine.data_root, plugins=True)
    outcomes, due = Outcomes(), queue.SimpleQueue[RunSpec | None]()
    for run in wanted:
        if is_due(run, store, known[run.run_id], rerun):
            due.put(run)
        else:
            outcomes.skipped.append(run)
            tell(Event("skipped", run))
    if not due.empty():
        store.check_writable()
    slots = [_Slot(due, store, machine, known, rerun) for _ in range(min(jobs, due.qsize()))]
    try:
        _follow(slots, outcomes, tell)
    finally:
        with contextlib.ExitStack() as stack:  # each is stopped, whatever becomes of the others
            for slot in slots:
                stack.callback(slot.stop)
    return outcomes


def _follow(slots: list[_Slot], outcomes: Outcomes, tell: OnEvent) -> None:
    """Passes on what the slots say until all have finished."""
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    for slot in slots:
        slot.start(events)
    left = len(slots)
    while left:
        try:
            event = events.get(timeout=1.0)  # a time limit lets Ctrl-C through on every platform
        except queue.Empty:
            continue
        if event is None:
            left -= 1
            continue
        if event.kind == "done":
            outcomes.done.append(event.run)
        elif event.kind == "skipped":
            outcomes.skipped.append(event.run)
        elif event.kind == "failed":
            assert event.failure is not None
            outcomes.failed.append((event.run, event.failure))
        tell(event)


class _Slot:
    """One place where runs go one after the other: a thread here that waits for a process there."""

    def __init__(
        self,
        due: queue.SimpleQueue[RunSpec | None],
        store: Store,
        machine: Machine,
        revisions_now: dict[str, str | None],
        rerun: Rerun,
    ) -> None:
        self.due, self.store, self.machine, self.revisions, self.rerun = due, store, machine, revisions_now, rerun
        assert machine.threads is not None
        self.process = Distributed(machine.threads) if machine.devices > 1 else Worker(machine.threads)
        self.stopped = False

    def start(self, events: queue.SimpleQueue[Event | None]) -> None:
        threading.Thread(target=self._work, args=(events,), daemon=True).start()

    def stop(self) -> None:
        self.stopped = True
        self.process.stop()

    def _work(self, events: queue.SimpleQueue[Event | None]) -> None:
        try:
            while not self.stopped:
                try:
                    run = self.due.get_nowait()
                except queue.Empty:
                    return
                assert run is not None
                try:
                    self._one(run, events.put)
                except Exception as error:  # a full disk, a read-only store: this run's failure, not the suite's
                    if not self.stopped:
                        self._fail(run, Failure.of(run, error), events.put)
        finally:
            events.put(None)

    def _one(self, run: RunSpec, tell: OnEvent) -> None:
        with self.store.lock(run):
            # Another suite on the same store may have done it while this one waited for the lock.
            if self.rerun != "all" and not is_due(run, self.store, self.revisions[run.run_id], self.rerun):
                tell(Event("skipped", run))
                return
            working = self.store.begin(run)
            tell(Event("start", run))
            failure = self.process.run(run, self.machine, working, tell)
            if self.stopped:
                return
            if failure is None:
                self.store.finish(run)
                tell(Event("done", run, fraction=1.0))
            else:
                self._fail(run, failure, tell)

    def _fail(self, run: RunSpec, failure: Failure, tell: OnEvent) -> None:
        with contextlib.suppress(OSError, ValueError):  # a full disk or a read-only store may be the reason itself
            self.store.fail(run, failure)
        tell(Event("failed", run, message=f"{failure.kind}: {failure.message}", failure=failure))

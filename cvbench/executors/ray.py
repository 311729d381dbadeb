"""Runs a suite on a Ray cluster: each run a task that asks for its CPUs and GPUs.

Workers on CPUs live on between tasks. Those on GPUs end with their task: Ray gives the next one another GPU, and what
has loaded CUDA stays on its first, whose memory it holds.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from cvbench.events import Event
from cvbench.executors.base import Job, failed, lost
from cvbench.executors.remote import perform
from cvbench.machine import Machine
from cvbench.placement import Placement
from cvbench.store import Store

# Tasks that Ray knows of at once, where `jobs` says nothing: enough for any cluster to be full, few to look through.
MOST_AT_ONCE = 500
# Nothing but specs and events goes through Ray; what runs read and write is on the shared disk.
OBJECT_STORE_BYTES = 128 << 20


class RayExecutor:
    """A cluster by its address, or one on this machine that ends with the suite.

    A run whose worker or node is lost is sent out again by Ray, `ray.retries` times; all else is retried in its worker.
    """

    def __init__(self, machine: Machine, place: Placement) -> None:
        self.machine, self.place = machine, place
        self.pending: dict[Any, Job] = {}
        self.ours = False

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[Event | None]:
        ray = _ray()
        self._connect(ray)
        events = ray.util.queue.Queue(actor_options={"num_cpus": 0})
        task = ray.remote(**self.requests())(_perform)
        waiting = iter(jobs)
        while True:
            room = (self.place.jobs or MOST_AT_ONCE) - len(self.pending)
            for job in itertools.islice(waiting, room):
                self.pending[task.remote(job, sys.path, events)] = job
            if not self.pending:
                return
            ready, _ = ray.wait(list(self.pending), timeout=0.5)
            yield from _told(events)
            for reference in ready:
                yield _ended(ray, reference, self.pending.pop(reference))
            yield None

    def requests(self) -> dict[str, Any]:
        """What is asked of Ray for each run."""
        return {
            "num_cpus": self.place.cpus,
            "num_gpus": self.place.gpus,
            "max_calls": 1 if self.place.gpus else 0,  # of one worker; 0: any number
            "max_retries": self.machine.ray.retries,
            "retry_exceptions": False,  # what a run raises it would raise again
        }

    def close(self) -> None:
        ray: Any = sys.modules.get("ray")
        for reference in self.pending:
            with contextlib.suppress(Exception):  # it has ended, or the cluster is gone
                ray.cancel(reference, force=True)
        if self.ours:
            ray.shutdown()

    def _connect(self, ray: Any) -> None:
        """Joins or starts the cluster. Raises ValueError where it is not there."""
        if ray.is_initialized():  # somebody's own, in a notebook: theirs to end
            return
        address = self.machine.ray.address
        where: dict[str, Any] = {"address": address}
        if address is None:
            room = self.place.jobs or 1
            where = {
                "address": "local",
                "num_cpus": room * self.place.cpus,
                "num_gpus": room * self.place.gpus,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
            }
        self.ours = True  # from now on, however far `init` comes before somebody ends it
        with _signals_kept():
            try:
                ray.init(**where, log_to_driver=False, logging_level="ERROR")
            except Exception as error:  # Ray raises all kinds, and plain Exception too
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise ValueError(
                    f"no Ray cluster at {address or 'this machine'}: {reason}; ray.address in machine.yaml names a "
                    "running one, and without it one is started here"
                ) from error


def _ray() -> Any:
    """The package, which phones nowhere. Raises ValueError where it is not installed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
        import ray.util.queue
    except ImportError as error:
        raise ValueError("executor ray: Expected Ray to be installed: pip install 'cvbench[ray]'") from error
    return ray


def _perform(job: Job, path: Sequence[str], events: Any) -> Event:
    """The task. Progress is worth less than the run: where nobody listens any more, it goes on."""

    def tell(event: Event) -> None:
        with contextlib.suppress(Exception):
            events.put_nowait(event)

    return perform(job, path, tell)


def _told(events: Any) -> Iterator[Event]:
    from ray.exceptions import RayError

    with contextlib.suppress(RayError):  # the node with the queue is lost: how runs end is told by the tasks themselves
        yield from events.get_nowait_batch(events.size())


def _ended(ray: Any, reference: Any, job: Job) -> Event:
    """How a run ended, from its task's result, or from what became of its worker."""
    try:
        event: Event = ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        message = f"the worker of this run died, and Ray gave it up: {lines[0]}"
        return failed(Store(job.store), job.run, lost(job.run, message, str(error)))
    return event


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; the command line has its own way of ending in order."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)

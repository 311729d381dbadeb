"""One run from its lock to its record in a process that a cluster has started, which sees the same disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.util import Finalize

from cvbench.events import Event
from cvbench.executors.base import Job, OnEvent
from cvbench.executors.distributed import Distributed
from cvbench.executors.settle import settle
from cvbench.executors.worker import Worker

_kept: dict[tuple[tuple[str, str], ...], Worker] = {}


def perform(job: Job, path: Sequence[str], tell: OnEvent) -> Event:
    """Does the run as a slot of this machine would, and returns how it ended.

    That is in a process of its own as well: it may be killed, or be ended because it is late, and is tried again here.
    A job whose own process is lost is its cluster's to begin again. path: `sys.path` of whoever submitted it, so that
    somebody's own models are found here too.
    """
    sys.path.extend(folder for folder in path if folder not in sys.path)
    # On a node of SLURM's, Lightning would take the run for a job of its own, and send it back into the queue itself.
    os.environ.pop("SLURM_NTASKS", None)
    environment = {"OMP_NUM_THREADS": str(job.machine.threads)}
    place = Distributed(environment) if job.machine.world > 1 else _worker(environment)
    return settle(job, place.run, tell)


def _worker(environment: Mapping[str, str]) -> Worker:
    """The worker of this process, which imports torch once for all runs that Ray sends here: on GPUs only one."""
    key = tuple(sorted(environment.items()))
    if key not in _kept:
        _kept[key] = Worker(environment)
        # Before multiprocessing waits for its children, and after the last run.
        Finalize(None, _kept[key].stop, exitpriority=0)
    return _kept[key]

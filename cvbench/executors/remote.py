"""One run from its lock to its record in a process that a cluster has started, which sees the same disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cvbench.events import Event
from cvbench.executors.base import Job, OnEvent, settle
from cvbench.executors.distributed import Distributed
from cvbench.executors.worker import run_here


def perform(job: Job, path: Sequence[str], tell: OnEvent) -> Event:
    """Does the run as a slot of this machine would, and returns how it ended.

    path: `sys.path` of whoever submitted it, so that somebody's own models are found here too.
    """
    sys.path.extend(folder for folder in path if folder not in sys.path)
    # On a node of SLURM's, Lightning would take the run for a job of its own, and send it back into the queue itself.
    os.environ.pop("SLURM_NTASKS", None)
    environment = {"OMP_NUM_THREADS": str(job.machine.threads)}
    os.environ.update(environment)  # read when torch is loaded, which is only now
    return settle(job, Distributed(environment).run if job.machine.devices > 1 else run_here, tell)

"""Small suites for executors to run, and models that misbehave in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cvbench.arrays import load_arrays
from cvbench.executors.execute import execute
from cvbench.machine import Machine
from cvbench.plan import plan
from cvbench.spec import RunSpec
from cvbench.store import Store
from cvbench.suite import load_suite

RECIPE = {"epochs": 1, "batch_size": 64, "lr": 3e-3}

# Each is `linear`, but for what it does first; `once` remembers in a file beside it that it has been done. A job is the
# process above the run's own: a worker of Ray's, or what SLURM has started.
PLUGIN = '''
"""Models that are linear, but for what they do first."""
import os, pathlib, signal
from cvbench.models.classification.linear import build as linear

DONE = pathlib.Path(__file__).with_suffix(".done")

def once():
    try:
        DONE.open("x").close()
        return True
    except FileExistsError:
        return False

def dies(info):
    os.kill(os.getpid(), signal.SIGKILL)

def dies_once(info):
    if once():
        os.kill(os.getpid(), signal.SIGKILL)
    return linear(info)

def loses_its_job(info):
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()

def loses_its_job_once(info):
    if once():
        loses_its_job(info)
    return linear(info)

def preempted_once(info):
    if once():
        os.kill(os.getppid(), signal.SIGUSR2)
        signal.pause()
    return linear(info)
'''


def suite(folder: Path, **changes: Any) -> list[RunSpec]:
    benchmark = {"task": "classification", "datasets": ["digits"], "models": ["linear"], "recipe": RECIPE} | changes
    file = folder / "small.yaml"
    file.write_text(json.dumps(benchmark))
    return plan(load_suite([file]))


def machine(folder: Path, **changes: Any) -> Machine:
    given = {"accelerator": "cpu", "threads": 1, "jobs": 1, "cache": folder / "cache", "data_root": folder}
    return Machine(**given | changes)


def assert_same_bits(run: RunSpec, store: Store, folder: Path) -> None:
    """The run in `store` and the same run by a worker of this machine: equal metrics and evidence."""
    here = Store(folder / "here")
    assert execute([run], here, machine(folder)).failed == []
    ours, theirs = here.record(run), store.record(run)
    assert ours is not None
    assert theirs is not None
    assert theirs.execution.threads == ours.execution.threads == 1
    assert theirs.metrics == ours.metrics
    first, second = (load_arrays(one.folder(run) / "evidence.npz") for one in (here, store))
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert np.array_equal(values, second[name]), name

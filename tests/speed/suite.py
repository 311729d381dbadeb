"""What a suite of short runs costs: against a fresh process a run, in CPU seconds of a run, in memory of a worker.

The first row is wall time, since what is measured is work side by side; the fresh processes are timed before and after
the suite, so that what else the machine does meets both.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from cvbench.events import Event
from cvbench.executors.base import Job
from cvbench.executors.execute import execute
from cvbench.executors.settle import settle
from cvbench.machine import Machine
from cvbench.plan import plan
from cvbench.spec import RunSpec
from cvbench.suite import load_suite
from tests.speed.timing import Row

RUNS, JOBS, FRESH = 24, 2, 2
WARM_RUNS, WARM_LIMIT = 12, 0.3
SOAK_RUNS, SOAK_FROM, SOAK_LIMIT_MB = 200, 10, 50.0


def measure() -> list[Row]:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # it tells of each Trainer
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [_side_by_side(Path(folder)), _warm(Path(folder)), _soak(Path(folder))]


def _runs(folder: Path, seeds: int) -> list[RunSpec]:
    """One step and one epoch of the smallest model there is: nearly nothing but what every run costs."""
    recipe = {"steps": 1, "batch_size": 64}
    benchmark = {"task": "classification", "datasets": ["digits"], "models": ["linear"], "recipe": recipe}
    (folder / "short.yaml").write_text(json.dumps(benchmark | {"seeds": list(range(seeds))}))
    return plan(load_suite([folder / "short.yaml"]))


def _machine(folder: Path, jobs: int) -> Machine:
    return Machine(accelerator="cpu", jobs=jobs, threads=1, cache=folder / "cache", data_root=folder)


def _side_by_side(folder: Path) -> Row:
    """Seconds of a suite with two jobs, against as many fresh processes one after the other."""
    runs = _runs(folder, RUNS)
    fresh = _fresh(folder, "before")
    begun = time.perf_counter()
    outcomes = execute(runs, folder / "suite", _machine(folder, JOBS))
    ours = time.perf_counter() - begun
    assert len(outcomes.done) == RUNS, outcomes.failed
    fresh += _fresh(folder, "after")
    reference = RUNS * sum(fresh) / len(fresh)
    return Row(f"{RUNS} short runs, {JOBS} jobs, against fresh processes", ours, reference, reference / ours, 3.0)


def _fresh(folder: Path, store: str) -> list[float]:
    """Seconds of single runs, each by a command of its own."""
    seconds = []
    for seed in range(FRESH):
        command = [sys.executable, "-m", "cvbench", "run", str(folder / "short.yaml"), "--only", f"* seed {seed}",
                   "--store", str(folder / store), "--accelerator", "cpu", "--threads", "1", "--jobs", "1", "--quiet",
                   "--cache", str(folder / "cache"), "--data-root", str(folder)]  # fmt: skip
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _warm(folder: Path) -> Row:
    """CPU seconds of a whole run, from its lock to its record, in a process that has done some before."""
    from cvbench.executors.worker import run_here

    seconds = []
    for run in _runs(folder, WARM_RUNS):
        job = Job(run, folder / "warm", _machine(folder, 1), "missing", None)
        begun = time.process_time()
        assert settle(job, run_here, lambda event: None).kind == "done"
        seconds.append(time.process_time() - begun)
    ours = sorted(seconds)[len(seconds) // 2]
    return Row(f"a run in a warm worker, CPU (limit {WARM_LIMIT} s)", ours, WARM_LIMIT, WARM_LIMIT / ours, 1.0)


def _soak(folder: Path) -> Row:
    """Megabytes that one worker grows by between its tenth run and its last."""
    sizes: list[float] = []

    def note(event: Event) -> None:
        if event.kind == "done":
            (worker,) = (one for one in multiprocessing.active_children() if one.name == "cvbench-worker")
            sizes.append(_resident_mb(worker.pid or 0))

    outcomes = execute(_runs(folder, SOAK_RUNS), folder / "soak", _machine(folder, 1), on_event=note)
    assert len(outcomes.done) == len(sizes) == SOAK_RUNS, outcomes.failed
    grown = max(max(sizes[SOAK_FROM:]) - sizes[SOAK_FROM - 1], 0.1)
    name = f"memory of a worker over {SOAK_RUNS} runs (limit {SOAK_LIMIT_MB:.0f} MB)"
    return Row(name, grown, SOAK_LIMIT_MB, SOAK_LIMIT_MB / grown, 1.0, unit="MB")


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

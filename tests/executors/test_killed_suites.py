"""A suite of which a worker or the main process is killed at a random moment has the board of an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.alive import gone, within, workers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes to kill in Linux's /proc"),
]

BENCHMARK = """\
task: classification
datasets: [digits]
models: [linear, {name: mlp, options: {dropout: 0.2}}]
recipe: {epochs: 8, lr: 1e-2}
seeds: [0, 1, 2]
"""
# Checkpoints many times a run, so that there is much to go on from.
RUN = ["run", "bench.yaml", "--jobs", "2", "--threads", "1", "--accelerator", "cpu", "--checkpoint-every", "0.05"]
COSTS = {"costs", "front", "started_at"}
CVBENCH = [sys.executable, "-m", "cvbench"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(folder: Path) -> subprocess.Popen[str]:
    command = [*CVBENCH, *RUN, "--json", "--quiet"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


def finish(suite: subprocess.Popen[str]) -> dict[str, Any]:
    """What the suite says, which must end well by itself."""
    said, _ = suite.communicate(timeout=600)
    assert suite.returncode == 0, said
    told: dict[str, Any] = json.loads(said)
    return told


def board(folder: Path) -> Any:
    """The board without costs and what follows from them; when a run began stands in its record alone."""
    done = subprocess.run(
        [*CVBENCH, "leaderboard", "bench.yaml", "--json"], cwd=folder, capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    return _without_costs(json.loads(done.stdout))


def _without_costs(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_costs(value) for key, value in part.items() if key not in COSTS}
    return [_without_costs(one) for one in part] if isinstance(part, list) else part


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, float]:
    """The board of a suite that nobody kills, and the seconds that the suite took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "bench.yaml").write_text(BENCHMARK)
    began = time.monotonic()
    assert len(finish(start(folder))["done"]) == 6
    return board(folder), time.monotonic() - began


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("victim", ["worker", "main"])
def test_a_suite_killed_at_a_random_moment_has_the_board_of_an_undisturbed_one(
    tmp_path: Path, undisturbed: tuple[Any, float], victim: str, seed: int
) -> None:
    expected, seconds = undisturbed
    die = random.Random(f"{victim} {seed}")
    moment, folder = die.random() * seconds, tmp_path / "0"
    while not (suite := alive_after(moment, folder)):  # the machine was faster now: again, and earlier
        moment, folder = 0.9 * moment, folder.with_name(f"{int(folder.name) + 1}")
    serving = workers(suite.pid)
    if victim == "worker":
        assert serving or within(60, lambda: workers(suite.pid)), "no worker"
        os.kill(die.choice(workers(suite.pid)), signal.SIGKILL)
        assert finish(suite)["failed"] == []  # what the worker did is tried again
    else:
        suite.kill()
        suite.communicate()
        assert within(20, lambda: all(map(gone, serving))), "a worker outlives its suite"
        told = finish(start(folder))
        assert len(told["done"]) + len(told["skipped"]) == 6
    assert board(folder) == expected
    assert not list((folder / "runs").glob("*/*/*/.new"))


def alive_after(seconds: float, folder: Path) -> subprocess.Popen[str] | None:
    """A suite that has run for so long in that new folder; None if it ended before."""
    folder.mkdir()
    (folder / "bench.yaml").write_text(BENCHMARK)
    suite = start(folder)
    time.sleep(seconds)
    if suite.poll() is None and (seconds < 2 or workers(suite.pid)):  # without workers it is about to end
        return suite
    suite.communicate()
    return None

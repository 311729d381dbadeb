"""`cvbench run` on several nodes, as real commands on this machine: by hand, under torchrun, and what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench.arrays import load_arrays
from cvbench.executors.distributed import free_port
from cvbench.plan import plan
from cvbench.spec import RunSpec
from cvbench.store import Store
from cvbench.suite import load_suite

pytestmark = pytest.mark.slow  # a process imports torch for most of its time

CVBENCH = [sys.executable, "-m", "cvbench"]
RECIPE = {"epochs": 1, "batch_size": 64, "lr": 3e-3}
LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def suite(folder: Path, **changes: Any) -> tuple[Path, list[RunSpec]]:
    benchmark = {"task": "classification", "datasets": ["digits"], "models": ["linear"], "recipe": RECIPE} | changes
    file = folder / "small.yaml"
    file.write_text(json.dumps(benchmark))
    return file, plan(load_suite([file]))


def options(file: Path, store: Path) -> list[str]:
    places = ["--data-root", str(file.parent), "--cache", str(file.parent / "cache")]
    return ["run", str(file), "--store", str(store), *places, "--accelerator", "cpu", "--threads", "1"]


def start(command: list[str], **variables: str) -> subprocess.Popen[str]:
    outside = {key: value for key, value in os.environ.items() if key not in LAUNCHERS}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=outside | variables)


def finish(*commands: subprocess.Popen[str]) -> list[tuple[int, str, str]]:
    """(exit code, stdout, stderr) of each."""
    try:
        ended = [command.communicate(timeout=400) for command in commands]
        return [(command.returncode, *said) for command, said in zip(commands, ended, strict=True)]
    finally:
        for command in commands:
            command.kill()
            command.wait()


def on_nodes(nodes: int, arguments: list[str], **variables: str) -> list[tuple[int, str, str]]:
    there = ["--nodes", str(nodes), "--rendezvous", f"127.0.0.1:{free_port()}"]
    return finish(*(start([*CVBENCH, *arguments, *there, "--node-rank", str(k)], **variables) for k in range(nodes)))


def same_evidence(one: Path, other: Path, spec: RunSpec) -> bool:
    a, b = (load_arrays(Store(store).folder(spec) / "evidence.npz") for store in (one, other))
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_two_nodes_give_the_evaluation_of_one_process(tmp_path: Path) -> None:
    file, (trained,) = suite(tmp_path)
    assert finish(start([*CVBENCH, *options(file, tmp_path / "runs")]))[0][0] == 0
    weights = str(Store(tmp_path / "runs").folder(trained) / "model.pt")
    file, (spec,) = suite(tmp_path, mode="evaluate", models=[{"name": "linear", "weights": weights}])
    one, two = tmp_path / "one", tmp_path / "two"
    assert finish(start([*CVBENCH, *options(file, one)]))[0][0] == 0
    (first, said, told), (second, *silent) = on_nodes(2, options(file, two))
    assert (first, second) == (0, 0), told
    assert "top1" in said
    assert silent == ["", ""]  # one talks
    assert same_evidence(one, two, spec)
    record = Store(two).record(spec)
    assert record is not None
    assert (record.execution.nodes, record.execution.devices, record.execution.strategy) == (2, 1, "ddp")
    left = {path.name for path in Store(two).folder(spec).iterdir()}
    assert not {name for name in left if name.startswith(("job", "log-", "failure", "processes-"))}


def test_an_outer_torchruns_processes_take_part(tmp_path: Path) -> None:
    file, (spec,) = suite(tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "cvbench"]
    ((code, said, told),) = finish(start([*command, *options(file, tmp_path / "runs"), "--devices", "2"]))
    assert code == 0, told
    assert said.count("Board:") == 1
    record = Store(tmp_path / "runs").record(spec)
    assert record is not None
    assert (record.execution.devices, record.execution.nodes, record.samples) == (2, 1, {"test": 433})


def test_a_run_that_fails_on_one_node_costs_itself_only(tmp_path: Path) -> None:
    """The second node is killed in its first run, and the first one would wait for it for ever."""
    (tmp_path / "dying.py").write_text(
        "import os, signal\n"
        "from cvbench.models.classification.linear import build as linear\n"
        "def build(info):\n"
        "    if os.environ['RANK'] == '1':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return linear(info)\n"
    )
    file, (dying, fine) = suite(tmp_path, models=["dying:build", "linear"])
    python_path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    (first, _, told), (second, *silent) = on_nodes(2, options(file, tmp_path / "runs"), PYTHONPATH=python_path)
    assert (first, second) == (1, 0), told
    assert silent == ["", ""]
    store = Store(tmp_path / "runs")
    failure = store.failure(dying)
    assert failure is not None
    assert failure.kind == "killed"
    assert store.record(fine) is not None


def test_a_mistake_ends_all_nodes(tmp_path: Path) -> None:
    file, _ = suite(tmp_path, recipe=RECIPE | {"batch_size": 63})
    (first, _, told), (second, *silent) = on_nodes(2, options(file, tmp_path / "runs"))
    assert first == 2
    assert "multiple of 2 nodes x 1 devices, but got 63" in told
    assert second in (0, 1)  # told to leave, or the first node is gone
    assert silent[0] == ""

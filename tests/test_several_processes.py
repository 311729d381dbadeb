"""One run on one and on two processes, with and without accumulation, sharded or not: the same training and scores.

Each process runs the harness as a launcher's would; `tests/executors` has the launchers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cvbench.arrays import load_arrays
from cvbench.harness import run
from cvbench.machine import Machine
from cvbench.plan import plan
from cvbench.record import Record
from cvbench.suite import load_suite
from tests.processes import on_processes

# Plain gradient descent, whose steps are linear in the gradient: what differs in its last bits stays so.
SGD = {"steps": 6, "batch_size": 64, "lr": 0.05, "optimiser": "sgd", "weight_decay": 0.1, "val_every": 1}
MLP = {"name": "mlp", "options": {"dropout": 0.0}}
RESNET = {"name": "resnet_cifar", "options": {"width": 2}}
SEGNET = {"name": "segnet", "options": {"width": 4, "depth": 2}}
TELLER = {"embedding": 16, "hidden": 24, "attention": 8, "encoder_width": 4}
# 5 and 7 samples on two processes: one has a batch more than the other.
STREETS = {"name": "streets", "options": {"height": 48, "width": 64, "train": 16, "val": 5, "test": 7}}


class Ran:
    """A finished run: its record, weights and evidence."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.record = record
        self.weights: dict[str, Tensor] = torch.load(folder / "model.pt", weights_only=True)
        self.evidence = load_arrays(folder / "evidence.npz")
        self.files = {path.name for path in folder.iterdir()}


def carry_out(rank: int, benchmark: dict[str, Any], machine: dict[str, Any], folder: str) -> Record | None:
    file = Path(folder) / f"benchmark-{rank}.yaml"
    file.write_text(json.dumps(benchmark))
    (spec,) = plan(load_suite([file]))
    on = Machine(accelerator="cpu", threads=1, data_root=Path(folder), cache=Path(folder) / "cache", **machine)
    return run(spec, on, Path(folder) / "a" / "b" / spec.run_id)


def ran(folder: Path, machine: dict[str, Any], **changes: Any) -> Ran:
    """The run on that machine, carried out in processes of its own."""
    folder.mkdir()
    benchmark = {"task": "classification", "datasets": ["digits"], "models": [MLP], "recipe": SGD} | changes
    world = Machine(**machine).world
    first, *others = on_processes(world, carry_out, benchmark, machine, str(folder))
    assert isinstance(first, Record)
    assert others == [None] * (world - 1)  # one process writes
    return Ran(folder / "a" / "b" / first.run_id, first)


def assert_close(one: Ran, other: Ran, tolerance: float) -> None:
    """Weights, and what was said of each test sample."""
    assert one.weights.keys() == other.weights.keys()
    for name, tensor in one.weights.items():
        torch.testing.assert_close(other.weights[name], tensor, rtol=tolerance, atol=tolerance)
    assert np.array_equal(one.evidence["ids"], other.evidence["ids"])
    key = "test/nll"
    assert other.record.metrics[key] == pytest.approx(one.record.metrics[key], rel=10 * tolerance)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return ran(tmp_path_factory.mktemp("alone") / "run", {})


@pytest.mark.parametrize(
    ("machine", "per_device", "accumulate"),
    [
        ({"devices": 2}, 32, 1),
        ({"accumulate": 2}, 32, 2),
        pytest.param({"devices": 2, "largest_batch_per_device": 16}, 16, 2, marks=pytest.mark.slow),
        ({"devices": 2, "strategy": "fsdp"}, 32, 1),
        pytest.param({"devices": 2, "strategy": "fsdp", "accumulate": 2}, 16, 2, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_the_same_global_batch_trains_the_same(
    tmp_path: Path, alone: Ran, machine: dict[str, Any], per_device: int, accumulate: int
) -> None:
    other = ran(tmp_path / "run", machine)
    assert_close(alone, other, 1e-6)
    execution = other.record.execution
    assert (execution.batch_per_device, execution.accumulate) == (per_device, accumulate)
    assert execution.strategy == (machine.get("strategy", "ddp") if "devices" in machine else None)
    assert execution.batch_norm_batch is None
    assert other.record.run_id == alone.record.run_id  # how it was carried out is no part of what was asked
    assert other.record.selection.epoch == alone.record.selection.epoch
    assert alone.files <= other.files


@pytest.mark.slow
def test_the_largest_gradient_is_that_of_all_parts(tmp_path: Path) -> None:
    clipped = SGD | {"gradient_clip": 0.05}
    alone = ran(tmp_path / "alone", {}, recipe=clipped)
    assert_close(alone, ran(tmp_path / "sharded", {"devices": 2, "strategy": "fsdp"}, recipe=clipped), 1e-6)


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_batch_norm_over_two_processes_is_that_of_one(tmp_path: Path, strategy: str) -> None:
    # One step: through twenty layers of ReLU and batch norm the last bit of a sum grows a hundredfold with each.
    recipe = SGD | {"steps": 1, "lr": 0.01, "sync_batch_norm": True}
    alone = ran(tmp_path / "alone", {}, models=[RESNET], recipe=recipe)
    assert alone.record.execution.batch_norm_batch == 64
    other = ran(tmp_path / "other", {"devices": 2, "strategy": strategy}, models=[RESNET], recipe=recipe)
    assert other.record.execution.batch_norm_batch == 64
    assert_close(alone, other, 1e-4)


def test_without_it_each_process_normalises_its_own_and_the_record_says_so(tmp_path: Path) -> None:
    recipe = SGD | {"steps": 1, "lr": 0.01}
    alone = ran(tmp_path / "alone", {}, models=[RESNET], recipe=recipe)
    other = ran(tmp_path / "other", {"devices": 2}, models=[RESNET], recipe=recipe)
    assert other.record.execution.batch_norm_batch == 32
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        assert_close(alone, other, 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("segmentation", SEGNET),
        ("detection", {"name": "fcos", "options": {"width": 4}}),
        ("captioning", {"name": "show_attend_tell", "options": TELLER}),
    ],
)
def test_every_task_trains_sharded_and_scores_each_sample_once(tmp_path: Path, task: str, model: Any) -> None:
    """With unlike numbers of batches, and captions that take unlike numbers of steps: no process waits for ever."""
    recipe = SGD | {"steps": 4, "batch_size": 4, "lr": 1e-3}
    changes = {"task": task, "datasets": [STREETS], "models": [model], "recipe": recipe}
    shared = ran(tmp_path / "shared", {"devices": 2}, **changes)
    sharded = ran(tmp_path / "sharded", {"devices": 2, "strategy": "fsdp"}, **changes)
    assert sharded.record.samples == {"test": 7}
    for name, tensor in shared.weights.items():
        torch.testing.assert_close(sharded.weights[name], tensor, rtol=1e-5, atol=1e-5)


def test_a_split_smaller_than_a_batch_is_not_divided_unevenly(tmp_path: Path) -> None:
    with pytest.raises(
        AssertionError, match=r"ValueError: Expected at least one whole batch of recipe.batch_size 4096 to"
    ):
        ran(tmp_path / "run", {"devices": 2}, recipe=SGD | {"batch_size": 4096})


def test_more_processes_than_samples_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    few = STREETS | {"options": STREETS["options"] | {"test": 1}}
    changes = {"task": "segmentation", "datasets": [few], "models": [SEGNET], "recipe": SGD | {"batch_size": 4}}
    with pytest.raises(AssertionError, match=r"DataError: split 'test' has 1 samples, too few for 2 processes"):
        ran(tmp_path / "run", {"devices": 2}, **changes)
    assert "epoch" not in "".join(path.read_text() for path in tmp_path.rglob("log*.txt"))


def test_no_process_is_started_by_the_harness_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lightning would start this command again for the second process.
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    benchmark = {"task": "classification", "datasets": ["digits"], "models": [MLP], "recipe": SGD}
    with pytest.raises(
        ValueError, match="Expected one of 2 processes that an executor or torchrun started, but WORLD_SIZE"
    ):
        carry_out(0, benchmark, {"devices": 2}, str(tmp_path))
    assert "RANK" not in os.environ

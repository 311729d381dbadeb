"""What the shipped benchmarks are said to reach, reached again."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvbench.board import read_board
from cvbench.executors.execute import execute
from cvbench.machine import Machine
from cvbench.plan import plan
from cvbench.store import Store
from cvbench.suite import load_suite
from tests.test_harness import finish, machine


def test_digits_are_read_by_a_small_net(tmp_path: Path) -> None:
    """scikit-learn's own example of these digits, an SVM on another split, reaches 0.97."""
    runs = [run for run in plan(load_suite(["quick/classification"])) if run.dataset.name == "digits"]
    records = [finish(run, tmp_path / "a" / "b" / run.run_id, machine(tmp_path)) for run in runs if run.label == "mlp"]
    assert len(records) == 3
    assert sum(record.metrics["test/top1"] for record in records) / 3 >= 0.975


@pytest.mark.parametrize(("board", "times"), [("quick", 2.0), ("captioning-flickr8k_pack", 1.0)])
def test_every_captioner_is_better_than_the_most_common_caption(board: str, times: float) -> None:
    """As committed: in every seed."""
    leaderboard = read_board(Path(__file__).parents[1] / "leaderboards" / board / "board.json")
    (found,) = (each for each in leaderboard.boards if each.task == "captioning")
    values = {row.model: [run.value for run in row.runs] for row in found.rows}
    (floor,) = set(values.pop("prior"))
    assert len(values) == 3
    assert all(value > times * floor for several in values.values() for value in several)


@pytest.mark.slow
def test_official_mnist_with_the_shipped_file(tmp_path: Path, shared_data: Path) -> None:
    """Simard 2003: 1.6 % for 800 hidden units; LeCun 1998: 0.95 % for LeNet-5; softmax regression is near 8 %."""
    runs = plan(load_suite(["lineage/mnist"]))
    store = Store(tmp_path / "runs")
    outcomes = execute(runs, store, Machine(accelerator="cpu", data_root=shared_data, cache=tmp_path / "cache"))
    assert outcomes.failed == []
    errors: dict[str, float] = {}
    for run in runs:
        record = store.record(run)
        assert record is not None
        assert record.samples == {"test": 10_000}
        errors[run.model.name] = errors.get(run.model.name, 0.0) + (1 - record.metrics["test/top1"]) / 3
    assert errors["mlp"] <= 0.018
    assert errors["lenet"] <= 0.010
    assert 0.065 <= errors["linear"] <= 0.095
    assert errors["hog_linear"] <= errors["linear"] / 2

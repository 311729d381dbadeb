"""What `run` does first and what then, what `--only` leaves of both, and what `plan` says is open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cvbench.commands.stages import first_stage, listed, remarks, second_stage, standing
from cvbench.plan import plan
from cvbench.spec import RunSpec, Suite
from cvbench.store import Store
from cvbench.suite import load_suite
from cvbench.tuning import Tuned, tuned
from tests import records

GOOD: dict[str, Any] = {
    "task": "classification", "datasets": ["digits"], "models": ["linear", "mlp"], "seeds": [0, 1],
    "recipe": {"tune": {"lr": [0.1, 0.2]}},
}  # fmt: skip


def made(folder: Path, **changes: Any) -> Suite:
    file = folder / "mine.yaml"
    file.write_text(json.dumps(GOOD | changes))
    return load_suite([file])


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return made(tmp_path)


def chosen(suite: Suite, *labels: str, **options: Any) -> Tuned:
    """The suite when the candidates of these models are done."""
    return tuned(suite, [records.record(run, 0.5) for run in plan(suite) if run.label in labels], **options)


def names(runs: list[RunSpec]) -> list[str]:
    return [run.name.removeprefix("digits/") for run in runs]


def test_candidates_first_then_what_follows(suite: Suite) -> None:
    first = first_stage(tuned(suite, []), None)
    candidates = [f"{model} (lr {lr}) seed 0" for model in ("linear", "mlp") for lr in (0.1, 0.2)]
    assert (names(first.runs), first.later) == (candidates, 2)
    assert second_stage(chosen(suite, "mlp"), first.runs, None) == chosen(suite, "mlp").runs[1:]
    assert names(second_stage(chosen(suite, "linear", "mlp"), first.runs, None)) == ["linear seed 1", "mlp seed 1"]


@pytest.mark.parametrize(
    ("only", "first", "second"),
    [
        ("digits/mlp", ["mlp (lr 0.1) seed 0", "mlp (lr 0.2) seed 0"], ["mlp seed 1"]),
        ("mine/digits/mlp", ["mlp (lr 0.1) seed 0", "mlp (lr 0.2) seed 0"], ["mlp seed 1"]),
        ("*/mlp (lr 0.1)*", ["mlp (lr 0.1) seed 0"], []),
        ("*mlp seed 1", ["mlp (lr 0.1) seed 0", "mlp (lr 0.2) seed 0"], ["mlp seed 1"]),
    ],
)
def test_only_names_candidates_and_what_follows_from_them(
    suite: Suite, only: str, first: list[str], second: list[str]
) -> None:
    """A final run brings along what it waits for."""
    found = first_stage(tuned(suite, []), only)
    assert (names(found.runs), found.later) == (first, len(second))
    assert names(second_stage(chosen(suite, "linear", "mlp"), found.runs, only)) == second


def test_a_candidates_id_names_it_alone_and_a_chosen_recipe_waits_for_nothing(suite: Suite) -> None:
    candidate = plan(suite)[2]
    found = first_stage(tuned(suite, []), candidate.run_id)
    assert (names(found.runs), found.later) == (["mlp (lr 0.1) seed 0"], 0)
    settled = chosen(suite, "mlp")
    final = settled.runs[1]
    for only in (final.run_id, "*mlp seed 1"):
        found = first_stage(settled, only)
        assert (found.runs, found.later) == ([], 1)
        assert second_stage(settled, [], only) == [final]


def test_a_glob_that_fits_nothing_is_refused(suite: Suite) -> None:
    with pytest.raises(ValueError, match="'digits/lenet' fits none of: digits/linear, digits/mlp"):
        first_stage(tuned(suite, []), "digits/lenet")


def test_what_plan_lists_and_says(suite: Suite) -> None:
    failed = {run.run_id: "ValueError: no" for run in plan(suite)[2:]}
    found = chosen(suite, "linear", failed=failed)
    assert names(listed(found, None)) == [
        *("linear (lr 0.1) seed 0", "linear (lr 0.2) seed 0", "linear seed 1"),
        *("mlp (lr 0.1) seed 0", "mlp (lr 0.2) seed 0"),
    ]  # fmt: skip
    assert remarks(found, None) == [
        "chosen: digits/linear: lr 0.1, of 2 candidates, val/top1 0.5000",
        "not chosen: digits/mlp: all 2 candidates failed; lr 0.1: ValueError: no",
    ]
    assert remarks(tuned(suite, []), "*/mlp") == ["open: 2 seeds of digits/mlp once its 2 candidates are done"]
    one = tuned(suite, [records.record(plan(suite)[0], 0.5)])
    assert remarks(one, "*/linear") == [
        "open: 2 seeds of digits/linear once its 2 candidates are done (1 tried so far)"
    ]


def test_data_without_val_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    streets = {"name": "streets", "options": {"train": 8, "val": 0, "test": 4}}
    suite = made(tmp_path, datasets=["digits", streets])
    with pytest.raises(ValueError, match="mine: streets: `tune` chooses by the score on val, and this data set has no"):
        standing(suite, Store(tmp_path / "runs"), tmp_path)
    untuned = made(tmp_path, datasets=["digits", streets | {"recipe": {"tune": None}}])
    assert standing(untuned, Store(tmp_path / "runs"), tmp_path).size == 2 * 3 + 2 * 2

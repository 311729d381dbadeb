"""Which recipe is chosen: by val alone, by the metric's direction, from equal candidates; and what the board says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cvbench.board import Row, frozen
from cvbench.leaderboard import rank
from cvbench.page import columns, table_csv
from cvbench.plan import lines, plan
from cvbench.record import Costs, Record, write_record
from cvbench.spec import RunSpec, Suite
from cvbench.store import Failure, Store
from cvbench.suite import load_suite
from cvbench.table import without_tried
from cvbench.tuning import Tuned, Tuning, tuned, tuned_in
from tests import records

LRS = (0.001, 0.01, 0.1)
GOOD: dict[str, Any] = {
    "task": "classification", "datasets": ["digits"], "models": ["linear", "mlp"], "seeds": [3, 0, 1],
    "recipe": {"epochs": 1, "tune": {"lr": list(LRS)}},
}  # fmt: skip


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return made(tmp_path)


def made(folder: Path, **changes: Any) -> Suite:
    file = folder / "mine.yaml"
    file.write_text(json.dumps(GOOD | changes))
    return load_suite([file])


def record(run: RunSpec, val: float | None, test: float = 0.5, **changes: Any) -> Record:
    """A finished run; val None: of a model that is not trained by gradient descent."""
    made_up = records.record(run, test, **changes)
    metrics = {key: value for key, value in made_up.metrics.items() if key.startswith("test/")}
    metrics |= {} if val is None else {f"val/{run.primary}": val}
    directions = {key: "min" if key.endswith("nll") else "max" for key in metrics}
    return made_up.model_copy(update={"metrics": metrics, "directions": directions})


def tried(suite: Suite, val: Mapping[str, list[float | None]], failed: Mapping[str, str] | None = None) -> Tuned:
    """The suite after its candidates scored `val`, in their order, a list for each model."""
    by_label: dict[str, list[RunSpec]] = {}
    for run in plan(suite):
        by_label.setdefault(run.label, []).append(run)
    found = [record(run, value) for label, values in val.items() for run, value in zip(by_label[label], values)]  # noqa: B905
    return tuned(suite, found, failed)


def lrs(runs: list[RunSpec], label: str) -> list[float]:
    return [run.recipe.lr for run in runs if run.label == label]


def test_every_model_tries_the_same_candidates_with_the_first_seed(suite: Suite) -> None:
    runs = plan(suite)
    assert [(run.label, run.recipe.lr, run.seed) for run in runs] == [
        (label, lr, 3) for label in ("linear", "mlp") for lr in LRS
    ]
    assert runs[1].name == "digits/linear (lr 0.01) seed 3"
    assert tuned(suite, []).size == 2 * (3 + 2)


def test_a_candidate_is_the_run_that_it_would_be_on_its_own(suite: Suite, tmp_path: Path) -> None:
    """Tuning only names: a run that was made without it is shared, and is the final run of its seed."""
    alone = plan(made(tmp_path, recipe={"epochs": 1, "lr": 0.01}))
    found = tried(suite, {"linear": [0.1, 0.9, 0.2], "mlp": [0.1, 0.9, 0.2]})
    assert [run.run_id for run in found.runs] == [run.run_id for run in alone]
    assert [run.name for run in found.runs] == [run.name for run in alone]
    assert plan(suite)[1].run_id == alone[0].run_id
    assert "tune" not in alone[0].recipe.model_dump()


def test_each_model_gets_its_best_on_val_for_all_seeds(suite: Suite) -> None:
    found = tried(suite, {"linear": [0.7, 0.8, 0.9], "mlp": [0.9, 0.8, 0.7]})
    assert lrs(found.runs, "linear") == [0.1] * 3
    assert lrs(found.runs, "mlp") == [0.001] * 3
    assert [run.seed for run in found.runs] == [3, 0, 1] * 2
    assert {run.candidate for run in found.runs} == {""}


def test_what_test_says_does_not_matter(suite: Suite) -> None:
    """Test scores planted against val: the candidate that is worst on val is perfect on test."""
    runs = plan(suite)
    planted = [
        record(run, val, test) for run, val, test in zip(runs, [0.1, 0.9, 0.2] * 2, [1.0, 0.0, 0.5] * 2, strict=True)
    ]
    found = tuned(suite, planted)
    assert [tuning.chosen for tuning in found.tunings] == [1, 1]
    for one in planted:
        one.metrics["val/nll"] = -9.0 if one.spec.recipe.lr == 0.1 else 9.0  # nor do other metrics on val
    assert [tuning.chosen for tuning in tuned(suite, planted).tunings] == [1, 1]


def test_the_direction_is_the_metrics_and_equals_go_by_order(tmp_path: Path) -> None:
    down = made(tmp_path, primary="nll")
    assert [t.chosen for t in tried(down, {"linear": [0.7, 0.2, 0.9], "mlp": [0.5, 0.4, 0.4]}).tunings] == [1, 1]
    up = made(tmp_path)
    assert [t.chosen for t in tried(up, {"linear": [0.7, 0.2, 0.9], "mlp": [0.5, 0.5, 0.4]}).tunings] == [2, 0]


def test_a_model_waits_for_all_its_candidates_and_for_no_others(suite: Suite) -> None:
    found = tried(suite, {"linear": [0.7, 0.8], "mlp": [0.9, 0.8, 0.7]})
    linear, mlp = found.tunings
    assert (linear.stage, linear.chosen, linear.runs) == ("open", None, [])
    assert linear.why == "not tuned yet: 2 of 3 candidates have been tried"
    assert (mlp.stage, mlp.why) == ("chosen", "")
    assert [run.label for run in found.runs] == ["mlp"] * 3


def test_failed_candidates_are_passed_over_and_all_of_them_fail_the_row(suite: Suite) -> None:
    runs = plan(suite)
    failed = {run.run_id: "LossIsNotFiniteError: at step 3" for run in (runs[2], *runs[3:])}
    linear, mlp = tried(suite, {"linear": [0.7, 0.6]}, failed).tunings
    assert (linear.stage, linear.chosen) == ("chosen", 0)
    assert (mlp.stage, mlp.runs) == ("failed", [])
    assert mlp.why == "all 3 candidates failed; lr 0.001: LossIsNotFiniteError: at step 3"


def test_a_model_that_no_gradient_trains_takes_the_first(suite: Suite) -> None:
    linear, _ = tried(suite, {"linear": [None] * 3}).tunings
    assert linear.chosen == 0


def test_without_a_val_split_nothing_can_be_chosen(suite: Suite) -> None:
    no_val = records.facts(split_sizes={"train": 1200, "test": 400})
    linear, _ = tuned(suite, [record(run, None, dataset=no_val) for run in plan(suite)]).tunings
    assert (linear.stage, linear.chosen) == ("failed", None)
    assert "no val split" in linear.why


def test_untuned_datasets_of_a_suite_are_planned_at_once(tmp_path: Path) -> None:
    both = made(tmp_path, datasets=[{"name": "streets", "recipe": {"tune": None}}, "digits"], models=["linear"])
    found = tuned(both, [])
    assert [(run.dataset.name, run.seed) for run in found.runs] == [("streets", seed) for seed in (3, 0, 1)]
    assert [line.tuned for line in lines(both)] == [False, True]
    assert found.size == 3 + 3 + 2


# In a store.


def kept(store: Store, one: Record) -> None:
    store.folder(one.spec).mkdir(parents=True, exist_ok=True)
    write_record(one, store.folder(one.spec) / "record.json")


def in_store(store: Store, suite: Suite, revision: str | None = "aaaaaaaaaaaa", **options: Any) -> list[Tuning]:
    return tuned_in(store, suite, lambda runs: {run.run_id: revision for run in runs}, **options).tunings


def test_from_a_store(suite: Suite, tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "runs"), plan(suite)
    for run, val in zip(runs, [0.7, 0.8, 0.6, 0.5, 0.6], strict=False):
        kept(store, record(run, val))
    linear, mlp = in_store(store, suite)
    assert (linear.chosen, mlp.stage) == (1, "open")
    store.fail(runs[5], Failure.of(runs[5], ArithmeticError("no such luck")))
    linear, mlp = in_store(store, suite)
    assert (mlp.chosen, mlp.tried[2].failure) == (1, "ArithmeticError: no such luck")
    (store.folder(runs[4]) / "record.json").write_text("{")
    assert in_store(store, suite)[1].chosen == 0


def test_records_of_other_data_or_an_older_evaluator_decide_nothing(suite: Suite, tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "runs"), plan(suite)
    for run in runs:
        kept(store, record(run, 0.5))
    assert [tuning.stage for tuning in in_store(store, suite, None)] == ["chosen", "chosen"]
    assert [tuning.stage for tuning in in_store(store, suite, "bbbbbbbbbbbb")] == ["open", "open"]
    kept(store, record(runs[0], 0.5, evaluator_version=0))
    assert [tuning.stage for tuning in in_store(store, suite)] == ["open", "chosen"]
    assert [tuning.stage for tuning in in_store(store, suite, any_evaluator=True)] == ["chosen", "chosen"]


def test_by_its_name_a_model_is_what_was_chosen_for_it(suite: Suite) -> None:
    found = tried(suite, {"linear": [0.7, 0.8, 0.9], "mlp": [0.9, 0.8, 0.7]})
    there = [record(run, 0.5) for run in plan(suite)]
    assert without_tried(there) == there  # of one seed each: nobody can tell
    finals = [record(run, 0.5) for run in found.runs if run.label == "linear" and run.seed != 3]
    kept_ids = [one.run_id for one in without_tried([*there, *finals]) if one.spec.label == "linear"]
    assert kept_ids == [run.run_id for run in found.runs if run.label == "linear"]
    assert [one.spec.label for one in without_tried([*there, *finals])].count("mlp") == 3


# On the board.


def rows(suite: Suite, found: Tuned, values: list[Record]) -> tuple[Any, dict[str, Row]]:
    leaderboard = rank(suite, found.runs, values, tunings=found.tunings)
    (board,) = leaderboard.boards
    return leaderboard, {row.label: row for row in board.rows}


def test_the_row_says_what_was_chosen_of_how_many_and_what_it_cost(suite: Suite) -> None:
    runs = plan(suite)
    costs = [Costs(parameters=7, train_seconds=seconds) for seconds in (10.0, 20.5, 1.25)]
    found_records = [
        record(run, val, 0.4, costs=cost) for run, val, cost in zip(runs, (0.7, 0.8123456789, 0.6), costs, strict=False)
    ]
    failed = {runs[5].run_id: "RuntimeError: /home/someone/x.py broke"}
    found_records += [record(run, val, 0.3) for run, val in zip(runs[3:], (0.9, 0.1), strict=False)]
    found = tuned(suite, found_records, failed)
    finals = [record(run, 0.5, 0.4) for run in found.runs if run.seed != 3]
    leaderboard, by_label = rows(suite, found, [*found_records, *finals])
    linear, mlp = by_label["linear"].tuned, by_label["mlp"].tuned
    assert linear is not None
    assert mlp is not None
    assert (linear.values, linear.chosen, linear.seed, linear.train_seconds) == ({"lr": 0.01}, 1, 3, 31.75)
    assert [(one.values, one.val) for one in linear.candidates] == [
        ({"lr": 0.001}, 0.7), ({"lr": 0.01}, 0.812346), ({"lr": 0.1}, 0.6)
    ]  # fmt: skip
    assert [one.run_id for one in linear.candidates] == [run.run_id for run in runs[:3]]
    assert by_label["linear"].runs[0].run_id == runs[1].run_id  # the winner's run is the final one of its seed
    assert by_label["linear"].state == "3 of 3"
    assert (mlp.failed, mlp.candidates[2].reason) == (1, "RuntimeError: …/x.py broke")
    assert mlp.train_seconds == 26.0  # 13 s each, as made up, of the two that finished
    column = {c.head: c.cells for c in columns.headline(leaderboard.boards[0])}["tuned"]
    assert column == ("lr 0.01 (best on val of 3, 31.8 s)", "lr 0.001 (best on val of 3, 1 failed, 26.0 s)")
    head, first, *_ = table_csv.render(leaderboard).splitlines()
    assert "tuned,candidates,candidates_val,candidates_train_seconds" in head
    assert 'lr 0.01,3,"[0.7,0.812346,0.6]",31.75' in first


def test_a_row_without_a_recipe_says_why_and_claims_no_runs(suite: Suite, tmp_path: Path) -> None:
    """Though a run with the recipe as written is there, and was good."""
    runs = plan(suite)
    untuned = plan(made(tmp_path, recipe={"epochs": 1}))
    failed = {run.run_id: "ValueError: no" for run in runs[3:]}
    there = [record(runs[0], 0.7), *(record(run, 0.9, 0.9) for run in untuned if run.seed != 3)]
    leaderboard, by_label = rows(suite, tuned(suite, there, failed), there)
    linear, mlp = by_label["linear"], by_label["mlp"]
    assert (linear.state, linear.mean, linear.group_id) == ("0 of 3, 3 missing", None, "")
    assert {(run.run_id, run.state, run.reason) for run in linear.runs} == {
        ("", "missing", "not tuned yet: 1 of 3 candidates have been tried")
    }
    assert (mlp.state, mlp.runs[0].reason) == ("0 of 3, 3 failed", "all 3 candidates failed; lr 0.001: ValueError: no")
    assert mlp.tuned is not None
    assert (mlp.tuned.chosen, mlp.tuned.train_seconds, mlp.recipe) == (None, None, {})
    assert columns.tuned(mlp.tuned) == "– (none of 3 chosen, 3 failed)"  # noqa: RUF001
    assert frozen(leaderboard)


def test_tuned_and_untuned_rows_of_one_dataset_stand_on_one_board(tmp_path: Path) -> None:
    both = made(
        tmp_path, datasets=["digits", {"name": "digits", "recipe": {"tune": None, "lr": 0.5}}], models=["linear"]
    )
    found = tuned(both, [record(run, 0.5 + run.recipe.lr) for run in plan(both) if run.candidate])
    there = [record(run, 0.5, 0.9 if run.recipe.lr == 0.1 else 0.8) for run in found.runs]
    leaderboard = rank(both, found.runs, there, tunings=found.tunings)
    (board,) = leaderboard.boards
    assert [(row.mean, row.tuned and row.tuned.values) for row in board.rows] == [(0.9, {"lr": 0.1}), (0.8, None)]
    assert {c.head: c.cells for c in columns.headline(board)}["tuned"][1] == "–"  # noqa: RUF001

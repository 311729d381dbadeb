"""A published board against its runs: every hand edit and every changed run is found, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cvbench.arrays import save_arrays
from cvbench.board import Leaderboard
from cvbench.evidence import RunEvidence
from cvbench.index import Index
from cvbench.leaderboard import rank
from cvbench.recomputing import differences
from cvbench.record import load_records, write_record
from cvbench.spec import DatasetRef
from cvbench.store import Store, truth_name
from tests import records
from tests.stores import keep, share, truth_of

PARTS = [DatasetRef(name="digits", options={"part": part}, version=1) for part in (0, 1)]
PLAN = [
    records.spec(name, seed, dataset=part, backbone=name)
    for part in PARTS
    for name in ("poor", "good", "none", "fair")
    for seed in (0, 1)
]
COUNTS = {"poor": 20, "good": 45, "fair": 43}


@pytest.fixture
def store(tmp_path) -> Store:
    """`none` has no run; one of `poor` failed."""
    store = Store(tmp_path)
    for run in PLAN:
        if run.label != "none" and (run.label, run.seed) != ("poor", 1):
            keep(store, run, share(50, COUNTS[run.label] + run.seed))
    return store


@pytest.fixture
def board(store: Store) -> Leaderboard:
    suite = records.suite()
    benchmark = suite.benchmarks[0].model_copy(update={"baseline": "fair"})
    return rank(
        suite.model_copy(update={"benchmarks": (benchmark,)}),
        PLAN,
        load_records(store.root),
        RunEvidence(store, Index(None)),
        failed={PLAN[1].run_id: "no space"},
    )


def test_a_board_follows_from_its_runs(store: Store, board: Leaderboard) -> None:
    assert [row.label for row in board.boards[0].rows] == ["good", "fair", "poor", "none"]
    assert [row.name for row in board.suite_scores[0].rows] == ["good", "fair", "poor"]
    assert differences(board, store) == []


def row(number: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda data: data["boards"][0]["rows"][number]


EDITS: list[tuple[str, Any, dict[str, Any], str]] = [
    ("mean", row(2), {"mean": 0.5}, "Expected mean 0.4"),
    ("sd", row(0), {"sd": 0.001}, "Expected sd 0.014142"),
    ("n", row(0), {"n": 3}, "Expected n 2"),
    ("interval", row(0), {"interval": {"low": 0.89, "high": 0.92}}, "Expected interval"),
    ("rank", row(1), {"standing": {"rank": 2, "best": 2, "worst": 2, "p": 1}}, "Expected standing"),
    ("difference", row(0), {"versus_baseline": None}, "Expected versus_baseline"),
    ("origin", row(0), {"origin": "re-scored"}, "Expected origin 'reproduced'"),
    ("scores", row(0), {"scores": {"top1": {"mean": 0.91, "sd": 0.014142}}}, "Expected scores"),
    ("classes", row(0), {"per_class": {"accuracy": [1.0, 1.0]}}, "Expected per_class"),
    ("costs", row(0), {"costs": {"parameters": 1}}, "Expected costs"),
    ("front", row(2), {"front": ["macs"]}, "Expected front"),
    ("curves", row(0), {"curves": []}, "Expected curves"),
    ("calibration", row(0), {"calibration": []}, "Expected calibration"),
    ("why", row(0), {"unranked": "because"}, "Expected unranked ''"),
    ("suite", lambda data: data["suite_scores"][0]["rows"][1], {"score": 1.0}, "the suite scores are not those"),
    ("run", lambda data: row(0)(data)["runs"][0], {"value": 0.99}, "Expected runs"),
    ("unknown", lambda data: row(0)(data)["runs"][0], {"run_id": "0" * 12}, "run 000000000000 is not in this store"),
    ("baseline", lambda data: data["boards"][0], {"baseline": "good"}, "Expected versus_baseline"),
]


@pytest.mark.parametrize(("edit", "place", "changes", "message"), EDITS, ids=[edit[0] for edit in EDITS])
def test_every_hand_edit_is_found(
    store: Store, board: Leaderboard, edit: str, place: Any, changes: dict[str, Any], message: str
) -> None:
    data = json.loads(board.model_dump_json())
    place(data).update(changes)
    problems = differences(Leaderboard.model_validate(data), store)
    assert any(message in problem for problem in problems), problems


def changed(store: Store, **update: Any) -> None:
    record = store.record(PLAN[2])
    write_record(record.model_copy(update=update), store.folder(PLAN[2]) / "record.json")


def test_a_run_that_is_gone(store: Store, board: Leaderboard) -> None:
    (store.folder(PLAN[2]) / "record.json").unlink()
    assert differences(board, store) == [f"classification, digits, good: run {PLAN[2].run_id} is not in this store"]


def test_a_run_that_cannot_be_read(store: Store, board: Leaderboard) -> None:
    (store.folder(PLAN[2]) / "record.json").write_text("{")
    (problem,) = differences(board, store)
    assert "record.json: not a readable record" in problem


def test_a_run_in_anothers_folder(store: Store, board: Leaderboard) -> None:
    text = (store.folder(PLAN[3]) / "record.json").read_text()
    (store.folder(PLAN[2]) / "record.json").write_text(text)
    (problem,) = differences(board, store)
    assert f"record.json: not the record of run {PLAN[2].run_id}" in problem


def test_a_run_of_another_evaluator(store: Store, board: Leaderboard) -> None:
    changed(store, evaluator_version=0)
    (problem,) = differences(board, store)
    assert "scored by evaluator 0, this is 1; `cvbench rescore`" in problem


def test_a_run_that_was_edited(store: Store, board: Leaderboard) -> None:
    changed(store, metrics=store.record(PLAN[2]).metrics | {"test/top1": 0.95})
    assert any("but its evidence gives 0.9" in problem for problem in differences(board, store))


def test_evidence_and_truth_that_were_replaced_or_are_gone(store: Store, board: Leaderboard) -> None:
    path = store.folder(PLAN[2]) / "evidence.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\x01")
    assert any("not the evidence that its record names" in problem for problem in differences(board, store))
    path.unlink()
    assert any("Expected interval None" in problem for problem in differences(board, store))
    path.write_bytes(whole)
    assert differences(board, store) == []
    save_arrays(
        store.root / "digits" / truth_name(store.record(PLAN[2])), truth_of(50) | {"classes": truth_of(4)["ids"]}
    )
    assert any("not the truth that record" in problem for problem in differences(board, store))


def test_nothing_is_taken_from_the_index(store: Store, board: Leaderboard) -> None:
    """Not even where somebody wrote better scores into it."""
    with Index(store.root) as index:
        evidence = RunEvidence(store, index)
        for record in load_records(store.root):
            evidence.proof(record, "top1")
    import sqlite3

    with sqlite3.connect(store.root / ".index.sqlite") as database:
        assert database.execute("UPDATE computed SET content = zeroblob(8000)").rowcount > 1
    database.close()
    assert differences(board, store) == []

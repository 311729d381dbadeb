"""What others have handed in stands on the board of its data, ranked like a run, and says where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench import assemble as module
from cvbench.board import Board
from cvbench.page.files import check, publish
from cvbench.recomputing import differences
from cvbench.record import Costs, Record, Selection, Submission
from cvbench.spec import SUBMITTED, DatasetRef, ModelRef, Recipe, RunSpec
from cvbench.store import Store
from tests import records
from tests.stores import keep, settle, share

NAME, URL = "net <b>of</b> others", "https://example.org/paper"
PLAN = records.plan(("good", "poor"), seeds=(0, 1))


@pytest.fixture(autouse=True)
def _unknown_revisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data are not here; their newest record tells their revision."""
    monkeypatch.setattr(module, "revisions", lambda runs, root: {run.run_id: None for run in runs})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two models, two seeds each, on 50 images: 45 and 43, 20 and 21 right."""
    store = Store(tmp_path / "runs")
    for run, count in zip(PLAN, (45, 43, 20, 21), strict=True):
        keep(store, run, share(50, count))
    settle(store.root)
    return store


def hand_in(store: Store, right: np.ndarray, name: str = NAME, **changes: Any) -> Record:
    """As `cvbench submit` leaves it: seed 0, the default recipe, no execution, costs as told."""
    data: dict[str, Any] = {"dataset": DatasetRef(name="digits", options={}, version=1)} | changes.pop("spec", {})
    model = ModelRef(name=name, options={"evidence": "ab" * 32})
    spec = RunSpec(task="classification", mode=SUBMITTED, primary="top1", model=model, recipe=Recipe(), seed=0,
                   task_version=1, label=name, **data)  # fmt: skip
    fields = {
        "submission": Submission(name=name, url=URL, predictions="cd" * 32),
        "execution": None,
        "costs": Costs(parameters=1000),
        "selection": Selection(rule="made elsewhere: what its author selected"),
    }
    record = keep(store, spec, right, **fields | changes)
    (store.folder(spec) / "curves.csv").unlink()
    settle(store.folder(spec))
    return record


def board(store: Store) -> Board:
    (found,) = records.assembled(PLAN, store).boards
    return found


def test_it_is_ranked_with_the_runs_and_says_what_it_is(store: Store) -> None:
    record = hand_in(store, share(50, 32))
    rows = {row.label: row for row in board(store).rows}
    assert list(rows) == ["good", NAME, "poor"]
    theirs = rows[NAME]
    assert (theirs.mean, theirs.sd, theirs.n, theirs.planned) == (0.64, None, 1, 1)
    assert (theirs.origin, theirs.url) == ("re-scored", URL)
    assert (theirs.interval.image_only, theirs.standing.best <= 2 <= theirs.standing.worst) == (True, True)
    assert theirs.runs[0].run_id == record.run_id
    # nobody here knows how it was made
    assert (theirs.options, theirs.recipe, theirs.overrides, theirs.environments, theirs.curves) == ({}, {}, (), (), ())
    assert theirs.costs == Costs(parameters=1000)
    assert rows["good"].origin == "reproduced"


def test_the_board_follows_from_the_store_and_renders(store: Store, tmp_path: Path) -> None:
    hand_in(store, share(50, 32))
    found = records.assembled(PLAN, store)
    assert differences(found, store) == []
    publish(found, tmp_path / "boards")
    assert check(tmp_path / "boards") == []
    assert "<b>of</b>" not in (tmp_path / "boards" / "index.html").read_text(encoding="utf-8")


def test_one_that_comes_later_changes_a_board_that_was_kept(store: Store) -> None:
    assert [len(board(store).rows) for _ in range(2)] == [2, 2]
    hand_in(store, share(50, 32))
    assert len(board(store).rows) == 3


@pytest.mark.parametrize(
    "spec",
    [
        {"dataset": DatasetRef(name="digits", options={"other": 1}, version=1)},
        {"dataset": DatasetRef(name="digits", options={}, version=2)},
    ],
)
def test_other_data_are_another_board(store: Store, spec: dict[str, Any]) -> None:
    hand_in(store, share(50, 32), spec=spec)
    assert len(board(store).rows) == 2


def test_another_protocol_or_revision_is_never_in_the_table(store: Store) -> None:
    hand_in(store, share(50, 32), "a", dataset=records.facts(revision="bbbbbbbbbbbb"))
    hand_in(store, share(50, 32), "b", dataset=records.facts(protocol={"classes": 3}))
    assert len(board(store).rows) == 2


def test_what_its_evidence_contradicts_or_nobody_can_see_has_no_rank(store: Store) -> None:
    edited = hand_in(store, share(50, 32), "edited", others={"macro_top1": 0.99})
    unseen = hand_in(store, share(50, 32), "unseen")
    (store.folder(unseen.spec) / "evidence.npz").unlink()
    old = hand_in(store, share(50, 32), "old", evaluator_version=0)
    rows = {row.label: row for row in board(store).rows}
    assert (rows["edited"].mean, rows["edited"].runs[0].state) == (None, "failed")
    assert "its evidence gives" in rows["edited"].runs[0].reason
    assert (rows["unseen"].origin, rows["unseen"].mean, rows["unseen"].standing) == ("self-reported", 0.64, None)
    assert "its evidence is not here" in rows["unseen"].unranked
    assert (rows["old"].mean, rows["old"].runs[0].state) == (None, "stale")
    assert {edited.run_id, unseen.run_id, old.run_id} <= {run.run_id for row in rows.values() for run in row.runs}

"""Boards from a store: at once where nothing changed, anew where anything did, whatever the records are like."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench import assemble as module
from cvbench.board import Leaderboard, frozen
from cvbench.evidence import RunEvidence
from cvbench.gallery import GALLERY, LIST
from cvbench.index import FILE, Index
from cvbench.leaderboard import rank
from cvbench.page.files import check, publish
from cvbench.recomputing import differences
from cvbench.record import write_record
from cvbench.spec import DatasetRef
from cvbench.store import Failure, Store, truth_name
from tests import records
from tests.stores import keep, settle, share, truth_of

NOWHERE = Path("/nowhere")
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


def made(store: Store, planned=PLAN, **changes: Any) -> Leaderboard:
    return records.assembled(planned, store, changes.pop("suite", None), **changes)


def anew(store: Store, planned=PLAN) -> Leaderboard:
    """Without any index."""
    from cvbench.record import load_records

    return rank(records.suite(), planned, load_records(store.root), RunEvidence(store, Index(None)), published=False)


def test_a_board_by_hand(store: Store) -> None:
    (board,) = made(store).boards
    good, poor = board.rows
    assert (good.label, good.mean, good.n, poor.mean) == ("good", 0.88, 2, 0.41)
    assert good.sd == pytest.approx(0.02 * np.sqrt(2), abs=1e-6)
    assert [row.standing.rank for row in board.rows] == [1, 2]
    assert [(row.standing.best, row.standing.worst) for row in board.rows] == [(1, 1), (2, 2)]
    assert good.interval.low < 0.88 < good.interval.high
    assert {row.origin for row in board.rows} == {"reproduced"}
    assert good.curves[0].val == (0.4, 0.6)
    assert good.calibration[0].count == 100


def test_it_is_what_is_made_without_an_index(store: Store) -> None:
    expected = frozen(anew(store))
    assert [frozen(made(store)) for _ in range(3)] == [expected] * 3


def test_where_nothing_changed_nothing_is_computed_or_read(store: Store, monkeypatch) -> None:
    first = made(store)
    monkeypatch.setattr(module, "rank", lambda *_, **__: pytest.fail("ranked again"))
    monkeypatch.setattr(module, "parse_record", lambda *_: pytest.fail("read again"))
    assert made(store) == first


def change_record(store: Store) -> None:
    record = store.record(PLAN[0])
    write_record(record.model_copy(update={"costs": record.costs.model_copy(update={"parameters": 7})}),
                 store.folder(PLAN[0]) / "record.json")  # fmt: skip


def change_evidence(store: Store) -> None:
    path = store.folder(PLAN[0]) / "evidence.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")


def change_truth(store: Store) -> None:
    path = store.root / "digits" / truth_name(store.record(PLAN[0]))
    np.savez(path, **(truth_of(50) | {"labels": 1 - truth_of(50)["labels"]}))


def remove_record(store: Store) -> None:
    (store.folder(PLAN[3]) / "record.json").unlink()


def note_failure(store: Store) -> None:
    store.fail(PLAN[3], Failure.of(PLAN[3], ValueError("nan at step 3")))


def damage_record(store: Store) -> None:
    (store.folder(PLAN[3]) / "record.json").write_text("{")


def change_curves(store: Store) -> None:
    (store.folder(PLAN[0]) / "curves.csv").write_text("epoch,train/loss\n1,0.5\n")


def add_pictures(store: Store) -> None:
    folder = store.folder(PLAN[1]) / GALLERY
    folder.mkdir()
    (folder / "a.webp").write_bytes(b"webp")
    kept = {"file": "a.webp", "sample": "test/3", "kind": "hard", "score": 0.25}
    (folder / LIST).write_text(json.dumps([kept]))


CHANGES = [change_record, change_evidence, change_truth, remove_record, damage_record, change_curves,
           add_pictures]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_every_changed_file_makes_the_board_anew(store: Store, change: Any) -> None:
    before = made(store)
    assert made(store) == before
    change(store)
    after = made(store)
    assert after != before
    assert made(store) == after


def test_what_was_written_this_moment_does_not_keep_a_board(store: Store) -> None:
    """Twice in one tick of the clock, as long as before: no stamp would tell, so nothing is kept meanwhile."""
    change_record(store)
    made(store)
    with Index(store.root) as index:
        assert index.computed("board quick False") is None
    settle(store.root)
    made(store)
    with Index(store.root) as index:
        assert index.computed("board quick False") is not None


def test_another_data_revision_makes_it_anew(store: Store, monkeypatch) -> None:
    before = made(store)
    monkeypatch.setattr(module, "revisions", lambda runs, root: {run.run_id: "bbbbbbbbbbbb" for run in runs})
    after = made(store)
    assert [row.state for row in before.boards[0].rows] == ["2 of 2", "2 of 2"]
    assert [row.state for row in after.boards[0].rows] == ["0 of 2, 2 outdated", "0 of 2, 2 outdated"]


def test_a_failure_that_is_noted_makes_it_anew(store: Store) -> None:
    remove_record(store)
    before = made(store)
    assert made(store) == before
    note_failure(store)
    (after,) = made(store).boards
    assert (before.boards[0].rows[1].state, after.rows[1].state) == ("1 of 2, 1 missing", "1 of 2, 1 failed")
    assert after.rows[1].runs[1].reason == "ValueError: nan at step 3"


def test_another_command_or_plan_makes_it_anew(store: Store) -> None:
    """Each against a board of the same files that was just kept."""

    def kept() -> Leaderboard:
        made(store)
        with Index(store.root) as index:
            assert index.computed("board quick False") is not None
        return made(store)

    command = kept().boards[0].command
    assert made(store, overrides=["recipe.epochs=2"]).boards[0].command == f"{command} recipe.epochs=2"
    assert len(kept().boards[0].rows) == 2
    assert len(made(store, PLAN[:2]).boards[0].rows) == 1
    assert kept().boards[0].rows[0].label == "good"
    renamed = [run.model_copy(update={"label": f"my {run.label}"}) for run in PLAN]
    assert made(store, renamed).boards[0].rows[0].label == "my good"
    assert kept().boards[0].rows[0].backbone == ""
    joined = [run.model_copy(update={"backbone": "vgg"}) for run in PLAN]
    assert made(store, joined).boards[0].rows[0].backbone == "vgg"
    assert kept().boards[0].baseline is None
    (benchmark,) = records.suite().benchmarks
    suite = records.suite().model_copy(update={"benchmarks": (benchmark.model_copy(update={"baseline": "poor"}),)})
    assert made(store, suite=suite).boards[0].baseline == "poor"


def test_pictures_of_data_that_are_not_ours_stay_here(store: Store) -> None:
    closed = records.facts(redistributable=False)
    for run, count in zip(PLAN, (45, 43, 20, 21), strict=True):
        keep(store, run, share(50, count), dataset=closed)
    add_pictures(store)
    settle(store.root)
    shown = {audience: made(store, published=audience).boards[0].rows[0].pictures for audience in (False, True, False)}
    assert {audience: len(pictures) for audience, pictures in shown.items()} == {False: 1, True: 0}


def test_new_code_makes_it_anew(store: Store, monkeypatch) -> None:
    made(store)
    monkeypatch.setattr(module, "_code", lambda: [("interval.py", 1, 2)])
    calls: list[int] = []
    monkeypatch.setattr(module, "rank", lambda *args, **more: calls.append(1) or rank(*args, **more))
    made(store)
    assert calls == [1]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE computed SET content = '{' WHERE key LIKE 'board %'",
        "UPDATE computed SET about = 'x'",
        "DROP TABLE files",
        "DROP TABLE computed",
    ],
)
def test_a_damaged_index_never_makes_a_wrong_board(store: Store, damage: str) -> None:
    before = made(store)
    with sqlite3.connect(store.root / FILE) as database:
        database.execute(damage)
    database.close()
    assert made(store) == before


def test_an_empty_store_is_a_board_without_numbers(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nowhere"):
        (board,) = made(Store(root)).boards
        assert [(row.state, row.mean, row.standing, row.unranked) for row in board.rows] == [
            ("0 of 2, 2 missing", None, None, "")
        ] * 2
    publish(made(Store(tmp_path)), tmp_path / "board")
    assert check(tmp_path / "board") == []
    assert differences(made(Store(tmp_path)), Store(tmp_path)) == []


def test_records_that_cannot_be_read_fail_their_run_alone(store: Store) -> None:
    text = (store.folder(PLAN[0]) / "record.json").read_text()
    newer = json.loads(text) | {"schema_version": 99}
    (store.folder(PLAN[0]) / "record.json").write_text(json.dumps(newer))
    (store.folder(PLAN[1]) / "record.json").write_text(text)
    (good, poor) = made(store).boards[0].rows[::-1]
    assert (poor.n, good.state) == (2, "0 of 2, 2 failed")
    assert "Expected schema_version <= 1, but got 99; upgrade cvbench" in good.runs[0].reason
    assert f"Expected the record of run {PLAN[1].run_id}, but got {PLAN[0].run_id}" in good.runs[1].reason


def test_mixed_protocols_are_never_in_one_table(store: Store) -> None:
    halved = records.facts(protocol={"classes": 2, "scoring_size": "halved"})
    other = store.record(PLAN[0])
    write_record(other.model_copy(update={"dataset": halved}), store.folder(PLAN[0]) / "record.json")
    good, _ = made(store).boards[0].rows
    assert (good.state, good.mean) == ("1 of 2, 1 outdated", 0.86)
    assert "measured under protocol" in good.runs[0].reason


def test_stale_runs_are_named_and_not_counted(store: Store) -> None:
    old = store.record(PLAN[0]).model_copy(update={"evaluator_version": 0})
    write_record(old, store.folder(PLAN[0]) / "record.json")
    good, _ = made(store).boards[0].rows
    assert (good.state, good.mean, good.interval.image_only) == ("1 of 2, 1 stale", 0.86, True)
    assert good.runs[0].reason == "scored by evaluator 0; this is 1"


def test_an_edited_record_is_a_failed_run_and_says_so(store: Store) -> None:
    old = store.record(PLAN[2])
    write_record(old.model_copy(update={"metrics": old.metrics | {"test/top1": 0.999}}),
                 store.folder(PLAN[2]) / "record.json")  # fmt: skip
    board = made(store)
    row = board.boards[0].rows[1]
    assert (row.label, row.state, row.mean) == ("poor", "1 of 2, 1 failed", 0.42)
    assert "test/top1 is 0.999, but its evidence gives 0.4" in row.runs[0].reason
    assert "/nowhere" not in frozen(board)
    assert str(store.root) not in frozen(board)


def tied(tmp_path: Path, labels: tuple[str, ...]) -> tuple[Store, list]:
    store = Store(tmp_path / "tied")
    planned = records.plan(labels, seeds=(0, 1))
    for run in planned:
        keep(store, run, share(40, 30 + run.seed))
    return store, planned


def test_rows_that_are_all_equal_are_all_first(tmp_path: Path) -> None:
    """Whatever the order of the benchmark's file; and what was made is what the runs give again."""
    store, planned = tied(tmp_path, ("c", "a", "b"))
    leaderboard = made(store, planned)
    rows = leaderboard.boards[0].rows
    assert [row.label for row in rows] == ["a", "b", "c"]
    assert [(row.standing.rank, row.standing.best, row.standing.worst, row.standing.p) for row in rows] == [
        (1, 1, 3, 1)
    ] * 3
    publish(leaderboard, tmp_path / "board")
    assert check(tmp_path / "board") == []
    assert differences(leaderboard, store) == []


def test_equal_means_of_unequal_rows_are_ordered_in_one_way(tmp_path: Path) -> None:
    """Three rows with the same share right of other images; which is the best of their group must not depend on the
    order of the plan."""
    store = Store(tmp_path)
    planned = records.plan(("c", "a", "b", "d"), seeds=(0,))
    for place, run in enumerate(planned):
        keep(store, run, np.roll(share(60, 30 if run.label != "d" else 44), 11 * place))
    boards = [made(store, plan).boards[0] for plan in (planned, planned[::-1])]
    assert boards[0].rows == boards[1].rows
    assert differences(made(store, planned), store) == []


def test_a_single_row(tmp_path: Path) -> None:
    store, planned = tied(tmp_path, ("alone",))
    (row,) = made(store, planned).boards[0].rows
    assert row.standing.model_dump() == {"rank": 1, "best": 1, "worst": 1, "p": 1}
    assert row.front == ("macs", "parameters", "train_seconds")
    assert row.versus_baseline is None


def test_the_baseline_is_a_column(store: Store) -> None:
    suite = records.suite()
    benchmark = suite.benchmarks[0].model_copy(update={"baseline": "poor"})
    (board,) = made(store, suite=suite.model_copy(update={"benchmarks": (benchmark,)})).boards
    good, poor = board.rows
    assert board.baseline == "poor"
    assert poor.versus_baseline is None
    assert good.versus_baseline.value == 0.47
    assert good.versus_baseline.low < 0.47 < good.versus_baseline.high
    assert good.versus_baseline.p < 0.05
    assert good.versus_baseline.probability_better == 1


def on(part: int, name: str, task: str = "classification", **changes: Any):
    return records.spec(name, 0, dataset=DatasetRef(name="digits", options={"part": part}, version=1), **changes)


def test_suite_scores_of_a_task_and_of_common_backbones(tmp_path: Path) -> None:
    """Two boards of one task: rows by label; only those on both."""
    store = Store(tmp_path)
    counts = {("a", 0): 45, ("b", 0): 30, ("a", 1): 40, ("b", 1): 41, ("only", 1): 20}
    planned = [on(part, name, backbone="resnet18") for name, part in counts]
    for run, count in zip(planned, counts.values(), strict=True):
        keep(store, run, share(50, count))
    (score,) = made(store, planned).suite_scores
    assert (score.task, score.boards, [row.name for row in score.rows]) == ("classification", 2, ["a", "b"])
    assert differences(made(store, planned), store) == []

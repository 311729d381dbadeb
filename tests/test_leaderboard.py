"""Ordering, rounding and freezing of boards."""

from __future__ import annotations

import json

import pytest

from cvbench.board import freeze, frozen, read_board
from cvbench.leaderboard import rank
from cvbench.page.consistency import inconsistencies
from cvbench.record import Costs, Execution
from cvbench.spec import ModelRef, Recipe, Weights
from tests.records import facts, plan, record, spec, suite


def labels(board):
    return [row.label for row in board.rows]


def ranked(scores: dict[str, float | None], **changes):
    """A leaderboard with one seed a model; None: not run."""
    runs = plan(list(scores), seeds=(0,), **changes)
    return rank(suite(), runs, [record(run, scores[run.label]) for run in runs if scores[run.label] is not None])


def test_rows_stand_best_first_and_unfinished_last():
    (board,) = ranked({"c": 0.5, "none": None, "a": 0.9, "b": 0.7}).boards
    assert labels(board) == ["a", "b", "c", "none"]
    assert [(row.rank, row.interval) for row in board.rows] == [(None, None)] * 4


def test_a_metric_to_minimise_is_ordered_the_other_way():
    (board,) = ranked({"c": 0.5, "none": None, "a": 0.9}, primary="nll").boards
    assert board.primary.direction == "min"
    assert labels(board) == ["c", "a", "none"]


def test_numbers_are_rounded_when_frozen():
    runs = plan()
    costs = Costs(parameters=7, train_seconds=12.3456789, latency_p50_seconds=0.000123456789)
    records = [record(run, value, costs=costs) for run, value in zip(runs, (0.1234567, 0.2, 0.3), strict=True)]
    (row,) = rank(suite(), runs, records).boards[0].rows
    assert row.mean == 0.207819  # 0.6234567 / 3
    assert row.runs[0].value == 0.123457
    assert (row.costs.train_seconds, row.costs.latency_p50_seconds) == (12.3457, 0.000123457)


def test_one_seed_has_no_sd_and_none_no_mean():
    (board,) = ranked({"a": 0.9, "none": None}).boards
    assert [(row.mean, row.sd, row.n, row.planned) for row in board.rows] == [(0.9, None, 1, 1), (None, None, 0, 1)]
    assert board.rows[1].costs is None


def test_a_failed_seed_stays_in_its_row_with_its_reason_and_nobodys_folders():
    runs = plan()
    reason = "DataError: /home/someone/data/digits/a b.png is cut off;\n fetch it from https://example.org/x/y"
    board = rank(suite(), runs, [record(run, 0.9) for run in runs[:2]], failed={runs[2].run_id: reason}).boards[0]
    (row,) = board.rows
    assert (row.state, row.runs[2].state, row.runs[2].value) == ("2 of 3, 1 failed", "failed", None)
    assert row.runs[2].reason == "DataError: …/a b.png is cut off; fetch it from https://example.org/x/y"


def test_per_class_values_are_means_over_the_seeds_that_define_them():
    runs = plan(seeds=(0, 1))
    values = [{"zero": 0.5, "one": None}, {"zero": 0.7, "one": 0.2}]
    records = [record(run, 0.9, per_class={"iou": value}) for run, value in zip(runs, values, strict=True)]
    board = rank(suite(), runs, records).boards[0]
    assert board.classes == ("zero", "one")
    assert board.rows[0].per_class == {"iou": (0.6, 0.2)}


def test_absent_classes_are_named_in_the_order_of_the_classes():
    runs = plan(seeds=(0,))
    seen = record(runs[0], 0.9, dataset=facts(classes=("a", "b", "c")), absent_classes=("c", "a"))
    assert rank(suite(), runs, [seen]).boards[0].absent_classes == ("a", "c")


def test_recipe_of_most_rows_and_what_one_changed_for_itself():
    runs = plan(("a", "b"), seeds=(0,))
    runs.append(spec("c", recipe=Recipe(epochs=2, lr=0.5, warmup=0.1), overrides=("lr", "warmup")))
    board = rank(suite(), [runs[2], *runs[:2]], []).boards[0]
    assert board.recipe["lr"] == 0.001
    assert {row.label: row.recipe for row in board.rows} == {"a": {}, "b": {}, "c": {"lr": 0.5, "warmup": 0.1}}
    assert board.rows[2].overrides == ("lr", "warmup")


def test_equal_labels_are_told_apart():
    runs = [spec("fcn", model=ModelRef(name="fcn", options={"stride": stride, "width": 8})) for stride in (8, 32)]
    assert labels(rank(suite(), runs, []).boards[0]) == ["fcn (stride 32)", "fcn (stride 8)"]
    recipes = [spec("fcn", recipe=Recipe(epochs=epochs)) for epochs in (1, 2)]
    expected = {f"fcn ({run.group_id})" for run in recipes}
    assert set(labels(rank(suite(), recipes, []).boards[0])) == expected


def test_environments_are_listed_once():
    runs = plan(("a", "b"), seeds=(0, 1))
    gpu = Execution(accelerator="cuda", devices=2, device_name="a GPU", threads=4, batch_per_device=1)
    records = [record(run, 0.9 if run.label == "a" else 0.8) for run in runs[:3]]
    board = rank(suite(), runs, [*records, record(runs[3], 0.8, execution=gpu)])
    assert [environment["device_name"] for environment in board.environments] == ["a CPU", "a GPU"]
    assert [row.environments for row in board.boards[0].rows] == [(0,), (0, 1)]


def test_batches_in_parts_are_another_environment():
    (run,) = plan(("a",), seeds=(0,))
    plain = record(run, 0.9)
    halved = plain.execution.model_copy(update={"accumulate": 2})
    (told,) = rank(suite(), [run], [record(run, 0.9, execution=halved)]).environments
    assert told["batches_in_parts"] == 2
    assert "batches_in_parts" not in rank(suite(), [run], [plain]).environments[0]


def test_the_board_tells_how_to_reproduce_it_and_not_whose_folders_these_are():
    model = ModelRef(name="fcn", options={}, weights=Weights(source="/home/someone/secret/vgg.pth", sha256="ab" * 32))
    runs = [spec("fcn", model=model)]
    leaderboard = rank(suite(), runs, [record(runs[0], 0.9)], overrides=["recipe.epochs=1", "a b=2"])
    (board,) = leaderboard.boards
    assert board.command == "cvbench run benchmarks/quick/classification.yaml recipe.epochs=1 'a b=2'"
    assert board.rows[0].weights == {"source": "vgg.pth", "sha256": "ab" * 32}
    assert "someone" not in frozen(leaderboard)


def test_frozen_boards_load_to_the_same_bytes_and_hold_no_times(tmp_path):
    leaderboard = ranked({"a": 0.9, "none": None})
    freeze(leaderboard, tmp_path / "board.json")
    assert read_board(tmp_path / "board.json") == leaderboard
    assert frozen(read_board(tmp_path / "board.json")) == (tmp_path / "board.json").read_text(encoding="utf-8")
    assert "2025" not in frozen(leaderboard)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a board"),
        ("[1]", "not a board"),
        ('{"schema_version": 99}', "Expected schema_version <= 1, but got 99; upgrade cvbench"),
        ('{"schema_version": 1, "suite": "x"}', "title"),
    ],
)
def test_a_damaged_or_newer_board_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "board.json").write_text(content)
    with pytest.raises(ValueError, match=r"board\.json: not a board") as error:
        read_board(tmp_path / "board.json")
    assert message in str(error.value)


def test_a_board_that_contradicts_its_own_runs_is_found():
    runs = plan(("a", "b"))
    honest = rank(suite(), runs, [record(run, 0.5 + 0.1 * run.seed + 0.01 * (run.label == "a")) for run in runs])
    assert inconsistencies(honest) == []

    def changed(edit):
        data = json.loads(frozen(honest))
        edit(data["boards"][0]["rows"])
        return inconsistencies(type(honest).model_validate(data))

    assert (
        "Expected mean 0.610000 of its runs' values, but got 0.99" in changed(lambda rows: rows[0].update(mean=0.99))[0]
    )
    assert "Expected sd 0.100000" in changed(lambda rows: rows[1].update(sd=None))[0]
    assert "Expected n 3 of 3, but got 3 of 2" in changed(lambda rows: rows[0].update(planned=2))[0]
    assert "not in the order of top1" in changed(lambda rows: rows.reverse())[0]


def test_a_task_of_somebodys_own_ranks_by_what_its_records_say():
    run = spec("a", task="depth", primary="rmse")
    board = rank(suite(), [run], [record(run, 0.5, directions={"test/rmse": "min"})]).boards[0]
    assert (board.primary.name, board.primary.direction) == ("rmse", "min")


def test_percent_is_for_the_metrics_that_are_declared_so():
    others = {"top5": 1.0, "macro_top1": 0.9, "nll": 0.3, "ece": 0.01}
    runs = plan(seeds=(0,))
    board = rank(suite(), runs, [record(runs[0], 0.9, others=others)]).boards[0]
    shown = {metric.name: metric.unit for metric in board.metrics}
    assert shown == {"top1": "%", "top5": "%", "macro_top1": "%", "nll": "", "ece": "%"}
    # 0.5 metres are not 50 %: nobody declared that this is a fraction
    run = spec("a", task="depth", primary="rmse")
    assert rank(suite(), [run], [record(run, 0.5)]).boards[0].primary.unit == ""


def test_the_words_of_a_definition_do_not_decide_what_is_percent(monkeypatch):
    table = {"top1": ("max", "share of cognats found", "%"), "bits": ("min", "mean code length", "bits")}
    monkeypatch.setattr("cvbench.catalog.metrics", lambda task: ("top1", table))
    runs = plan(seeds=(0,))
    board = rank(suite(), runs, [record(runs[0], 0.9, others={"bits": 0.7})]).boards[0]
    assert [(metric.name, metric.unit) for metric in board.metrics] == [("top1", "%"), ("bits", "")]

"""Ordering, rounding and freezing of boards."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cvbench.board import Interval, Score, Standing, freeze, frozen, read_board
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
    assert [(row.standing, row.interval) for row in board.rows] == [(None, None)] * 4
    assert [row.unranked for row in board.rows] == ["no evidence was looked for"] * 3 + [""]


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


def test_the_smallest_batch_that_batch_norm_saw_is_told_where_the_recipes_was_divided():
    runs = plan(("a",), seeds=(0, 1, 2))
    batch = runs[0].recipe.batch_size
    half, quarter = batch // 2, batch // 4
    cases = ([batch] * 3, None), ([None] * 3, None), ([batch, half, None], half), ([quarter, half, batch], quarter)
    for saw, told in cases:
        records = [record(run, 0.9) for run in runs]
        records = [
            one.model_copy(update={"execution": one.execution.model_copy(update={"batch_norm_batch": few})})
            for one, few in zip(records, saw, strict=True)
        ]
        assert rank(suite(), runs, records).boards[0].rows[0].batch_norm_batch == told


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
        ('{"schema_version": 99}', "Expected schema_version <= 2, but got 99; upgrade cvbench"),
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


def made_up(**changes):
    """A board with ranks, intervals and differences, and what is wrong with it after a change."""
    from tests import boards

    rows = [boards.row("unet", 0.8, 1, versus_baseline=boards.AHEAD.model_copy(update={"value": 0.1})),
            boards.row("fcn", 0.7, 2, versus_baseline=None)]  # fmt: skip
    place, update = changes.get("row", (0, {}))
    rows[place] = rows[place].model_copy(update=update)
    if "second" in changes:
        rows[1] = rows[1].model_copy(update={"standing": Standing(rank=changes["second"], best=1, worst=2, p=1)})
    whole = boards.board(tuple(rows), baseline=changes.get("baseline", "fcn"))
    return inconsistencies(boards.leaderboard((whole,), suite_scores=()))


def test_ranks_intervals_and_differences_that_cannot_be():
    from tests import boards

    assert made_up() == []
    assert "around 0.8" in made_up(row=(0, {"interval": Interval(low=0.81, high=0.9)}))[0]
    assert "no rank without an interval" in made_up(row=(0, {"interval": None}))[0]
    third = Standing(rank=3, best=1, worst=2, p=1)
    assert "dense ranks from 1 on in the order of the rows, but got [1, 3]" in made_up(row=(1, {"standing": third}))[0]
    assert (
        "but got [2, 2]" in made_up(row=(0, {"standing": boards.BEHIND.model_copy(update={"best": 1, "worst": 2})}))[0]
    )
    assert "but got [0, 1]" in made_up(row=(0, {"standing": Standing(rank=0, best=1, worst=2, p=1)}), second=1)[0]
    assert "ranks in 1..2" in made_up(row=(1, {"standing": Standing(rank=2, best=2, worst=3, p=1)}))[0]
    apart = boards.AHEAD.model_copy(update={"value": 0.12})
    assert "unet: Expected the difference 0.100000" in made_up(row=(0, {"versus_baseline": apart}))[0]
    apart = boards.AHEAD.model_copy(update={"low": 0.11})
    assert "unet: Expected the difference 0.100000 in its interval" in made_up(row=(0, {"versus_baseline": apart}))[0]
    assert "no difference to a baseline that is not there" in made_up(baseline=None)[0]
    other = {"top1": Score(mean=0.9, sd=0.01)}
    assert "Expected top1 to be what the row is ranked by" in made_up(row=(0, {"scores": other}))[0]


def test_fronts_by_hand_whichever_way_is_better():
    from cvbench.rows import with_fronts
    from tests import boards

    def of(place, mean, **costs):
        return boards.row(str(place), mean, costs=Costs(parameters=10, **costs))

    rows = [of(0, 0.8, macs=9), of(1, 0.7, macs=10), of(2, 0.6, macs=3), of(3, 0.8, macs=9), of(4, 0.9)]
    rows.append(boards.row("none", None, 4))
    assert [row.front for row in with_fronts(rows, "max")] == [
        ("macs",), (), ("macs",), ("macs",), ("parameters",), ()]  # fmt: skip
    assert [row.front for row in with_fronts(rows, "min")] == [
        (), (), ("macs", "parameters"), (), (), ()]  # fmt: skip


def test_across_tasks_rows_with_a_common_backbone_are_scored_together():
    """By hand: two boards, unit of each 0.1 times root 4/3; two models of one backbone on a board say nothing."""
    from cvbench.leaderboard import Member, suite_scores_of
    from cvbench.standings import Proven
    from cvbench.statistics.resamples import Scores
    from cvbench.table import Group, PlannedRun
    from tests import boards

    patterns = np.array([1.0, 1, -1, -1]), np.array([1.0, -1, 1, -1])

    def member(name, backbone, mean, pattern):
        scores = Scores(np.array([mean]), mean + 0.1 * patterns[pattern][None], 50)
        group = Group((PlannedRun(spec(name, backbone=backbone), "missing", None),), None)
        return Member(group, Proven("reproduced", scores), name, ())

    of = [boards.board((), task=task) for task in ("classification", "detection")]
    members = [
        [member("a", "vgg", 0.9, 0), member("b", "resnet", 0.7, 1), member("c", "", 0.99, 1),
         member("h", "twice", 0.99, 0)],
        [member("d", "vgg", 0.4, 0), member("e", "resnet", 0.5, 1), member("f", "twice", 0.9, 0),
         member("g", "twice", 0.9, 1)],
    ]  # fmt: skip
    (score,) = suite_scores_of(of, members)
    unit = 0.1 * (4 / 3) ** 0.5
    assert (score.task, score.boards) == ("", 2)
    expected = {"vgg": 1 + 0.1 / unit / 2, "resnet": 1 + 0.2 / unit / 2}
    assert {row.name: row.score for row in score.rows} == pytest.approx(expected, abs=6e-4)
    # of one task they are scored by label, and no label is on both
    assert suite_scores_of([of[0], of[0]], members) == ()

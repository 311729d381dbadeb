"""What evidence adds to rows: worked out with numpy and scipy from the right and wrong answers of each run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from cvbench.board import Interval
from cvbench.evidence import RunEvidence
from cvbench.index import Index
from cvbench.standings import Proven, calibration_of, difference, prove, standings, suite_score
from cvbench.statistics.resamples import Scores, draws
from cvbench.store import Store
from cvbench.table import Group, groups
from tests import records
from tests.stores import evidence_of, keep, share


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def proven(store: Store, *seeds: np.ndarray, name: str = "lenet", **changes) -> tuple[Group, Proven]:
    """The row of a model whose seeds have these images right."""
    runs = [records.spec(name, seed, **changes) for seed in range(len(seeds))]
    kept = [keep(store, run, right) for run, right in zip(runs, seeds, strict=True)]
    (group,) = groups(runs, kept)
    return prove(group, RunEvidence(store, Index(None)))


def ends(mean: float, half: float, resampled: np.ndarray) -> tuple[float, float]:
    """Further out on the side of the bias, which shows as root 2 - 1 of itself."""
    bias = (resampled.mean() - mean) / (math.sqrt(2) - 1)
    return mean - half - max(0, bias), min(1, mean + half + max(0, -bias))


def test_one_seed_is_of_its_images_only_and_so_marked(store: Store) -> None:
    right = share(100, 70)
    _, row = proven(store, right)
    resampled = draws(100) @ right / 100
    half = stats.t.ppf(0.975, 99) * resampled.std(ddof=1)
    low, high = ends(0.7, half, resampled)
    assert row.interval is not None
    assert (row.interval.low, row.interval.high) == pytest.approx((low, high), abs=1.01e-6)
    # and by the textbook: 0.7 ± 1.98 · root(0.7 · 0.3 / 100)
    assert (row.interval.high - row.interval.low) / 2 == pytest.approx(1.98 * math.sqrt(0.0021), rel=0.06)
    assert (row.interval.image_only, row.origin, row.why) == (True, "reproduced", "")


def by_hand(seeds: Sequence[np.ndarray]) -> tuple[float, float]:
    """(variance, df) of the mean, from the formulas in words: B + s²/n - c²/n, and Satterthwaite."""
    n, images = len(seeds), len(seeds[0])
    resampled = np.stack(seeds) @ draws(images).T / images
    together = np.var(resampled.mean(axis=0), ddof=1)
    alone = np.mean([np.var(one, ddof=1) for one in resampled])
    of_seeds = np.var([one.mean() for one in seeds], ddof=1) / n
    variance = max(together, together + of_seeds - max(0.0, alone - together) / (n - 1))
    df = variance**2 / (together**2 / (images - 1) + of_seeds**2 / (n - 1))
    return variance, max(df, min(n - 1, images - 1))


def test_three_seeds(store: Store) -> None:
    rng = np.random.default_rng(0)
    seeds = [rng.random(80) < chance for chance in (0.5, 0.6, 0.8)]
    _, row = proven(store, *seeds)
    variance, df = by_hand(seeds)
    mean = np.mean([one.mean() for one in seeds])
    half = stats.t.ppf(0.975, df) * math.sqrt(variance)
    low, high = ends(float(mean), half, np.mean(seeds, axis=0) @ draws(80).T / 80)
    assert row.interval is not None
    assert (row.interval.low, row.interval.high) == pytest.approx((low, high), abs=1.01e-6)
    assert not row.interval.image_only


def test_seeds_that_are_all_equal_leave_the_images(store: Store) -> None:
    """As `prior` has: sd 0, but not one seed."""
    right = share(100, 70)
    _, one = proven(store, right, name="one")
    group, three = proven(store, right, right, right, name="three")
    assert group.primary.sd == pytest.approx(0, abs=1e-12)
    assert one.interval is not None
    assert three.interval == one.interval.model_copy(update={"image_only": False})


@pytest.mark.parametrize(("right", "why"), [([True], "at least two images to resample, but got 1"), ([], None)])
def test_too_few_images(store: Store, right: list[bool], why: str | None) -> None:
    if why is None:
        with pytest.raises(ValueError, match="at least one sample"):
            proven(store, np.array(right, dtype=bool))
        return
    _, row = proven(store, np.array(right))
    assert (row.scores, row.interval) == (None, None)
    assert why in row.why
    assert standings({"a": row}, "max") == {}


def test_two_images_say_next_to_nothing(store: Store) -> None:
    _, row = proven(store, np.array([True, False]))
    assert row.interval == Interval(low=0, high=1, image_only=True)
    _, both = proven(store, np.array([True, True]), name="both")
    assert both.interval is not None
    # Clopper and Pearson: 0.025 ** (1 / 2)
    assert (both.interval.low, both.interval.high) == (0.158113, 1)
    _, none = proven(store, np.array([False, False]), name="none")
    assert [one.rank for one in standings({"both": both, "none": none}, "max").values()] == [1, 1]


def test_what_is_rounded_still_holds_the_mean(store: Store) -> None:
    """2/3 with 0.666667 shown: the ends are rounded away from it."""
    for images, count in ((3, 2), (7, 7), (9, 0), (99, 98)):
        group, row = proven(Store(store.root / str(images)), share(images, count))
        assert row.interval is not None
        assert row.interval.low <= round(group.primary.mean, 6) <= row.interval.high


def test_classes_with_few_images_are_marked(store: Store) -> None:
    """Means over classes: 9 images of each class here, 10 there."""
    for images, few in ((18, 2), (20, 0)):
        _, row = proven(Store(store.root / str(images)), share(images, 9), primary="macro_top1")
        assert row.interval is not None
        assert row.interval.few_positives == few
    _, row = proven(store, share(18, 9), name="plain")
    assert row.interval is not None
    assert row.interval.few_positives == 0


def test_a_run_without_evidence_takes_the_rank_but_not_the_numbers(store: Store) -> None:
    runs = records.plan(seeds=(0, 1))
    kept = [keep(store, run, share(40, 20 + run.seed)) for run in runs]
    (store.folder(runs[1]) / "evidence.npz").unlink()
    (group,) = groups(runs, kept)
    group, row = prove(group, RunEvidence(store, Index(None)))
    assert (group.primary.n, group.primary.mean) == (2, pytest.approx((20 + 21) / 80))
    assert (row.origin, row.scores, row.interval) == ("self-reported", None, None)
    assert "its evidence is not here" in row.why


def test_a_run_that_its_evidence_contradicts_has_failed(store: Store) -> None:
    runs = records.plan(seeds=(0, 1))
    kept = [keep(store, run, share(40, 20 + run.seed)) for run in runs]
    kept[1] = kept[1].model_copy(update={"metrics": kept[1].metrics | {"test/top1": 0.99}})
    (group,) = groups(runs, kept)
    group, row = prove(group, RunEvidence(store, Index(None)))
    assert [run.state for run in group.runs] == ["done", "failed"]
    assert "test/top1 is 0.99, but its evidence gives 0.525" in group.runs[1].reason
    assert (group.primary.mean, group.primary.n, row.origin) == (0.5, 1, "reproduced")
    assert row.interval is not None
    assert row.interval.image_only


def test_no_evidence_was_looked_for_and_no_run(store: Store) -> None:
    run = records.spec()
    (group,) = groups([run], [records.record(run, 0.5)])
    assert prove(group, None)[1] == Proven("reproduced", why="no evidence was looked for")
    (group,) = groups([run], [])
    assert prove(group, RunEvidence(store, Index(None)))[1] == Proven("reproduced")


def test_meteor_has_no_interval_hence_no_rank(store: Store) -> None:
    run = records.spec(task="captioning", primary="meteor")
    (group,) = groups([run], [keep(store, run, share(40, 20), others={})])
    _, row = prove(group, RunEvidence(store, Index(None)))
    assert (row.scores, row.why) == (None, "meteor cannot be computed on resamples")


def row_of(values: Sequence[float], resampled: np.ndarray, images: int = 50, **changes) -> Proven:
    return Proven("reproduced", Scores(np.array(values), np.atleast_2d(resampled), images), **changes)


def steady(value: float) -> Proven:
    return row_of([value], np.full((1, 10), value))


def test_standings_of_rows_that_have_scores() -> None:
    rows = {"worst": steady(-3.0), "none": Proven("self-reported"), "best": steady(7.5), "tied": steady(7.5)}
    found = standings(rows, "max")
    assert {name: (one.rank, one.best, one.worst, one.p) for name, one in found.items()} == {
        "worst": (2, 3, 3, 1),
        "best": (1, 1, 2, 1),
        "tied": (1, 1, 2, 1),
    }
    assert {name: one.rank for name, one in standings(rows, "min").items()} == {"worst": 1, "best": 2, "tied": 2}
    assert standings({"alone": steady(0.5)}, "max")["alone"].model_dump() == {"rank": 1, "best": 1, "worst": 1, "p": 1}
    assert standings({}, "max") == {}


def test_difference_to_the_baseline_by_hand() -> None:
    """Resamples of the difference -1, 1, -1, 1 hundredths around 0.1."""
    a, b = np.array([[0.59, 0.61, 0.59, 0.61]]), np.full((1, 4), 0.5)
    found = difference(row_of([0.6], a), row_of([0.5], b), "max")
    error = 0.01 * math.sqrt(4 / 3)
    half = stats.t.ppf(0.975, 49) * error
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1 - half, 0.1 + half), abs=1e-6)
    assert found.p == pytest.approx(2 * stats.t.sf(0.1 / error, 49), abs=1e-4)
    assert found.probability_better == 1
    worse = difference(row_of([0.6], a), row_of([0.5], b), "min")
    assert worse is not None
    assert (worse.value, worse.probability_better) == (0.1, 0)
    assert difference(Proven("reproduced"), row_of([0.5], b), "max") is None
    assert difference(row_of([0.5], b), Proven("reproduced"), "max") is None


def test_calibration_is_summed_over_seeds_before_it_is_divided(store: Store) -> None:
    _, row = proven(store, share(40, 30), share(40, 10))
    (bin_,) = calibration_of(row)
    assert (bin_.confidence, bin_.accuracy, bin_.count) == (0.75, 0.5, 80)
    assert calibration_of(Proven("reproduced")) == ()


def test_calibration_without_probabilities_is_none(store: Store) -> None:
    evidence = evidence_of(share(40, 30))
    del evidence["top_probability"]
    run = records.spec()
    (group,) = groups([run], [keep(store, run, share(40, 30), evidence=evidence)])
    assert calibration_of(prove(group, RunEvidence(store, Index(None)))[1]) == ()


# two patterns over four resamples that are uncorrelated, variance 4/3
U, V = np.array([1.0, 1, -1, -1]), np.array([1.0, -1, 1, -1])


def test_suite_score_by_hand_over_metrics_that_rise_and_fall() -> None:
    """Error 0.3 against 0.1: 2 tenths behind in units of its sd."""
    up = {"a": (row_of([0.9], 0.9 + 0.1 * U), "max"), "b": (row_of([0.5], 0.5 + 0.1 * V), "max")}
    down = {"a": (row_of([0.3], 0.3 + 0.2 * U), "min"), "b": (row_of([0.1], 0.1 + 0.2 * V), "min")}
    found = suite_score("classification", [up, down])
    sd = math.sqrt(4 / 3)
    assert found is not None
    assert (found.task, found.boards) == ("classification", 2)
    assert {row.name: row.score for row in found.rows} == pytest.approx(
        {"a": 1 + 0.2 / (0.2 * sd) / 2, "b": 1 + 0.4 / (0.1 * sd) / 2}, abs=6e-4
    )
    assert [row.name for row in found.rows] == ["a", "b"]
    assert all(1 <= row.low <= row.score <= row.high for row in found.rows)


def test_no_suite_score_for_incomplete_rows_or_one_board() -> None:
    board = {"a": (row_of([0.9], 0.9 + U), "max"), "b": (row_of([0.5], 0.5 + V), "max")}
    assert suite_score("t", [board]) is None
    found = suite_score("t", [board, board | {"b": (Proven("self-reported"), "max")}])
    assert found is not None
    assert [row.name for row in found.rows] == ["a"]
    assert suite_score("t", [board, {"c": board["a"]}]) is None
    assert suite_score("t", [{}, {}]) is None


def test_a_suite_score_does_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    board = {
        name: (row_of(rng.normal(mean, 0.1, 3).tolist(), mean + 0.2 * rng.normal(size=(3, 200))), "max")
        for name, mean in (("x", 1.0), ("c", 0.8), ("m", 0.9))
    }
    backwards = dict(reversed(board.items()))
    assert suite_score("t", [board, board]) == suite_score("t", [backwards, backwards])

"""Intervals, tests, ties and suite scores: worked by hand, against scipy, and on simulated boards."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cvbench.statistics.comparison import compare, mcnemar, probability_better
from cvbench.statistics.interval import FRACTION, interval, uncertainty
from cvbench.statistics.ranking import holm, tie_groups
from cvbench.statistics.resamples import Scores, draws
from cvbench.statistics.suite_score import suite_scores

# Four resamples on which two patterns are uncorrelated; each has variance 4/3 (ddof 1).
U, V = np.array([1.0, 1, -1, -1]), np.array([1.0, -1, 1, -1])


def steady(*values: float, resamples: int = 4, images: int = 100) -> Scores:
    """Seeds whose scores do not depend on the images."""
    return Scores(np.array(values), np.repeat(np.array(values)[:, None], resamples, axis=1), images)


def noisy(mean: float, error: float, seed: int) -> Scores:
    """One seed with this mean and exactly this standard error over images, independent of rows with another seed."""
    noise = np.random.default_rng(seed).normal(size=2000)
    return Scores(np.array([mean]), mean + error * (noise - noise.mean())[None] / noise.std(ddof=1), 10_000)


def averages(values: np.ndarray, weights: np.ndarray) -> Scores:
    """A metric that is a mean over images: values (seeds, images)."""
    return Scores(values.mean(axis=1), values @ weights.T / values.shape[1], values.shape[1])


def test_draws() -> None:
    weights = draws(50, 2000)
    assert weights.dtype == np.int32
    assert (weights.sum(axis=1) == 50).all()
    assert (draws(50, 2000) == weights).all()
    assert (draws(50, 2000, seed=1) != weights).any()
    # binomial: mean 1, variance 1 - 1/50; two images together -1/50
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=5 / math.sqrt(2000))
    assert weights.var(axis=0).mean() == pytest.approx(1 - 1 / 50, rel=0.02)
    together = np.corrcoef(weights.T)[np.triu_indices(50, 1)].mean()
    assert together == pytest.approx(-1 / 49, abs=0.003)


def test_draws_stay_what_they_are() -> None:
    """PCG64's raw numbers, upper 52 bits, by hand: a board that is computed again has the same resamples."""
    raw = np.random.PCG64(7).random_raw(12).tolist()
    places = [(2 * (number >> 12) + 1) * 6 >> 53 for number in raw]
    expected = [[places[:6].count(place) for place in range(6)], [places[6:].count(place) for place in range(6)]]
    assert draws(6, 2, seed=7).tolist() == expected


def test_bootstrap_error_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=(1, 80))
    ours = interval(averages(values, draws(80, 4000)))
    theirs = stats.bootstrap((values[0],), np.mean, n_resamples=4000, rng=np.random.default_rng(0))
    assert ours.standard_error == pytest.approx(theirs.standard_error, rel=0.04)
    # and with the formula of a mean's standard error
    assert ours.standard_error == pytest.approx(values.std() / math.sqrt(80), rel=0.03)
    assert (ours.low + ours.high) / 2 == pytest.approx(ours.mean, rel=0.01)


def test_without_variance_over_images_it_is_students_interval() -> None:
    values = [0.71, 0.74, 0.69, 0.70]
    found = interval(steady(*values))
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.low, found.high, found.df) == pytest.approx((low, high, 3))
    assert (found.mean, found.sd, found.n) == pytest.approx((np.mean(values), np.std(values, ddof=1), 4))
    assert not found.image_only


def test_variance_by_hand() -> None:
    """Seeds u + v and u - v: u is of the images for both, v of one seed on these images, counted once only."""
    resampled = np.stack([U + V, U - V])
    # B = 4/3, s²/n = 1, c²/n = 4/3: never below B
    assert uncertainty(Scores(np.array([0.0, 2.0]), resampled, 11)).variance == pytest.approx(4 / 3)
    # B = 4/3, s²/n = 4, c²/n = 4/3
    found = uncertainty(Scores(np.array([0.0, 4.0]), resampled, 11))
    assert found.variance == pytest.approx(4)
    # 4² / ((4/3)² / 10 + 4² / 1) = 0.99, but never fewer than two seeds have
    assert found.df == 1
    # seeds that err alike: nothing is counted twice
    both = uncertainty(Scores(np.array([0.0, 4.0]), np.stack([U, U]), 11))
    assert both.variance == pytest.approx(4 / 3 + 4)
    assert both.df == pytest.approx((4 / 3 + 4) ** 2 / ((4 / 3) ** 2 / 10 + 4**2 / 1))
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, found.df) * 2)


def test_two_equal_rows_differ_by_nothing_for_sure() -> None:
    """All that varies is counted twice and taken off: no variance is left, and still a number of degrees of freedom."""
    row = Scores(np.array([0.0, 1.0]), np.stack([U + V, U - V]), 11)
    found = compare(row, row)
    assert (found.difference, found.low, found.high, found.p, found.probability_better) == (0, 0, 0, 1, 0.5)
    assert uncertainty(row, row).df == 1


def test_where_all_images_agree_the_interval_is_the_exact_binomials() -> None:
    for count in (1000, 200, 10, 2):
        for value in (1.0, 0.0):
            found = interval(Scores(np.array([value]), np.full((1, 50), value), count), bounds=FRACTION)
            exact = stats.binomtest(round(count * value), count).proportion_ci(method="exact")
            assert (found.low, found.high) == pytest.approx((exact.low, exact.high), rel=1e-9)
    # halves of it on both sides of one half; and where a metric has no bounds, nothing can be said
    room = 0.025 ** (1 / 100)
    found = interval(steady(0.5), bounds=FRACTION)
    assert (found.low, found.high) == pytest.approx((0.5 * room, 1 - 0.5 * room))
    found = interval(steady(0.5))
    assert (found.low, found.high) == (0.5, 0.5)


def test_a_few_images_that_all_say_the_same_prove_nothing() -> None:
    """The sign test: two images, p 1/2."""
    for count in (2, 5, 6, 30):
        right, wrong = steady(1.0, images=count), steady(0.0, images=count)
        expected = stats.binomtest(count, count).pvalue
        assert compare(right, wrong).p == pytest.approx(expected, rel=1e-12)
        assert [row.rank for row in tie_groups([right, wrong])] == [1, 2 if expected <= 0.05 else 1]
        assert compare(right, right).p == 1


def test_one_seed_is_of_the_images_only() -> None:
    found = interval(Scores(np.array([0.5]), 0.5 + 0.1 * U[None], 26))
    half = stats.t.ppf(0.975, 25) * 0.1 * math.sqrt(4 / 3)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))
    assert (found.sd, found.n, found.image_only) == (None, 1, True)


def test_an_interval_holds_its_own_mean_and_stays_in_its_bounds() -> None:
    """Resamples that all score higher, as average precision does of few positives: percentiles would be above it."""
    biased = Scores(np.array([0.5]), 0.6 + 0.01 * U[None], 100)
    found = interval(biased)
    half = found.standard_error * stats.t.ppf(0.975, 99)
    assert found.low == pytest.approx(0.5 - half - 0.1 / (math.sqrt(2) - 1))
    assert found.high == pytest.approx(0.5 + half)
    other = interval(Scores(np.array([0.5]), 0.4 + 0.01 * U[None], 100))
    assert (other.low, other.high) == pytest.approx((0.5 - half, 0.5 + half + 0.1 / (math.sqrt(2) - 1)))
    sure = interval(Scores(np.array([0.99]), 0.99 + 0.01 * U[None], 100), bounds=FRACTION)
    assert (sure.high, interval(Scores(np.array([0.01]), 0.01 + 0.01 * U[None], 100), bounds=FRACTION).low) == (1, 0)
    assert sure.low < 0.99


def test_classes_in_few_images_are_counted() -> None:
    scores = Scores(np.array([0.5]), 0.5 + 0.01 * U[None], 100)
    assert interval(scores).few_positives == 0
    assert interval(scores, images_per_class=np.array([0, 9, 10, 1, 500])).few_positives == 2


def test_resamples_without_a_value_are_left_out() -> None:
    resampled = np.append(0.5 + 0.1 * U, np.nan)[None]
    assert interval(Scores(np.array([0.5]), resampled, 9)) == interval(Scores(np.array([0.5]), resampled[:, :4], 9))
    with pytest.raises(ValueError, match="defined on two resamples at least"):
        interval(Scores(np.array([0.5]), np.full((1, 4), np.nan), 9))


@pytest.mark.parametrize(
    ("values", "resampled", "images", "message"),
    [
        ([0.1, 0.2], np.zeros((3, 4)), 9, r"but got \(2,\) and \(3, 4\)"),
        ([], np.zeros((0, 4)), 9, "finite values of at least one seed"),
        ([np.inf], np.zeros((1, 4)), 9, "finite values of at least one seed, but got .inf"),
        ([0.1], np.zeros((1, 4)), 1, "at least two images"),
    ],
)
def test_scores_that_cannot_be(values: list[float], resampled: np.ndarray, images: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scores(np.array(values), resampled, images)


def test_without_variance_over_images_it_is_welchs_test() -> None:
    a, b = [0.71, 0.74, 0.69], [0.60, 0.66, 0.70, 0.61]
    ours = compare(steady(*a), steady(*b))
    theirs = stats.ttest_ind(a, b, equal_var=False)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx(theirs.confidence_interval(0.95), rel=1e-9)
    assert ours.difference == pytest.approx(np.mean(a) - np.mean(b))
    # of the 12 pairs of seeds A is better in 10, 0.69 < 0.70 and no other
    assert ours.probability_better == pytest.approx(11 / 12)
    assert compare(steady(*a), steady(*b), "min").probability_better == pytest.approx(1 / 12)


def test_one_seed_each_agrees_with_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(size=300)
    a, b = (shared + 0.3 * rng.normal(size=300) + gap for gap in (0.04, 0.0))
    weights = draws(300, 4000)
    ours, theirs = compare(averages(a[None], weights), averages(b[None], weights)), stats.ttest_rel(a, b)
    assert stats.t.isf(ours.p / 2, 299) == pytest.approx(theirs.statistic, rel=0.04)
    assert ours.image_only
    assert "images only" in ours.method
    # unpaired, the images hide it
    assert stats.ttest_ind(a, b).pvalue > 0.3 > 0.15 > ours.p


def test_equal_rows_do_not_differ() -> None:
    row = Scores(np.array([0.5, 0.6]), np.stack([U, V]), 10)
    assert compare(steady(0.5), steady(0.5)).p == 1
    assert compare(steady(0.5), steady(0.6)).p == pytest.approx(0.5**99)
    assert (compare(row, row).difference, compare(row, row).p) == (0, 1)
    assert probability_better(row, row) == 0.5


def test_probability_better_by_hand() -> None:
    a, b = (
        Scores(np.array([0.0]), np.array([[1.0, 2, 3, np.nan]]), 9),
        Scores(np.array([0.0]), np.array([[1.0, 0, 4, 0]]), 9),
    )
    assert probability_better(a, b) == pytest.approx((0.5 + 1 + 0) / 3)
    assert probability_better(a, b, "min") == pytest.approx((0.5 + 0 + 1) / 3)


def test_rows_that_were_not_resampled_alike() -> None:
    for others, message in (
        (steady(0.5, images=99), "on the same images, but got 99 and 100"),
        (steady(0.5, resamples=5), "on the same resamples, but got 4 and 5"),
    ):
        with pytest.raises(ValueError, match=message):
            compare(steady(0.5), others)
        with pytest.raises(ValueError, match=message):
            tie_groups([steady(0.5), others])


def test_mcnemar_by_hand() -> None:
    """9 images that one alone gets right, 8 to 1: p = 2 (1 + 9) / 2^9."""
    a = np.array([True] * 8 + [False] + [True] * 5 + [False] * 5)
    b = np.array([False] * 8 + [True] + [True] * 5 + [False] * 5)
    assert mcnemar(a, b) == (8, 1, pytest.approx(20 / 512))
    assert mcnemar(b, a) == (1, 8, pytest.approx(20 / 512))
    assert mcnemar(a, a) == (0, 0, 1)
    for right, wrong in ((0, 5), (3, 3), (40, 61)):
        ones = np.arange(right + wrong) < right
        assert mcnemar(ones, ~ones).p == pytest.approx(stats.binomtest(right, right + wrong).pvalue, rel=1e-9)
    with pytest.raises(ValueError, match="of one length"):
        mcnemar(a, b[1:])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert holm([]).shape == (0,)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.004, 0.01, 0.0125, 0.02, 0.025, 0.05, 0.3, 1.0]), max_size=6))
def test_holm_rejects_what_his_procedure_rejects(p: list[float]) -> None:
    """From the smallest on, against 0.05 / those left, until one is not rejected; equal p are equal."""
    left, rejected = sorted(p), []
    while left and left[0] * len(left) <= 0.05:
        rejected.append(left.pop(0))
    assert sorted(value for value, adjusted in zip(p, holm(p), strict=True) if adjusted <= 0.05) == rejected


def test_ties_are_with_the_groups_best_not_with_the_neighbour() -> None:
    """One standard error apart, 0.7 of a paired difference: 3 and 1 are separated, each from 2 is not."""
    three = [noisy(mean, 0.5, seed) for seed, mean in enumerate((2.0, 3.0, 1.0))]
    found = tie_groups(three)
    assert [row.rank for row in found] == [1, 1, 2]
    assert [(row.best_rank, row.worst_rank) for row in found] == [(1, 3), (1, 2), (2, 3)]
    assert found[0].p == pytest.approx(compare(three[0], three[1]).p)
    assert (found[1].p, found[2].p) == (1, 1)
    assert [row.rank for row in tie_groups(three, "min")] == [1, 2, 1]


def test_holms_correction_is_over_the_comparisons_with_the_best() -> None:
    """2.2 standard errors: separated as one of one comparison, not as one of two."""
    best, near, nearer = (
        noisy(2.2, 1 / math.sqrt(2), 0),
        noisy(0.0, 1 / math.sqrt(2), 1),
        noisy(0.1, 1 / math.sqrt(2), 2),
    )
    assert 0.025 < compare(best, near).p < 0.05
    assert [row.rank for row in tie_groups([best, near])] == [1, 2]
    assert [row.rank for row in tie_groups([best, near, nearer])] == [1, 1, 1]


def test_ranks_that_are_sure() -> None:
    rows = [noisy(mean, 0.1, seed) for seed, mean in enumerate((5.0, 1.0, 4.0, 4.05))]
    found = tie_groups(rows)
    assert [(row.rank, row.best_rank, row.worst_rank) for row in found] == [(1, 1, 1), (3, 4, 4), (2, 2, 3), (2, 2, 3)]
    assert [row.rank for row in tie_groups(rows, "min")] == [3, 1, 2, 2]
    assert tie_groups([]) == []
    assert tie_groups(rows[:1]) == [(1, 1, 1, 1.0)]


def test_all_pairs_at_once_are_what_compare_gives() -> None:
    """Tied with the best, p is that of one comparison; rows of one to four seeds, images left out alike."""
    rng = np.random.default_rng(0)
    for seeds in ((3, 3), (1, 4), (1, 1), (2, 1)):
        a, b = (
            Scores(rng.normal(0.5, 0.1, n), np.where(np.arange(50) == 7, np.nan, rng.normal(0.5, 0.1, (n, 50))), 30)
            for n in seeds
        )
        p = compare(a, b).p
        found = tie_groups([a, b])
        assert p > 0.05
        assert sorted(row.p for row in found) == pytest.approx([p, 1], rel=1e-9)
    assert [row.rank for row in tie_groups([steady(0.5), steady(0.5), steady(0.6)])] == [2, 2, 1]


def test_suite_score_by_hand() -> None:
    """Single runs vary by sd 2 and 4, pooled root 10 (x 4/3 for ddof 1); then a dataset that says nothing."""
    first = {"a": Scores(np.array([10.0]), 10 + 2 * U[None], 9), "b": Scores(np.array([7.0]), 7 + 4 * V[None], 9)}
    second = {"a": Scores(np.array([1.0]), 1 + U[None], 9), "b": Scores(np.array([3.0]), 3 + V[None], 9)}
    nothing = {"a": steady(0.5), "b": steady(0.7)}
    pooled = math.sqrt(10 * 4 / 3), math.sqrt(4 / 3)
    found = suite_scores({"first": first, "second": second, "nothing": nothing})
    assert found["a"] is not None
    assert found["b"] is not None
    assert found["a"].score == pytest.approx(1 + (0 + 2 / pooled[1]) / 2)
    assert found["b"].score == pytest.approx(1 + (3 / pooled[0] + 0) / 2)
    assert found["a"].datasets == 2
    assert all(row.low <= row.score <= row.high and row.low >= 1 for row in found.values() if row)
    low = suite_scores({"first": first}, "min")
    assert (low["a"].score, low["b"].score) == pytest.approx((1 + 3 / pooled[0], 1))
    assert suite_scores({"nothing": nothing}) == {"a": None, "b": None}


def test_a_suite_scores_interval_holds_the_score() -> None:
    """The best as measured, but on no resample."""
    rows = {"a": Scores(np.array([1.0]), 0.5 + 0.1 * U[None], 9), "b": Scores(np.array([0.9]), 0.9 + 0.1 * V[None], 9)}
    found = suite_scores({"only": rows})
    assert found["a"] is not None
    assert (found["a"].score, found["a"].low) == (1, 1)
    assert found["a"].high > 3


def test_suite_score_has_nothing_for_incomplete_rows() -> None:
    rows = {"a": noisy(3, 1, 0), "b": noisy(2, 1, 1)}
    alone = suite_scores({"first": rows, "second": rows})
    # a row that is best on one dataset and missing on the other moves no one
    found = suite_scores({"first": rows | {"c": noisy(9, 1, 2)}, "second": rows | {"c": None, "d": noisy(9, 1, 3)}})
    assert found == alone | {"c": None, "d": None}


def test_suite_scores_interval_holds_what_seeds_and_images_change() -> None:
    """Two rows, difference 5 standard errors: the one behind varies by that of the difference, root 2."""
    rows = {"a": noisy(5 * math.sqrt(2), 1, 0), "b": noisy(0, 1, 1)}
    found = suite_scores({"only": rows})["b"]
    assert found is not None
    assert found.score == pytest.approx(1 + 5 * math.sqrt(2))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * math.sqrt(2), rel=0.08)
    seeds = Scores(np.array([-1.0, 0, 1]), np.repeat(rows["b"].resampled, 3, axis=0), 10_000)
    wider = suite_scores({"only": rows | {"b": seeds}})["b"]
    assert wider is not None
    # t with 2 degrees of freedom: 4.3 standard errors of 1 / root 3
    assert wider.high - wider.low > 1.25 * (found.high - found.low)


# What one image contributes: common to all models, of a model, of one run of it.
COMMON, OF_MODEL, OF_RUN = 1.0, 0.6, 0.6
IMAGES, SEEDS, RUNS = 250, 3, 400


def board(seed_sd: float, gap: float = 0.0, of_run: float = OF_RUN, seed: int = 0) -> list[tuple[Scores, Scores]]:
    """400 boards of two models whose true scores are 0 and `gap`; seed_sd in standard errors over images of one run."""
    rng = np.random.default_rng(seed)
    weights = draws(IMAGES, 400)
    error = math.sqrt((COMMON**2 + OF_MODEL**2 + of_run**2) / IMAGES)

    def model(common: np.ndarray, mean: float) -> Scores:
        images = common + OF_MODEL * rng.normal(size=IMAGES)
        runs = images + of_run * rng.normal(size=(SEEDS, IMAGES)) + seed_sd * error * rng.normal(size=(SEEDS, 1))
        return averages(runs + mean, weights)

    boards = []
    for _ in range(RUNS):
        common = COMMON * rng.normal(size=IMAGES)
        boards.append((model(common, gap), model(common, 0.0)))
    return boards


@pytest.mark.parametrize("of_run", [0.0, OF_RUN])
@pytest.mark.parametrize("seed_sd", [0.0, 1.0, 3.0])
def test_equal_models_are_rarely_separated_and_intervals_hold_the_truth(seed_sd: float, of_run: float) -> None:
    boards = board(seed_sd, of_run=of_run)
    separated = np.mean([tie_groups(rows)[0].rank != tie_groups(rows)[1].rank for rows in boards])
    assert separated <= 0.07
    found = [interval(row) for rows in boards for row in rows]
    assert 0.92 <= np.mean([row.low <= 0 <= row.high for row in found]) <= 0.98


@pytest.mark.parametrize("of_run", [0.0, OF_RUN])
def test_a_gap_of_four_standard_errors_is_found(of_run: float) -> None:
    error = math.sqrt(
        2 * (OF_MODEL**2 + of_run**2 / SEEDS) / IMAGES
    )  # of the paired difference of two means over seeds
    boards = board(0.0, 4 * error, of_run)
    assert np.mean([tie_groups(rows)[1].rank == 2 for rows in boards]) >= 0.9
    # smaller than a standard error of either model over images: unpaired it could not be seen
    assert np.mean([interval(better).low > interval(worse).high for better, worse in boards]) < 0.5

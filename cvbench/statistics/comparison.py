"""Is A better than B: paired difference with its interval and p, and how often one run of A beats one of B."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cvbench.statistics.interval import uncertainty
from cvbench.statistics.resamples import Floats, Scores

Direction = Literal["max", "min"]

IMAGES_AND_SEEDS = "paired bootstrap over images, variance over seeds, t with Satterthwaite's degrees of freedom"
IMAGES_ONLY = "paired bootstrap over images only, t; one of them has a single seed"


class Comparison(NamedTuple):
    """A against B on the same images.

    difference: mean of A minus mean of B, in units of the metric; low, high: its 95 % interval. p: two-sided, of no
    difference. probability_better: that one new run of A beats one of B on new images, by the metric's direction.
    image_only: one of them has one seed. method: what was computed, for the board.
    """

    difference: float
    low: float
    high: float
    p: float
    probability_better: float
    image_only: bool
    method: str


class McNemar(NamedTuple):
    """Two classifiers on the same images. a_only, b_only: images that one of them alone gets right. p: two-sided."""

    a_only: int
    b_only: int
    p: float


def compare(a: Scores, b: Scores, direction: Direction = "max") -> Comparison:
    """The paired difference of two rows, as `interval.uncertainty` has its variance, by Student's t.

    Paired bootstrap over images (Efron & Tibshirani, "An introduction to the bootstrap", 1993), variance over seeds,
    degrees of freedom by Satterthwaite (1946). Where nothing varies and the means are equal, p is 1.

    Raises ValueError where the two were not resampled alike.
    """
    found = uncertainty(a, b)
    difference, half = a.mean - b.mean, found.half_width
    p = float(p_value(np.asarray(difference), np.asarray(found.variance), np.asarray(found.df), a.num_images))
    ends = difference - half, difference + half
    method = IMAGES_ONLY if found.image_only else IMAGES_AND_SEEDS
    return Comparison(difference, *ends, p, probability_better(a, b, direction), found.image_only, method)


def p_value(difference: Floats, variance: Floats, df: Floats, num_images: int) -> Floats:
    """Two-sided, by Student's t, of many differences at once.

    Without variance: 1 for no difference; else that of the sign test for as many images that all say the same, which
    of two or five images is no proof.
    """
    t = np.zeros(np.shape(difference))
    np.divide(np.abs(difference), np.sqrt(variance), out=t, where=variance > 0)
    return np.where(variance > 0, 2 * special.stdtr(df, -t), np.where(difference == 0, 1.0, 2.0 ** (1 - num_images)))


def probability_better(a: Scores, b: Scores, direction: Direction = "max") -> float:
    """P(A > B): the share of pairs of a run of A and a run of B, on the same resample, in which A is better.

    Bouthillier et al., "Accounting for variance in machine learning benchmarks", MLSys 2021: it says how much a
    difference matters, as p does not, and does not go to 0 or 1 because there are more images or seeds. Ties count
    half; all pairs of seeds count. Resamples that leave the metric undefined are left out. They call 0.75 meaningful.
    """
    sign = 1.0 if direction == "max" else -1.0
    ahead = sign * (a.resampled[:, None] - b.resampled[None])
    ahead = ahead[..., np.isfinite(ahead).all(axis=(0, 1))]
    return float(((ahead > 0) + 0.5 * (ahead == 0)).mean()) if ahead.size else math.nan


def mcnemar(a_correct: NDArray[np.bool_], b_correct: NDArray[np.bool_]) -> McNemar:
    """The exact test of two single runs: of the images that one alone gets right, each would have half.

    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 1947; Dietterich, "Approximate statistical tests for comparing supervised classification learning
    algorithms", Neural Computation 1998: of two runs, not of what other seeds would give.

    a_correct, b_correct: bool (N,), in the same order of images. Raises ValueError where they are not of equal length.
    """
    if a_correct.shape != b_correct.shape or a_correct.ndim != 1:
        raise ValueError(f"Expected two bool (images,) of one length, but got {a_correct.shape} and {b_correct.shape}")
    a_only, b_only = int((a_correct & ~b_correct).sum()), int((b_correct & ~a_correct).sum())
    apart = a_only + b_only
    return McNemar(a_only, b_only, min(1.0, float(2 * special.bdtr(min(a_only, b_only), apart, 0.5))))

"""How sure a mean over seeds is: its variance, and the 95 % interval from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special  # of `scipy.stats`, which takes 0.4 s to import, no more is needed

from cvbench.statistics.resamples import Floats, Scores, check_alike, defined

LEVEL = 0.95
# A class seen in fewer images than this makes a mean over classes less sure than its interval says: the resamples lack
# it too often (one of 10 images is drawn in all but 1 of 20,000, one of 3 in all but 1 of 20).
FEW_IMAGES = 10
# Resampling doubles the variance of sampling, so a bias that grows with its root shows as root 2 - 1 of itself.
_BIAS_SHOWN = math.sqrt(2) - 1
ANY = (-math.inf, math.inf)
FRACTION = (0.0, 1.0)


class Uncertainty(NamedTuple):
    """variance: of a mean over seeds or of a difference of two. df: degrees of freedom of its estimate. image_only:
    one seed alone, so that what another seed would change is not in it."""

    variance: float
    df: float
    image_only: bool

    @property
    def half_width(self) -> float:
        """Of the 95 % interval, by Student's t."""
        return float(special.stdtrit(self.df, (1 + LEVEL) / 2) * math.sqrt(self.variance))


class Interval(NamedTuple):
    """The mean over n seeds with its 95 % interval, low <= mean <= high.

    sd: over seeds, ddof 1; None from one. standard_error: root of the variance of the mean. df: degrees of freedom.
    image_only: from one seed, so that the interval is of this run and not of the model. few_positives: how many classes
    are seen in fewer than 10 images; above 0 the interval is to be read with care.
    """

    mean: float
    sd: float | None
    n: int
    low: float
    high: float
    standard_error: float
    df: float
    image_only: bool
    few_positives: int


def interval(
    scores: Scores, *, bounds: tuple[float, float] = ANY, images_per_class: NDArray[np.integer] | None = None
) -> Interval:
    """The 95 % interval: mean ± t · standard error (see `uncertainty`), longer on the side of a bias, inside `bounds`.

    It never excludes its own mean, as a percentile interval of average precision may. Scores such as mAP and ECE come
    out too high on few images, and higher still on resamples of them; the end on that side lies further out by what
    the resamples show of it, divided by root 2 - 1. The other end stays.

    Where all images agree (all right, all wrong), resamples vary by nothing and say nothing of images that were not
    seen. Inside finite bounds their share is then taken from the exact binomial (Clopper & Pearson, "The use of
    confidence or fiducial limits illustrated in the case of the binomial", Biometrika 1934): 200 of 200 is 0.98 to 1.

    bounds: the metric's range, `FRACTION` for shares. images_per_class: int (C,), of metrics that are means over
    classes: images in which each class counts; classes in none are left out of the metric and not counted here.
    """
    found = uncertainty(scores)
    half = found.half_width
    resampled = defined(scores.resampled_mean)
    bias = float(resampled.mean() - scores.mean) / _BIAS_SHOWN
    low, high = scores.mean - half - max(0.0, bias), scores.mean + half + max(0.0, -bias)
    if np.ptp(resampled) == 0 and all(map(math.isfinite, bounds)):
        unseen = 1 - ((1 - LEVEL) / 2) ** (1 / scores.num_images)
        low = min(low, scores.mean - unseen * (scores.mean - bounds[0]))
        high = max(high, scores.mean + unseen * (bounds[1] - scores.mean))
    seen = np.zeros(0) if images_per_class is None else images_per_class[images_per_class > 0]
    return Interval(
        mean=scores.mean,
        sd=scores.sd,
        n=scores.n,
        low=min(max(low, bounds[0]), scores.mean),
        high=max(min(high, bounds[1]), scores.mean),
        standard_error=math.sqrt(found.variance),
        df=found.df,
        image_only=found.image_only,
        few_positives=int((seen < FEW_IMAGES).sum()),
    )


def uncertainty(scores: Scores, other: Scores | None = None) -> Uncertainty:
    """The variance of the mean over seeds, or of the difference of two such means on the same images.

    Two things would be others another time: the images and the seeds (Bouthillier et al., "Accounting for variance in
    machine learning benchmarks", MLSys 2021). By the law of total variance, with the images I that all seeds share:

        Var(mean) = Var_I(E[mean | I]) + E_I[Var(mean | I)]

    The second term is s²/n, s² the sample variance of the seeds on the same images. The bootstrap variance B of the
    mean over seeds (on a resample, all seeds have the same images) is the first term and 1/n of what is of one seed on
    one set of images alone (c²: seeds err on other images). As s² holds c² too, B + s²/n counts c²/n twice; it is taken
    off once. The mean bootstrap variance of single seeds is B + c² (n - 1) / n, which tells c². The sum is never below
    B, which is all that there is where seeds differ by chance on these images alone (Jordan, "On the variance of neural
    network training with respect to test sets and distributions", ICLR 2024).

    Of two rows, images are paired: the resamples are of the difference. Seeds are not, even where equal: s²/n of each
    row counts, which leaves 2 (n - 1) degrees of freedom instead of n - 1, and what equal seeds have in common (the
    order and augmentation of images) can only make the difference surer than said.

    df: Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 1946, from
    N - 1 for images and n - 1 for seeds. n = 1: images only, and so marked. Raises ValueError for rows that were not
    resampled alike, and where fewer than two resamples have a value.
    """
    rows = [scores] if other is None else [scores, other]
    check_alike(rows)
    resampled = scores.resampled_mean if other is None else scores.resampled_mean - other.resampled_mean
    images = np.asarray(defined(resampled).var(ddof=1))
    variance, df = combined(images, [seeds_of(row) for row in rows], scores.num_images)
    return Uncertainty(float(variance), float(df), any(row.n == 1 for row in rows))


class Seeds(NamedTuple):
    """What seeds add to the variance of a mean, of one row or of many at once.

    part: s²/n; 0 from one seed. df: n - 1; 1 from one seed. twice: c²/n, the part of it that the variance over images
    has already.
    """

    part: Floats
    df: Floats
    twice: Floats


def seeds_of(scores: Scores) -> Seeds:
    if scores.n == 1:
        return Seeds(np.zeros(()), np.ones(()), np.zeros(()))
    resampled = defined(scores.resampled)
    single, together = resampled.var(axis=1, ddof=1).mean(), resampled.mean(axis=0).var(ddof=1)
    more = scores.n - 1
    return Seeds(
        part=np.asarray(scores.values.var(ddof=1) / scores.n),
        df=np.asarray(more, dtype=np.float64),
        twice=np.asarray(max(0.0, float(single - together)) / more),
    )


def combined(images: Floats, seeds: Sequence[Seeds], num_images: int) -> tuple[Floats, Floats]:
    """Variance and degrees of freedom as `uncertainty` has them, of many rows or pairs of rows at once.

    images: B. seeds: of each of the rows that are compared, in shapes that broadcast.
    """
    variance = np.maximum(images, images + sum(one.part - one.twice for one in seeds))
    squares = images**2 / (num_images - 1) + sum(one.part**2 / one.df for one in seeds)
    df = np.full(np.shape(squares), float(num_images - 1))
    np.divide(variance**2, squares, out=df, where=squares > 0)
    fewest = np.full(np.shape(squares), float(num_images - 1))
    for one in seeds:
        fewest = np.minimum(fewest, np.where(one.part > 0, one.df, np.inf))
    return variance, np.maximum(df, fewest)  # what is taken off twice would else leave fewer than either part has

"""`draws`: which images each resample has; `Scores`: what the seeds of one row score on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 1000
SEED = 20_250_101


def draws(num_images: int, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.int32]:
    """How often each resample draws each image, int32 (R, N); each row sums to N.

    The bootstrap (Efron & Tibshirani, "An introduction to the bootstrap", 1993): N images with replacement. Equal for
    equal arguments, whatever the version of numpy, hence the same for all models of a board: they are compared on the
    same resamples.
    """
    if num_images < 1 or resamples < 1:
        raise ValueError(f"Expected at least one image and one resample, but got {num_images} and {resamples}")
    stream = np.random.PCG64(seed)
    weights = np.empty((resamples, num_images), dtype=np.int32)
    for row in weights:
        row[:] = np.bincount((uniform(stream, num_images) * num_images).astype(np.intp), minlength=num_images)
    return weights


def uniform(stream: np.random.PCG64, count: int) -> Floats:
    """Numbers in (0, 1), float64 (count,), from the raw stream, which numpy promises to keep, unlike its generators."""
    bits = stream.random_raw(count) >> np.uint64(12)
    return np.asarray((bits.astype(np.float64) + 0.5) * 2.0**-52)


@dataclass(frozen=True, eq=False)
class Scores:
    """One metric of the S finished seeds of a row.

    values: float64 (S,), on the images as they are. resampled: float64 (S, R), on each resample, the same for all
    seeds and rows; NaN where a resample leaves the metric undefined. num_images: N.
    """

    values: Floats
    resampled: Floats
    num_images: int

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.resampled.ndim != 2 or len(self.values) != len(self.resampled):
            raise ValueError(
                f"Expected `values` (seeds,) and `resampled` (seeds, resamples), but got {self.values.shape} and "
                f"{self.resampled.shape}"
            )
        if not len(self.values) or not np.isfinite(self.values).all():
            raise ValueError(f"Expected finite values of at least one seed, but got {self.values.tolist()}")
        if self.num_images < 2:
            raise ValueError(f"Expected at least two images to resample, but got {self.num_images}")

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def sd(self) -> float | None:
        """Over seeds, ddof 1; None from one."""
        return float(self.values.std(ddof=1)) if self.n > 1 else None

    @cached_property
    def resampled_mean(self) -> Floats:
        """The mean over seeds on each resample, float64 (R,)."""
        return np.asarray(self.resampled.mean(axis=0))


def check_alike(rows: Sequence[Scores]) -> None:
    """Raises ValueError unless all rows were scored on as many images and resamples: else they cannot be compared."""
    for what, numbers in (
        ("images", {row.num_images for row in rows}),
        ("resamples", {row.resampled.shape[1] for row in rows}),
    ):
        if len(numbers) > 1:
            raise ValueError(f"Expected scores on the same {what}, but got {' and '.join(map(str, sorted(numbers)))}")


def defined(resampled: Floats) -> Floats:
    """The resamples, last axis, on which all of them have a value. Raises ValueError where fewer than two are left."""
    left = np.atleast_2d(np.isfinite(resampled)).all(axis=0)
    if left.sum() < 2:
        raise ValueError(
            "Expected the metric to be defined on two resamples at least: too few images have what it needs"
        )
    return resampled if left.all() else resampled[..., left]

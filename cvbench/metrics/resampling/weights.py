"""Resamples of a split as weights: how often each image is drawn, and what sums over the drawn images are.

The bootstrap (Efron & Tibshirani, "An introduction to the bootstrap", 1993) draws as many images as there are, with
replacement, and computes the metric anew. What is a sum over images is then one matrix product for all resamples.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Weights = NDArray[np.integer[Any]]

# Resamples are worked on in blocks of about so many (resample, image) pairs, 8 bytes each.
_PAIRS_AT_ONCE = 2**21


def checked(weights: Weights, num_images: int) -> Weights:
    """The weights (R, N). Raises ValueError where they are no whole numbers >= 0 of N images, some drawn each time."""
    weights = np.asarray(weights)
    if weights.ndim != 2 or weights.shape[1] != num_images or weights.dtype.kind not in "iu":
        raise ValueError(
            f"Expected `weights` to be integers (resamples, {num_images} images), but got {weights.dtype} "
            f"{weights.shape}; `cvbench.statistics.draws` makes them"
        )
    if (weights < 0).any() or not weights.any(axis=1).all():
        raise ValueError("Expected `weights` to be >= 0, and each resample to draw an image")
    return weights


def known(name: str, names: Iterable[str]) -> str:
    """The metric's name. Raises ValueError for one that cannot be resampled, naming those that can."""
    can = list(names)
    if name not in can:
        raise ValueError(f"Expected a metric that can be resampled, {', '.join(can)}, but got {name!r}")
    return name


def totals(weights: Weights, columns: NDArray[Any]) -> Floats:
    """Sums over the drawn images of columns (N, K), float64 (R, K); of integers exact below 2^53."""
    values = np.asarray(columns, dtype=np.float64)
    sums = np.empty((len(weights), values.shape[1]))
    step = max(1, _PAIRS_AT_ONCE // max(1, len(values)))
    for first in range(0, len(weights), step):
        sums[first : first + step] = weights[first : first + step].astype(np.float64) @ values
    return sums


def totals_by(groups: NDArray[Any], weights: Weights, columns: NDArray[Any], num_groups: int) -> Floats:
    """Sums over the drawn images of each group, float64 (R, num_groups, K): each image is in one group, 0..G-1."""
    sums = np.zeros((len(weights), num_groups, columns.shape[1]))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        sums[:, group] = totals(weights[:, members], columns[members])
    return sums

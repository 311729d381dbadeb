"""Scores of segmentation on resamples of the images; evidence and truth as in `cvbench.metrics.segmentation`.

All of them are ratios of sums over images of three counts a class, so that a resample is a matrix product.
"""

from __future__ import annotations

import numpy as np

from cvbench.metrics.alignment import Arrays, aligned
from cvbench.metrics.confusion import ClassCounts, mean_scores
from cvbench.metrics.resampling.weights import Floats, Integers, Weights, checked, known, totals
from cvbench.metrics.segmentation import METRICS

RESAMPLED = tuple(METRICS)


def resampled(evidence: Arrays, truth: Arrays, name: str, weights: Weights) -> Floats:
    """The metric on each resample, float64 (R,); NaN where no pixel of the drawn images is labelled.

    weights: int (R, N), how often each image is drawn, in the order of `truth["ids"]`. Equal in every bit to `score` of
    images that are there so often.

    Raises:
        ValueError: a metric that cannot be resampled, weights that do not fit, ids of evidence and truth that differ.
    """
    known(name, RESAMPLED)
    rows = aligned(evidence, truth)
    columns = np.concatenate([rows[field] for field in ClassCounts._fields], axis=1)
    sums = totals(checked(weights, len(truth["ids"])), columns).astype(np.int64)
    return mean_scores(ClassCounts(*np.split(sums, len(ClassCounts._fields), axis=1)))[name]


def images_per_class(truth: Arrays, name: str) -> Integers:
    """Images with a labelled pixel of each class, int64 (C,), where the metric counts classes equally; else empty."""
    counts = np.asarray((truth["pixels"] > 0).sum(axis=0, dtype=np.int64))
    return counts if name in ("miou", "mean_accuracy") else counts[:0]

"""Scores of classification on resamples of the images; evidence and truth as in `cvbench.metrics.classification`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cvbench.metrics.alignment import Arrays, aligned
from cvbench.metrics.calibration import BINS
from cvbench.metrics.resampling.weights import Floats, Integers, Weights, checked, known, totals, totals_by


def resampled(evidence: Arrays, truth: Arrays, name: str, weights: Weights) -> Floats:
    """The metric on each resample, float64 (R,).

    weights: int (R, N), how often each image is drawn, in the order of `truth["ids"]`. Weights 1 give `score`'s value;
    others what `score` gives of images that are there so often.

    Raises:
        ValueError: a metric that cannot be resampled or that the evidence lacks a column for, weights that do not fit,
            ids of evidence and truth that differ.
    """
    needed, compute = RESAMPLED[known(name, RESAMPLED)]
    rows = aligned(evidence, truth)
    if needed not in rows:
        raise ValueError(f"Expected evidence with `{needed}`, which {name} needs, but it has {', '.join(rows)}")
    return compute(rows | {"labels": np.asarray(truth["labels"])}, checked(weights, len(truth["ids"])))


def correct(evidence: Arrays, truth: Arrays) -> NDArray[np.bool_]:
    """Whose most probable class is the true one, bool (N,), in the order of `truth["ids"]`. Raises as `score`."""
    right: NDArray[np.bool_] = aligned(evidence, truth)["top"][:, 0] == truth["labels"]
    return right


def images_per_class(truth: Arrays, name: str) -> Integers:
    """Images of each class, int64 (C,), where the metric is a mean over classes; else empty."""
    counts = np.bincount(truth["labels"], minlength=len(truth["classes"])).astype(np.int64)
    return counts if name == "macro_top1" else counts[:0]


def _top1(rows: Arrays, weights: Weights) -> Floats:
    return _mean(rows["top"][:, 0] == rows["labels"], weights)


def _top5(rows: Arrays, weights: Weights) -> Floats:
    return _mean(rows["true_rank"] < 5, weights)


def _macro_top1(rows: Arrays, weights: Weights) -> Floats:
    labels = rows["labels"]
    columns = np.stack([rows["top"][:, 0] == labels, np.ones(len(labels), dtype=bool)], axis=1)
    right, present = np.moveaxis(totals_by(labels, weights, columns, int(labels.max()) + 1), 2, 0)
    recall = np.divide(right, present, out=np.zeros_like(right), where=present > 0)
    return np.asarray(recall.sum(axis=1) / (present > 0).sum(axis=1))


def _nll(rows: Arrays, weights: Weights) -> Floats:
    logs = np.asarray(rows["true_log_probability"], dtype=np.float64)
    impossible = np.isneginf(logs)
    # 0 times infinity is not a number: an image that is not drawn adds nothing
    sums = totals(weights, np.stack([np.where(impossible, 0.0, -logs), impossible], axis=1))
    return np.where(sums[:, 1] > 0, np.inf, sums[:, 0] / _counts(weights)) + 0.0


def _ece(rows: Arrays, weights: Weights) -> Floats:
    confidence = rows["top_probability"][:, 0]
    gaps = (rows["top"][:, 0] == rows["labels"]).astype(np.float64) - confidence.astype(np.float64)
    # as in `expected_calibration_error`
    edges = (np.arange(BINS + 1) / BINS).astype(confidence.dtype)
    bins = np.searchsorted(edges, confidence, side="right") - 1
    by_bin = np.zeros((len(bins), BINS + 1))
    by_bin[np.arange(len(bins)), bins] = gaps
    return np.asarray(np.abs(totals(weights, by_bin)).sum(axis=1) / _counts(weights))


def _mean(values: NDArray[np.bool_], weights: Weights) -> Floats:
    return np.asarray(totals(weights, values[:, None])[:, 0] / _counts(weights))


def _counts(weights: Weights) -> Integers:
    return np.asarray(weights.sum(axis=1, dtype=np.int64))


# name: the evidence it needs, and how it is computed
RESAMPLED: dict[str, tuple[str, Callable[[Arrays, Weights], Floats]]] = {
    "top1": ("top", _top1),
    "top5": ("true_rank", _top5),
    "macro_top1": ("top", _macro_top1),
    "nll": ("true_log_probability", _nll),
    "ece": ("top_probability", _ece),
}

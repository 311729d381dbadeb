"""Scores of single-label classification from evidence and truth, numpy only.

Evidence (N samples, C classes, k = min(5, C)), rows in any order:
    ids                   str (N,)
    top                   int (N, k), most probable classes, best first; of equally probable ones the lower index first
    top_probability       float (N, k), optional
    true_log_probability  float (N,), natural logarithm, optional
    true_rank             int (N,), 0 = best: number of classes before the true one in that order; optional
Truth: ids str (N,), labels int (N,) in 0..C-1, classes str (C,).

Every sample is labelled and counts once. What optional evidence is missing for is left out of
the scores, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cvbench.metrics.alignment import Arrays, aligned
from cvbench.metrics.calibration import Reliability, expected_calibration_error, negative_log_likelihood, reliability
from cvbench.metrics.confusion import Counts, by_class, class_accuracy, class_counts, confusion_matrix

PRIMARY = "top1"
# name: (direction, definition, unit); in unit %, values are fractions in [0, 1] that boards show in percent
METRICS = {
    "top1": ("max", "share of samples whose most probable class is the true one", "%"),
    "top5": (
        "max",
        "share of samples whose true class is among the five most probable (1 if there are five or fewer)",
        "%",
    ),
    "macro_top1": ("max", "mean of the classes' top-1 accuracy, over the classes present in the truth", "%"),
    "nll": ("min", "mean negative log-likelihood of the true class, in nats", "nats"),
    "ece": ("min", "expected calibration error of the most probable class, 15 equal-width bins", "%"),
}


def score(evidence: Arrays, truth: Arrays) -> dict[str, float]:
    """The split's scores by name, as far as the evidence goes: `top1` and `macro_top1` need only `top`.

    top1, top5, macro_top1 and ece in [0, 1], nll in [0, inf); `METRICS` tells which direction is better. `macro_top1`
    is scikit-learn's `balanced_accuracy_score`: classes absent from the truth are left out, though they be predicted.

    Raises:
        ValueError: ids of evidence and truth differ, a label is outside 0..C-1, evidence that contradicts itself, NaN.
    """
    rows = aligned(evidence, truth)
    labels = np.asarray(truth["labels"])
    correct = rows["top"][:, 0] == labels
    recall = class_accuracy(class_counts(confusion(evidence, truth)))
    present = ~np.isnan(recall)
    scores = {"top1": float(correct.sum() / len(labels)), "macro_top1": float(recall[present].sum() / present.sum())}
    if "true_rank" in rows:
        if not np.array_equal(rows["true_rank"] == 0, correct):
            raise ValueError("Expected `true_rank` 0 exactly where `top` starts with the true label; not of one model?")
        scores["top5"] = float((rows["true_rank"] < 5).sum() / len(labels))
    if "true_log_probability" in rows:
        scores["nll"] = negative_log_likelihood(rows["true_log_probability"])
    if "top_probability" in rows:
        scores["ece"] = expected_calibration_error(rows["top_probability"][:, 0], correct)
    return {name: scores[name] for name in METRICS if name in scores}


def per_class(evidence: Arrays, truth: Arrays) -> dict[str, dict[str, float | None]]:
    """`accuracy` of each class: the share of its samples that are predicted as it (recall), in [0, 1].

    None where the class is absent from the truth, so that nothing is defined. Raises as `score`.
    """
    recall = class_accuracy(class_counts(confusion(evidence, truth)))
    return {"accuracy": by_class(truth["classes"], recall)}


def confusion(evidence: Arrays, truth: Arrays) -> Counts:
    """Samples by (true, most probable) class, int64 (C, C+1); the last column, predictions outside 0..C-1, stays empty
    for a model with C outputs. Raises as `score`."""
    rows = aligned(evidence, truth)
    return confusion_matrix(truth["labels"], rows["top"][:, 0], len(truth["classes"]), ignore_index=None)


def absent(metrics: Iterable[str]) -> dict[str, str]:
    """Why those of `METRICS` that are not among `metrics` are missing, name -> reason."""
    told = set(metrics)
    return {name: "no probabilities of all classes were given" for name in METRICS if name not in told}


def by_sample(evidence: Arrays, truth: Arrays) -> NDArray[np.float64]:
    """The true class's probability, float64 (N,) in [0, 1], in the order of `truth["ids"]`: which samples are hard.

    Without `true_log_probability` 1 where the most probable class is right, else 0. Raises as `score`.
    """
    rows = aligned(evidence, truth)
    if "true_log_probability" in rows:
        return np.asarray(np.exp(rows["true_log_probability"].astype(np.float64)))
    return np.asarray(rows["top"][:, 0] == truth["labels"], dtype=np.float64)


def calibration(evidence: Arrays, truth: Arrays) -> Reliability | None:
    """Sums for a reliability diagram of the most probable class; None without `top_probability`. Raises as `score`."""
    rows = aligned(evidence, truth)
    if "top_probability" not in rows:
        return None
    return reliability(rows["top_probability"][:, 0], rows["top"][:, 0] == truth["labels"])

"""How far probabilities can be believed: expected calibration error and negative log-likelihood."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 15


def expected_calibration_error(confidence: NDArray[Any], correct: NDArray[Any], bins: int = BINS) -> float:
    """Expected calibration error (Guo et al., "On calibration of modern neural networks", ICML 2017).

    The mean over samples of |accuracy - mean confidence| of the sample's bin: sum_b |correct_b - confidence_b| / N, in
    [0, 1], the lower the better. Only the most probable class counts.

    Bins: `bins` of equal width, closed below and open above, [l, u); a confidence of exactly 1 has a bin of its own.
    This is torchmetrics' `multiclass_calibration_error(norm="l1")`, and differs from Guo's (l, u] only for confidences
    that lie exactly on an edge. Edges are i / bins rounded to the confidence's dtype; torchmetrics' torch.linspace may
    be one unit in the last place off, so that there 0.2 in float32 may fall on the other side of its edge.

    Args:
        confidence: (N,) probability of the predicted class, in [0, 1].
        correct: (N,) bool, whether the predicted class is the true one.

    Raises:
        ValueError: no samples, or a confidence that is NaN or outside [0, 1].
    """
    confidence, correct = np.asarray(confidence), np.asarray(correct)
    bin_of = _bins(confidence, bins)
    gap = np.bincount(bin_of, weights=correct.astype(np.float64) - confidence.astype(np.float64), minlength=bins + 1)
    return float(np.abs(gap).sum() / len(confidence))


class Reliability(NamedTuple):
    """Sums a bin, float64 (bins + 1,): samples, their confidences, those that are right. The last bin: exactly 1."""

    samples: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]


def reliability(confidence: NDArray[Any], correct: NDArray[Any], bins: int = BINS) -> Reliability:
    """What a reliability diagram draws (Guo et al. 2017), in the bins of `expected_calibration_error`, as sums.

    Several runs are pooled by adding their sums. Arguments and errors as there.
    """
    bin_of = _bins(np.asarray(confidence), bins)
    weights = (None, np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64))
    return Reliability._make(
        np.bincount(bin_of, weights=each, minlength=bins + 1).astype(np.float64) for each in weights
    )


def _bins(confidence: NDArray[Any], bins: int) -> NDArray[np.intp]:
    """The bin of each confidence. Raises ValueError for none at all, NaN or a value outside [0, 1]."""
    if len(confidence) == 0:
        raise ValueError("Expected at least one sample, but got none")
    if not ((confidence >= 0) & (confidence <= 1)).all():  # written so that NaN fails
        raise ValueError("Expected confidences in [0, 1], but got NaN or a value outside")
    edges = (np.arange(bins + 1) / bins).astype(confidence.dtype)
    return np.searchsorted(edges, confidence, side="right") - 1


def negative_log_likelihood(true_log_probability: NDArray[Any]) -> float:
    """Mean of -ln p(true class), in nats, in [0, inf), the lower the better; inf where a true class had probability 0.

    Equals scikit-learn's `log_loss` on probabilities that it does not clip.

    Args:
        true_log_probability: (N,) natural logarithm of the true class's probability.

    Raises:
        ValueError: no samples, or a NaN.
    """
    logs = np.asarray(true_log_probability, dtype=np.float64)
    if len(logs) == 0:
        raise ValueError("Expected at least one sample, but got none")
    if np.isnan(logs).any():
        raise ValueError(f"Expected log-probabilities, but {int(np.isnan(logs).sum())} of {len(logs)} are NaN")
    return float(-logs.sum() / len(logs)) + 0.0  # + 0.0: a perfect model scores 0, not -0

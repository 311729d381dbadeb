"""Calibration error and log-likelihood against torchmetrics, scikit-learn and hand calculation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from cvbench.metrics.calibration import expected_calibration_error, negative_log_likelihood


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 30.0])  # 30: many confidences are exactly 1 in float32
@pytest.mark.parametrize("bins", [15, 10])
def test_calibration_error_equals_torchmetrics(sharpness: float, bins: int) -> None:
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(4000, 7)) * sharpness).astype(np.float32)
    labels = rng.integers(0, 7, 4000)
    probabilities = softmax(logits, axis=1)
    expected = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), 7, n_bins=bins, norm="l1"
    )
    correct = probabilities.argmax(1) == labels
    if sharpness == 30:
        assert (probabilities.max(1) == 1).sum() > 100
    ours = expected_calibration_error(probabilities.max(1), correct, bins)
    assert ours == pytest.approx(float(expected), rel=2e-6)  # torchmetrics adds in float32


def test_an_edge_belongs_to_the_bin_above_it_and_one_has_its_own() -> None:
    # 0.8 is the edge 12/15. In one bin with 0.85 (right) it would cancel partly; with 0.79 (wrong) it would not.
    confidence, correct = np.array([0.79, 0.8, 0.85]), np.array([False, False, True])
    assert expected_calibration_error(confidence, correct) == pytest.approx((0.79 + abs(1 - 0.8 - 0.85)) / 3)
    assert expected_calibration_error(confidence.astype(np.float32), correct) == pytest.approx(1.44 / 3, rel=1e-6)
    confidence, correct = np.array([0.95, 1.0]), np.array([True, False])
    assert expected_calibration_error(confidence, correct) == pytest.approx((0.05 + 1) / 2)
    reference = multiclass_calibration_error(torch.tensor([[0.95, 0.05], [1, 0]]), torch.tensor([0, 1]), 2, n_bins=15)
    assert float(reference) == pytest.approx((0.05 + 1) / 2)


def test_calibrated_and_overconfident() -> None:
    assert expected_calibration_error(np.full(10, 0.7), np.arange(10) < 7) == pytest.approx(0, abs=1e-15)
    assert expected_calibration_error(np.ones(10), np.zeros(10, bool)) == 1


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_a_confidence_that_is_no_probability(bad: float) -> None:
    with pytest.raises(ValueError, match=r"confidences in \[0, 1\]"):
        expected_calibration_error(np.array([0.5, bad]), np.array([True, True]))


def test_likelihood_equals_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(500, 6)) * 3, rng.integers(0, 6, 500)
    logs = log_softmax(logits, axis=1)
    ours = negative_log_likelihood(logs[np.arange(500), labels])
    assert ours == pytest.approx(log_loss(labels, np.exp(logs), labels=range(6)), rel=1e-12)


def test_likelihood_at_its_ends() -> None:
    assert str(negative_log_likelihood(np.zeros(3))) == "0.0"
    assert negative_log_likelihood(np.array([0, -np.inf])) == np.inf
    with pytest.raises(ValueError, match="1 of 2 are NaN"):
        negative_log_likelihood(np.array([0, np.nan]))


def test_no_samples() -> None:
    for call in (lambda: negative_log_likelihood(np.array([])), lambda: expected_calibration_error([], [])):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="at least one sample"):
            call()

"""Calibration error and log-likelihood against torchmetrics, scikit-learn and hand calculation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from cvbench.metrics import classification
from cvbench.metrics.calibration import expected_calibration_error, negative_log_likelihood, reliability


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


def test_a_reliability_diagram_equals_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 500)
    correct = rng.random(500) < confidence**2
    found = reliability(confidence, correct, bins=10)
    assert [len(column) for column in found] == [11] * 3
    filled = found.samples > 0
    expected_correct, expected_confidence = calibration_curve(correct, confidence, n_bins=10, strategy="uniform")
    assert found.correct[filled] / found.samples[filled] == pytest.approx(expected_correct)
    assert found.confidence[filled] / found.samples[filled] == pytest.approx(expected_confidence)
    assert (found.samples.sum(), found.correct.sum()) == (500, correct.sum())


def test_sure_samples_have_a_bin_of_their_own_and_runs_are_pooled_by_adding() -> None:
    one = reliability(np.array([0.95, 1.0]), np.array([True, False]))
    other = reliability(np.array([1.0, 0.1]), np.array([True, True]))
    assert (one.samples[14:] + other.samples[14:]).tolist() == [1, 2]
    assert (one.correct[14:] + other.correct[14:]).tolist() == [1, 1]
    # ECE is what is left of it: |1 - 0.95| and |0 - 1| of two samples
    assert np.abs(one.correct - one.confidence).sum() / 2 == pytest.approx(
        expected_calibration_error(np.array([0.95, 1.0]), np.array([True, False]))
    )


@pytest.mark.parametrize(("confidence", "message"), [([], "at least one sample"), ([1.1], r"in \[0, 1\]"),
                                                     ([np.nan], r"in \[0, 1\]")])  # fmt: skip
def test_confidences_that_make_no_diagram(confidence: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reliability(np.array(confidence), np.ones(len(confidence), dtype=bool))


def test_a_diagram_of_the_most_probable_class_in_the_truths_order() -> None:
    truth = {"ids": np.array(["a", "b"]), "labels": np.array([0, 0]), "classes": np.array(["x", "y"])}
    evidence = {"ids": np.array(["b", "a"]), "top": np.array([[1, 0], [0, 1]]),
                "top_probability": np.array([[0.7, 0.3], [0.9, 0.1]])}  # fmt: skip
    found = classification.calibration(evidence, truth)
    assert found is not None
    assert found.correct[[10, 13]].tolist() == [0, 1]  # 0.7 of 15 bins: the 11th, wrong; 0.9: the 14th, right
    del evidence["top_probability"]
    assert classification.calibration(evidence, truth) is None

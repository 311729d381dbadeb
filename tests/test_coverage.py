"""Intervals of real metrics on samples of a population whose own score is known: how often they hold it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cvbench.metrics import detection
from cvbench.metrics.resampling import classification as of_labels
from cvbench.metrics.resampling import detection as of_boxes
from cvbench.metrics.resampling import segmentation as of_masks
from cvbench.statistics.interval import FRACTION, Interval, interval
from cvbench.statistics.resamples import Scores, draws
from tests.detectors import population, taken


def intervals_of_detectors(images: int, classes: int, samples: int, resamples: int) -> tuple[float, list[Interval]]:
    """mAP of the population, and the intervals of samples of it."""
    evidence, truth = population(20_000, classes)
    weights = np.vstack([np.ones((1, images), dtype=int), draws(images, resamples)])
    rng = np.random.default_rng(0)
    found = []
    for _ in range(samples):
        rows = rng.choice(20_000, images, replace=False)
        known = taken(truth, rows)
        values = of_boxes.resampled(taken(evidence, rows), known, "map", weights)
        scores = Scores(values[:1], values[None, 1:], images)
        found.append(interval(scores, bounds=FRACTION, images_per_class=of_boxes.images_per_class(known, "map")))
    return detection.score(evidence, truth)["map"], found


def held(value: float, found: list[Interval]) -> float:
    return float(np.mean([row.low <= value <= row.high for row in found]))


def check_detectors(true: float, found: list[Interval]) -> None:
    """The population's score, and the score that a test set of this size has on average: AP comes out higher on few
    images, so that these are two numbers."""
    expected = float(np.mean([row.mean for row in found]))
    assert expected > true
    assert 0.92 <= held(true, found) <= 0.98
    assert 0.92 <= held(expected, found) <= 0.98
    assert all(row.low <= row.mean <= row.high for row in found)


def test_detectors_with_enough_positives() -> None:
    true, found = intervals_of_detectors(images=200, classes=5, samples=200, resamples=128)
    check_detectors(true, found)
    assert not any(row.few_positives for row in found)


@pytest.mark.slow
def test_detectors_with_rare_classes() -> None:
    """The rarest of 12 classes is in 20 images of 200; of 60 images, most classes are in fewer than 10: marked."""
    check_detectors(*intervals_of_detectors(images=200, classes=12, samples=500, resamples=256))
    _, few = intervals_of_detectors(images=60, classes=12, samples=50, resamples=64)
    assert all(row.few_positives > 3 for row in few)


def test_masks() -> None:
    """mIoU of 150 images in which classes are common, rare, well and badly found, each image in its own way."""
    rng = np.random.default_rng(0)
    images, size = 20_000, 150
    common = np.array([0.5, 0.3, 0.1, 0.06, 0.04])
    truth = np.floor(rng.dirichlet(common * 6, images) * 10_000).astype(np.int64)
    skill = rng.beta([20, 12, 6, 4, 3], [2, 3, 4, 4, 5], (images, 5))
    hits = (truth * skill).astype(np.int64)
    # what is missed is taken for another class
    wrong = (truth - hits).sum(axis=1, keepdims=True) * common
    columns = {"intersection": hits, "truth": truth, "prediction": hits + wrong.astype(np.int64)}
    sums = {name: column.sum(axis=0) for name, column in columns.items()}
    true = float(np.mean(sums["intersection"] / (sums["truth"] + sums["prediction"] - sums["intersection"])))
    weights = np.vstack([np.ones((1, size), dtype=int), draws(size, 300)])
    found = []
    for _ in range(500):
        rows = rng.choice(images, size, replace=False)
        ids = rows.astype(str)
        evidence = {name: column[rows] for name, column in columns.items()} | {"ids": ids}
        values = of_masks.resampled(evidence, {"ids": ids, "pixels": evidence["truth"]}, "miou", weights)
        found.append(interval(Scores(values[:1], values[None, 1:], size), bounds=FRACTION))
    assert 0.92 <= held(true, found) <= 0.98


@pytest.mark.parametrize("share", [0.97, 0.99, 0.995, 0.999, 1.0])
def test_models_that_are_nearly_always_right(share: float) -> None:
    """200 images, of which most often none or one is wrong; each number of them with its binomial probability."""
    weights, chance = draws(200, 500), 0.0
    for wrong in range(25):
        right = np.arange(200) >= wrong
        found = interval(Scores(np.array([right.mean()]), (weights @ right / 200)[None], 200), bounds=FRACTION)
        chance += stats.binom.pmf(wrong, 200, 1 - share) * (found.low <= share <= found.high)
    assert chance >= 0.92


@pytest.mark.parametrize("name", ["top1", "macro_top1", "nll", "ece"])
def test_labels(name: str) -> None:
    """500 images of a classifier that is surer than it is right: ECE comes out too high on few images."""
    rng = np.random.default_rng(0)
    images, size, classes = 50_000, 500, 8
    labels = np.minimum(rng.geometric(0.25, images) - 1, classes - 1)
    ease = rng.normal(1.2, 1.0, images)
    true_probability = 1 / (1 + np.exp(-ease))
    right = rng.random(images) < true_probability
    confidence = 1 / (1 + np.exp(-1.3 * np.abs(ease)))
    columns = {
        "top": np.where(right, labels, (labels + 1) % classes)[:, None],
        "top_probability": confidence[:, None],
        "true_log_probability": np.log(np.where(right, confidence, (1 - confidence) / 2)),
    }

    def scored(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        ids = rows.astype(str)
        evidence = {column: values[rows] for column, values in columns.items()} | {"ids": ids}
        return of_labels.resampled(evidence, {"ids": ids, "labels": labels[rows]}, name, weights)

    true = scored(np.arange(images), np.ones((1, images), dtype=int))[0]
    weights = np.vstack([np.ones((1, size), dtype=int), draws(size, 300)])
    found = []
    for _ in range(400):
        values = scored(rng.choice(images, size, replace=False), weights)
        found.append(interval(Scores(values[:1], values[None, 1:], size), bounds=(0, np.inf)))
    assert 0.92 <= held(true, found) <= 0.98

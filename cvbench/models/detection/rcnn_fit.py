"""What R-CNN fits after gradient descent, as its published code does: support vector machines and box regressions.

Girshick, Donahue, Darrell & Malik, CVPR 2014, section 2.3 and appendices B and C, and the numbers of
https://github.com/rbgirshick/rcnn (rcnn_train.m, rcnn_train_bbox_regressor.m). Numpy and scikit-learn only.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

SVM_C = 1e-3
BIAS = 10.0  # the constant feature beside the others: the larger, the less the offset is held back
POSITIVE_WEIGHT = 2.0
NEGATIVE_BELOW = 0.3  # IoU with the class's things
HARD = -1.0001  # a negative above this score is kept
EASY = -1.2  # one below it is forgotten when the machine has been fitted again
FIT_EVERY = 2000  # new negatives

RIDGE = 1000.0
NEAR = 0.6  # IoU of a region from which a box is learnt
MOST_NEAR = 2000  # regions a class: bounds memory, and the system that is solved
_WHITEN = 1e-3


class Linear(NamedTuple):
    """weight @ features + bias."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]


@dataclass
class Machine:
    """One class against the rest: its positives, and those negatives that are hard for it.

    positives: float32 (P, D), features of the class's things themselves, all of them: their number is not bounded. Of
    negatives, memory holds at most what is hard for the present machine, and `FIT_EVERY` further ones and those of one
    image.
    """

    positives: Floats
    negatives: list[Floats] = field(default_factory=list)
    fitted: Linear | None = None
    fresh: int = 0

    def see(self, features: Floats) -> None:
        """Takes what is hard among the negatives (N, D) of one image; fits again when enough has come together."""
        if not len(self.positives):  # never fitted, so that nothing would ever be forgotten
            return
        if self.fitted is not None:
            features = features[scores(self.fitted, features) > HARD]
        if not len(features):
            return
        self.negatives.append(features)
        self.fresh += len(features)
        if self.fresh >= FIT_EVERY:
            self.fit()

    def fit(self) -> Linear | None:
        """The machine for what has been seen; None without a positive or without a negative."""
        if not len(self.positives) or not self.negatives:
            return None
        negatives = np.concatenate(self.negatives)
        self.fitted = support_vector_machine(self.positives, negatives)
        self.negatives = [negatives[scores(self.fitted, negatives) >= EASY]]
        self.fresh = 0
        return self.fitted


class Reservoir:
    """A uniform sample of at most `MOST_NEAR` of the rows that were added, in the order in which they came."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self.keys = np.zeros(0)
        self.rows: list[Floats] = []

    def add(self, *rows: Floats) -> None:
        """Adds rows, given as several arrays of equal length that stay side by side."""
        self.keys = np.concatenate([self.keys, self.generator.random(len(rows[0]))])
        self.rows = [np.concatenate(pair) for pair in zip(self.rows, rows, strict=True)] if self.rows else list(rows)
        if len(self.keys) > MOST_NEAR:
            kept = np.sort(np.argpartition(self.keys, MOST_NEAR)[:MOST_NEAR])
            self.keys, self.rows = self.keys[kept], [array[kept] for array in self.rows]


def scores(machine: Linear, features: Floats) -> Floats:
    """Signed distances, in units of the margin, float64 (N,)."""
    found: Floats = features @ machine.weight + machine.bias
    return found


def support_vector_machine(positives: Floats, negatives: Floats) -> Linear:
    """Hinge loss, positives weighted double, as published (liblinear's `-s 3 -c 0.001 -w1 2 -B 10`)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    machine = LinearSVC(
        C=SVM_C, loss="hinge", dual=True, class_weight={1: POSITIVE_WEIGHT}, intercept_scaling=BIAS, random_state=0
    )
    features = np.concatenate([positives, negatives]).astype(np.float64)
    labels = np.repeat([1, 0], [len(positives), len(negatives)])
    with warnings.catch_warnings():
        # liblinear stops after 1,000 rounds: as published, and near enough to be mined on.
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(features, labels)
    return Linear(machine.coef_[0], machine.intercept_[0])


def box_targets(regions: Floats, things: Floats) -> NDArray[np.float64]:
    """How to get from regions to things, both (N, 4) xyxy: shift over size, and log of the ratio of sizes, (N, 4).

    Equations 6 to 9 of the paper.
    """
    here, there = _centred(regions), _centred(things)
    moved = (there[:, :2] - here[:, :2]) / here[:, 2:]
    return np.concatenate([moved, np.log(there[:, 2:] / here[:, 2:])], axis=1)


def _centred(boxes: Floats) -> NDArray[np.float64]:
    """xyxy -> centre x, centre y, width, height."""
    boxes = boxes.astype(np.float64)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def box_regression(features: Floats, targets: Floats) -> Linear:
    """Ridge regression of whitened targets: features (N, P), targets (N, 4) -> weight (4, P), bias (4,)."""
    mean = targets.mean(axis=0)
    centred = targets - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(targets))
    values = np.sqrt(np.maximum(values, 0.0) + _WHITEN)
    whiten, colour = (vectors / values) @ vectors.T, (vectors * values) @ vectors.T
    known = np.concatenate([features.astype(np.float64), np.ones((len(features), 1))], axis=1)
    # The same solution from the smaller of two systems: of as many equations as there are samples, or features.
    if len(known) < known.shape[1]:
        solved = known.T @ np.linalg.solve(known @ known.T + RIDGE * np.eye(len(known)), centred @ whiten)
    else:
        solved = np.linalg.solve(known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ (centred @ whiten))
    solved = solved @ colour
    return Linear(solved[:-1].T, solved[-1] + mean)

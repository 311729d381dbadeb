"""Scores of detection on resamples of the images; evidence and truth as in `cvbench.metrics.detection`.

Detections are matched once. Where two detections of one class and image have one score, a resample may differ a little
from copied images, whose equal detections would stand in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from cvbench.metrics.alignment import Arrays
from cvbench.metrics.box_columns import Found, Known, box_columns, image_numbers, of_class
from cvbench.metrics.coco_map import AREAS, IOU_THRESHOLDS
from cvbench.metrics.resampling.average_precision import (
    Points,
    all_points,
    average_precision,
    coco_points,
    voc07_points,
)
from cvbench.metrics.resampling.matching import Bounds, Judged, coco_judged, voc_judged
from cvbench.metrics.resampling.weights import Floats, Integers, Weights, checked, known, totals

# Resamples are worked on so many at a time: what a class has then stays in the processor's cache.
_BLOCK = 64


class _Metric(NamedTuple):
    """How a metric is computed. area: bounds in pixels of the boxes that count."""

    judge: Callable[[Found, Known], Judged]
    points: Points
    area: Bounds = AREAS["all"]


def _coco(thresholds: Floats = IOU_THRESHOLDS, area: str = "all") -> _Metric:
    return _Metric(partial(coco_judged, thresholds=thresholds, area=AREAS[area]), coco_points, AREAS[area])


RESAMPLED = {
    "map": _coco(),
    "map_50": _coco(IOU_THRESHOLDS[:1]),
    "map_75": _coco(IOU_THRESHOLDS[5:6]),
    **{f"map_{area}": _coco(area=area) for area in ("small", "medium", "large")},
    "voc07_ap": _Metric(voc_judged, voc07_points, (0.0, np.inf)),
    "voc_ap": _Metric(voc_judged, all_points, (0.0, np.inf)),
}


def resampled(evidence: Arrays, truth: Arrays, name: str, weights: Weights) -> Floats:
    """The metric on each resample, float64 (R,); NaN where the drawn images have no box that counts.

    weights: int (R, N), how often each image is drawn, in the order of `truth["ids"]`. Weights 1 give `score`'s value;
    others what `score` gives of images that are there so often, as their own copies in the order of scoring.

    Raises:
        ValueError: a metric that cannot be resampled, weights that do not fit, evidence or truth that `score` refuses.
    """
    metric = RESAMPLED[known(name, RESAMPLED)]
    found, boxes = box_columns(evidence, truth)
    weights = checked(weights, len(truth["ids"]))
    places = _Places(truth)
    positives = totals(weights, _counting(boxes, places, metric.area, len(truth["classes"]), len(truth["ids"])))
    present = np.flatnonzero(positives.any(axis=0))
    judged = []
    for label in present.tolist():
        one = metric.judge(of_class(found, label), of_class(boxes, label))
        judged.append(one._replace(images=places.of(one.images)))
    sums = np.zeros(len(weights))
    for first in range(0, len(weights), _BLOCK):
        block = slice(first, first + _BLOCK)
        drawn = np.ascontiguousarray(weights[block].T, dtype=np.int32)
        for label, one in zip(present.tolist(), judged, strict=True):
            # 0 where the class has no box that counts: nothing is right there
            sums[block] += average_precision(one, drawn, positives[block, label], metric.points).mean(axis=0)
    num_classes = (positives > 0).sum(axis=1)
    means: Floats = np.full(len(weights), np.nan)
    np.divide(sums, num_classes, out=means, where=num_classes > 0)
    return means


def images_per_class(truth: Arrays, name: str) -> Integers:
    """Images with a box of each class that counts in the metric, int64 (C,). Raises ValueError as `resampled`."""
    low, high = RESAMPLED[known(name, RESAMPLED)].area
    image = np.repeat(np.arange(len(truth["ids"])), truth["counts"])
    counts = ~(truth["crowd"] | truth["difficult"]) & (truth["area"] >= low) & (truth["area"] <= high)
    pairs = np.unique(np.stack([image, truth["labels"]], axis=1)[counts], axis=0)
    return np.bincount(pairs[:, 1], minlength=len(truth["classes"])).astype(np.int64)


class _Places:
    """From the numbers of images, which `box_columns` sorts by, to their places in `truth["ids"]`."""

    def __init__(self, truth: Arrays) -> None:
        numbers = image_numbers(truth["ids"])
        self._order = np.argsort(numbers)
        self._numbers = numbers[self._order]

    def of(self, images: Integers) -> Integers:
        places: Integers = self._order[np.searchsorted(self._numbers, images)]
        return places


def _counting(boxes: Known, places: _Places, area: Bounds, num_classes: int, num_images: int) -> Integers:
    """Boxes that count of each image and class, int64 (N, C)."""
    counts = ~boxes.ignored & (boxes.area >= area[0]) & (boxes.area <= area[1])
    cells = places.of(boxes.images[counts]) * num_classes + boxes.labels[counts]
    return np.bincount(cells, minlength=num_images * num_classes).reshape(num_images, num_classes)

"""Average precision of one class on many resamples at once.

Precision made non-increasing is attained at true positives, so the curve is needed there only. Detections of an image
that is drawn w times count w times; as they are of one score, the curve in between does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.metrics.coco_map import RECALL_THRESHOLDS
from cvbench.metrics.resampling.matching import Judged
from cvbench.metrics.voc_ap import POINTS

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
# How much of the recall axis each true positive closes: of true positives so far (J, R) and positives (R,), (J, R).
Points = Callable[[Counts, NDArray[Any]], Floats]

# 100 times a recall must not fall below the whole number that it is: recalls are fractions of fewer than 10^8 boxes.
_ROUNDING = 1e-9


def average_precision(judged: Judged, drawn: Counts, positives: NDArray[Any], points: Points) -> Floats:
    """AP at each threshold, float64 (T, R) in [0, 1]; 0 where there are no positives.

    drawn: int32 (N, R), how often each image is drawn; `judged.images` are its rows. positives: (R,), boxes that count.
    points: share of the recall axis that lies below a recall, `coco_points` and the like.
    """
    times = drawn[judged.images]
    seen = np.cumsum(times, axis=0, dtype=np.int32)
    values = np.zeros((len(judged.right), drawn.shape[1]))
    for value, right, ignored in zip(values, judged.right, judged.ignored, strict=True):
        rows = np.flatnonzero(right)
        if not len(rows):
            continue
        hits = np.cumsum(times[rows], axis=0, dtype=np.int32)
        counted = seen[rows]
        aside = np.flatnonzero(ignored)
        if len(aside):
            before = np.cumsum(np.vstack([np.zeros_like(times[:1]), times[aside]]), axis=0, dtype=np.int32)
            counted = counted - before[np.searchsorted(aside, rows)]
        precision = hits / np.maximum(counted, 1)
        best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        reached = points(hits, positives)
        value += best[0] * reached[0] + (best[1:] * np.diff(reached, axis=0)).sum(axis=0)
    return values


def coco_points(hits: Counts, positives: NDArray[Any]) -> Floats:
    """COCO's 101 recall thresholds: the share of them at or below the recall, by its own comparison of floats."""
    recall = hits / np.maximum(positives, 1)
    steps = len(RECALL_THRESHOLDS) - 1
    highest = (recall * steps + _ROUNDING).astype(np.intp)
    return np.asarray((highest + (RECALL_THRESHOLDS[highest] <= recall)) / len(RECALL_THRESHOLDS))


def voc07_points(hits: Counts, positives: NDArray[Any]) -> Floats:
    """VOC 2007's 11 recalls 0, 0.1 … 1: the share of them at or below the recall, compared as fractions."""
    return np.asarray((np.floor(hits * (POINTS - 1) / np.maximum(positives, 1)) + 1) / POINTS)


def all_points(hits: Counts, positives: NDArray[Any]) -> Floats:
    """The recall itself: the area below the curve, as VOC has it from 2010 on."""
    return np.asarray(hits / np.maximum(positives, 1))

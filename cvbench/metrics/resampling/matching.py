"""Which detections of a class are right, at each IoU threshold: the part of average precision that resampling repeats
never, since a detection is only ever matched to boxes of its own image.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvbench.metrics.box_columns import Floats, Found, Integers, Known, pairs
from cvbench.metrics.coco_map import IOU_THRESHOLDS, surest
from cvbench.metrics.voc_ap import most_overlapped

Bounds = tuple[float, float]


class Judged(NamedTuple):
    """The D detections of one class in falling order of score, at T IoU thresholds.

    images: int64 (D,), as in `Found`. right: bool (T, D), matched to a box that counts. ignored: bool (T, D), neither
    right nor wrong.
    """

    images: Integers
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


class _Candidates(NamedTuple):
    """Pairs of a detection and a truth box of its image that may be matched, in the order of matching.

    step: the place of the detection among those of its image, rising. detection, truth: rows. iou: float64.
    """

    step: Integers
    detection: Integers
    truth: Integers
    iou: Floats


def coco_judged(found: Found, known: Known, thresholds: Floats = IOU_THRESHOLDS, area: Bounds | None = None) -> Judged:
    """As COCO matches: the surest detection first, each to the box of the highest IoU that is still free.

    A box that counts goes before one that does not; of equal IoU the last; a crowd is always free. What is matched to a
    box that does not count is ignored. area: only boxes in these bounds (pixels, inclusive) count, and unmatched
    detections outside are ignored.
    """
    found = surest(found)
    uncounted = known.ignored
    outside = np.zeros(len(found.scores), dtype=bool)
    if area is not None:
        uncounted = uncounted | (known.area < area[0]) | (known.area > area[1])
        size = found.xywh[:, 2] * found.xywh[:, 3]
        outside = (size < area[0]) | (size > area[1])
    chosen = _matched(found, known, uncounted, thresholds)
    right, ignored = np.zeros_like(chosen, dtype=bool), np.broadcast_to(outside, chosen.shape) & (chosen < 0)
    matched = chosen >= 0
    right[matched] = ~uncounted[chosen[matched]]
    ignored[matched] = uncounted[chosen[matched]]
    order = np.argsort(-found.scores, kind="stable")
    return Judged(found.images[order], right[:, order], ignored[:, order])


def voc_judged(found: Found, known: Known) -> Judged:
    """As VOC matches, see `voc_ap`: each detection to the box it overlaps most; the first there is right."""
    order = np.argsort(-found.scores, kind="stable")
    best = most_overlapped(found, known)[order]
    right = np.zeros(len(best), dtype=bool)
    taken, first = np.unique(best, return_index=True)
    right[first[taken >= 0]] = True
    ignored = np.zeros(len(best), dtype=bool)
    ignored[best >= 0] = known.ignored[best[best >= 0]]
    return Judged(found.images[order], (right & ~ignored)[None], ignored[None])


def _matched(found: Found, known: Known, uncounted: NDArray[np.bool_], thresholds: Floats) -> Integers:
    """The row of the truth box that each detection gets at each threshold, int64 (T, D); -1 without one."""
    chosen = np.full((len(thresholds), len(found.scores)), -1, dtype=np.int64)
    candidates = _candidates(found, known, uncounted, float(thresholds.min()))
    # Detections of one step are of different images: none of them takes a box from another.
    edges = np.flatnonzero(np.diff(candidates.step, prepend=-1, append=-1))
    taken = np.zeros((len(known.labels), len(thresholds)), dtype=bool)
    for first, end in pairwise(edges.tolist()):
        detection, truth, iou = (column[first:end] for column in candidates[1:])
        free = ~taken[truth] | known.crowd[truth][:, None]
        places = np.where(free & (iou[:, None] >= thresholds), np.arange(end - first)[:, None], -1)
        begins = np.flatnonzero(np.diff(detection, prepend=-1))
        last = np.maximum.reduceat(places, begins)
        rows, levels = np.nonzero(last >= 0)
        boxes = truth[last[rows, levels]]
        chosen[levels, detection[begins][rows]] = boxes
        taken[boxes, levels] = True
    return chosen


def _candidates(found: Found, known: Known, uncounted: NDArray[np.bool_], least: float) -> _Candidates:
    """Sorted by step, detection, and inside a detection so that of the boxes that are free the last is the one."""
    blocks = []
    for block in pairs(found, known):
        rows = np.repeat(np.arange(block.detections.start, block.detections.stop), block.counts)
        near = block.iou >= least
        blocks.append((rows[near], block.truth[near], block.iou[near]))
    detection, truth, iou = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    with_box = np.unique(detection)
    new_image = np.diff(found.images[with_box], prepend=-1) != 0
    places = np.arange(len(with_box))
    steps = places - np.maximum.accumulate(np.where(new_image, places, 0))
    step = steps[np.searchsorted(with_box, detection)]
    order = np.lexsort((truth, iou, ~uncounted[truth], detection, step))
    return _Candidates(step[order], detection[order], truth[order], iou[order])

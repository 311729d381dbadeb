"""Pascal VOC's average precision at IoU 0.5: eleven points (VOC 2007 to 2009) and all points (from 2010 on).

Definition: Everingham et al., "The Pascal Visual Object Classes Challenge: A Retrospective", IJCV 2015, and
VOCevaldet.m and VOCap.m of the devkits. A detection goes to the truth box of its class and image that it overlaps most,
the first of equals. At IoU 0.5 or more it is right if it is the first there, wrong if that box is taken already, and
neither if the box is `difficult`; below 0.5 it is wrong. Detections go in falling order of their score over the whole
split; equal scores in the order of `box_columns`. A crowd, which VOC does not have, is as difficult. There is no limit
to the number of detections.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvbench.metrics.box_columns import Floats, Found, Integers, Known, of_class, pairs

MIN_OVERLAP = 0.5
POINTS = 11


class VocAP(NamedTuple):
    """AP of each class, float64 (C,) in [0, 1], the higher the better; NaN without a truth box that counts.

    eleven_point: mean over recalls 0, 0.1 … 1 of the best precision at that recall or more. all_points: area below
    precision made non-increasing.
    """

    eleven_point: Floats
    all_points: Floats


def voc_ap(found: Found, known: Known, num_classes: int) -> VocAP:
    """Both kinds of AP from one matching; detections and truth sorted as `box_columns` gives them."""
    values = np.full((2, num_classes), np.nan)
    for label in range(num_classes):
        truth = of_class(known, label)
        positives = int((~truth.ignored).sum())
        if positives:
            hits = true_positives(of_class(found, label), truth)
            values[:, label] = eleven_point(hits, positives), all_points(hits, positives)
    return VocAP(values[0], values[1])


def true_positives(found: Found, known: Known) -> NDArray[np.bool_]:
    """Of one class, which detections are right, in falling order of score; those on ignored boxes are left out."""
    best = most_overlapped(found, known)
    best = best[np.argsort(-found.scores, kind="stable")]
    best = best[(best < 0) | ~known.ignored[best]] if len(known.ignored) else best
    right = np.zeros(len(best), dtype=bool)
    taken, first = np.unique(best, return_index=True)
    right[first[taken >= 0]] = True
    return right


def eleven_point(hits: NDArray[np.bool_], positives: int) -> float:
    """Mean over recalls 0, 0.1 … 1 of the best precision where recall is that or more, 0 where it is never reached.

    Recall is compared as a fraction: 3 of 10 reaches 0.3, which floating point would leave to chance.
    """
    found, envelope = np.cumsum(hits), _envelope(hits)
    needed = -(-np.arange(POINTS) * positives // (POINTS - 1))  # true positives, rounded up
    place = np.searchsorted(found, needed, side="left")
    return float(envelope[place[place < len(hits)]].sum() / POINTS)


def all_points(hits: NDArray[np.bool_], positives: int) -> float:
    """Area below the curve: recall grows by 1 / positives at each true positive."""
    return float(_envelope(hits)[hits].sum() / positives)


def _envelope(hits: NDArray[np.bool_]) -> Floats:
    """Precision after each detection, then the best from there on."""
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best: Floats = np.maximum.accumulate(precision[::-1])[::-1]
    return best


def most_overlapped(found: Found, known: Known) -> Integers:
    """The row of the truth box that each detection overlaps most, int64 (M,); -1 where that is below `MIN_OVERLAP`."""
    chosen = np.full(len(found.scores), -1, dtype=np.int64)
    plain = known._replace(crowd=np.zeros_like(known.crowd))  # ordinary IoU
    for block in pairs(found, plain):
        some = np.flatnonzero(block.counts)
        if len(some):
            counts = block.counts[some]
            begins = np.cumsum(counts) - counts
            most = np.maximum.reduceat(block.iou, begins)
            of = np.repeat(np.arange(len(some)), counts)
            first = np.flatnonzero(block.iou == most[of])
            _, once = np.unique(of[first], return_index=True)
            rows = block.truth[first[once]]
            chosen[block.detections][some] = np.where(most >= MIN_OVERLAP, rows, -1)
    return chosen

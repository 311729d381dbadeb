"""Boxes of a split as checked columns in the order of scoring, and how much they overlap.

Evidence (N images, M detections) and truth (N images, T boxes) hold the boxes image after image, `counts` of each;
their images may come in any order. Equal scores are taken in the order of the images' numbers, see `image_numbers`, and
inside an image in the order given, so that no score depends on how the rows were gathered.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cvbench.metrics.alignment import Arrays, aligned

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Detections are paired with truth boxes in blocks of about so many pairs: 150 bytes each while their IoU is computed.
PAIRS_AT_ONCE = 2**20
_DIGITS = 18  # decimal numbers of so many digits fit int64


class Found(NamedTuple):
    """M detections, sorted by class, image, falling score, order given.

    xywh: float64 (M, 4), left, top, width, height in pixels. labels: int64 (M,), 0..C-1. images: int64 (M,), the
    image's number. scores: float64 (M,).
    """

    xywh: Floats
    labels: Integers
    images: Integers
    scores: Floats

    def at(self, rows: slice | NDArray[Any]) -> Found:
        return Found._make(column[rows] for column in self)


class Known(NamedTuple):
    """T truth boxes, sorted by class, image, order given.

    xywh, labels, images: as in `Found`. area: float64 (T,), pixels of the thing. crowd, difficult: bool (T,).
    """

    xywh: Floats
    labels: Integers
    images: Integers
    area: Floats
    crowd: NDArray[np.bool_]
    difficult: NDArray[np.bool_]

    def at(self, rows: slice | NDArray[Any]) -> Known:
        return Known._make(column[rows] for column in self)

    @property
    def ignored(self) -> NDArray[np.bool_]:
        """Boxes that count neither for nor against, bool (T,)."""
        return self.crowd | self.difficult


class Pairs(NamedTuple):
    """Some detections beside all truth boxes of their image (P pairs).

    detections: which, a slice. counts: int64, pairs of each of them. truth: int64 (P,), rows. iou: float64 (P,).
    """

    detections: slice
    counts: Integers
    truth: Integers
    iou: Floats


_Columns = TypeVar("_Columns", Found, Known)


def box_columns(evidence: Arrays, truth: Arrays) -> tuple[Found, Known]:
    """The detections and the truth of a split, sorted.

    Raises:
        ValueError: ids differ, `counts` and columns contradict each other, a label outside 0..C-1, a number that is not
            finite, a negative width, height or area, or no truth box that counts.
    """
    aligned({"ids": evidence["ids"]}, truth)
    found = _checked("detection", evidence, ("boxes_xywh", "scores", "labels"), len(truth["classes"]))
    known = _checked("truth box", truth, ("boxes_xywh", "labels", "area", "crowd", "difficult"), len(truth["classes"]))
    names = ("boxes_xywh", "labels", "images")
    detections = Found._make(found[name] for name in (*names, "scores"))
    boxes = Known._make(known[name] for name in (*names, "area", "crowd", "difficult"))
    if boxes.ignored.all():
        count = len(boxes.labels)
        but = f"all {count} of them are crowd or difficult" if count else "the truth has none"
        raise ValueError(f"Expected at least one truth box that counts, but {but}: no score is defined")
    by_score = np.lexsort((-detections.scores, detections.images, detections.labels))
    return detections.at(by_score), boxes.at(np.lexsort((boxes.images, boxes.labels)))


def image_numbers(ids: NDArray[Any]) -> Integers:
    """A number for each image, int64 (N,), which depends on the set of ids alone.

    The last part of the id as a path, without its ending, where that is a decimal number in all ids and differs, as in
    COCO's file names; else 1..N by the order of the ids as strings.
    """
    names = [PurePosixPath(str(name)).stem for name in ids]
    if all(name.isascii() and name.isdecimal() and len(name) <= _DIGITS for name in names):
        numbers = np.array([int(name) for name in names], dtype=np.int64)
        if len(np.unique(numbers)) == len(numbers):
            return numbers
    ranks = np.empty(len(names), dtype=np.int64)
    ranks[np.argsort(ids, kind="stable")] = np.arange(1, len(names) + 1)
    return ranks


def of_class(columns: _Columns, label: int) -> _Columns:
    """The rows of one class, as views."""
    return columns.at(slice(*np.searchsorted(columns.labels, [label, label + 1])))


def pairs(found: Found, known: Known) -> Iterator[Pairs]:
    """The detections of one class, in blocks, with the truth boxes of that class in their image.

    IoU is intersection over union of the half-open boxes, 0 where either has no area; for a crowd, as COCO defines it,
    the share of the detection that lies in it. Pixels counted from 1 to the last one, inclusive, as VOC's files do, are
    the same boxes: its `xmax - xmin + 1` is the width.
    """
    begin = np.searchsorted(known.images, found.images, side="left")
    counts = np.searchsorted(known.images, found.images, side="right") - begin
    edges = np.flatnonzero(np.diff(np.cumsum(counts) // PAIRS_AT_ONCE)) + 1
    for first, end in zip([0, *edges], [*edges, len(counts)], strict=True):
        some = counts[first:end]
        # from the running number of the pair to the row of its truth box
        shift = begin[first:end] - np.cumsum(some) + some
        truth = np.arange(some.sum()) + np.repeat(shift, some)
        boxes = np.repeat(found.xywh[first:end], some, axis=0)
        yield Pairs(slice(first, end), some, truth, _iou(boxes, known.xywh[truth], known.crowd[truth]))


def _iou(boxes: Floats, others: Floats, crowd: NDArray[np.bool_]) -> Floats:
    """Row by row, in COCO's own order of operations: equal to it in every bit."""
    x, y, w, h = boxes.T
    left, top, width, height = others.T
    inner_w = np.minimum(w + x, width + left) - np.maximum(x, left)
    inner_h = np.minimum(h + y, height + top) - np.maximum(y, top)
    meet = (inner_w > 0) & (inner_h > 0)
    intersection = inner_w * inner_h
    union = np.where(crowd, w * h, w * h + width * height - intersection)
    iou: Floats = np.zeros(len(boxes))
    np.divide(intersection, union, out=iou, where=meet)
    return iou


def _checked(kind: str, arrays: Arrays, names: tuple[str, ...], num_classes: int) -> dict[str, NDArray[Any]]:
    """The columns of one side, with the number of each box's image in `images`."""
    ids, counts = np.asarray(arrays["ids"]), np.asarray(arrays["counts"], dtype=np.int64)
    columns = {name: np.asarray(arrays[name]) for name in names}
    if counts.shape != ids.shape or (counts < 0).any():
        raise ValueError(f"Expected `counts` of the {kind}s to be {len(ids)} numbers >= 0, one an image")
    for name, column in columns.items():
        expected = (int(counts.sum()), 4) if name == "boxes_xywh" else (int(counts.sum()),)
        if column.shape != expected:
            raise ValueError(f"Expected `{name}` of the {kind}s to be {expected} as `counts` says, got {column.shape}")
    image = np.repeat(np.arange(len(ids)), counts)

    def every(name: str, good: NDArray[np.bool_], rule: str) -> None:
        if not good.all():
            row = int(np.flatnonzero(~good)[0])
            place, value = f"a {kind} of image {str(ids[image[row]])!r}", columns[name][row].tolist()
            raise ValueError(f"Expected `{name}` to be {rule}, but {place} has {value}")

    if "scores" in columns:
        every("scores", np.isfinite(columns["scores"]), "finite")
    if "area" in columns:
        every("area", np.isfinite(columns["area"]) & (columns["area"] >= 0), "finite and >= 0")
    boxes, labels = columns["boxes_xywh"], columns["labels"]
    every("boxes_xywh", np.isfinite(boxes).sum(axis=1) == 4, "finite")
    every("boxes_xywh", (boxes[:, 2] >= 0) & (boxes[:, 3] >= 0), "left, top, width >= 0, height >= 0")
    every("labels", (labels >= 0) & (labels < num_classes), f"0..{num_classes - 1}")
    return columns | {"images": image_numbers(ids)[image]}

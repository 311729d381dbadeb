"""COCO's box scores: average precision and recall over IoU 0.50:0.05:0.95, as pycocotools computes them.

Definition: https://cocodataset.org/#detection-eval. The matching and the curves are faster-coco-eval's C++ code, called
once for each class with the images where the class occurs, so that memory holds one class at a time. Numbers equal
pycocotools' to 1e-9.

A truth box that does not count (`difficult`) is to COCO what a box outside the area range is: a detection that fits no
other box may be matched to it by ordinary IoU, once, and is then neither right nor wrong; further ones are wrong. A
crowd takes any number of detections. Detections beyond the 100 surest of a class in an image are left out.
"""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval import faster_eval_api_cpp as evaluator
from numpy.typing import NDArray

from cvbench.metrics.box_columns import Floats, Found, Known, of_class, pairs

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = (1, 10, 100)  # of a class in an image
# In pixels; a box of exactly 32² is both small and medium.
AREAS = {"all": (0.0, 1e5**2), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e5**2)}
_UNDEFINED = -1.0  # COCO's mark for a class without truth in the area range


class CocoTable(NamedTuple):
    """What the scores are means of; -1 where the class has no truth box that counts in the area range.

    precision: float64 (C, 10 IoU thresholds, 101 recall thresholds, 4 areas), at most 100 detections.
    recall: float64 (C, 10 IoU thresholds, 4 areas, 3 numbers of detections).
    """

    precision: Floats
    recall: Floats


def coco_table(found: Found, known: Known, num_classes: int) -> CocoTable:
    """Matches detections to truth, class by class; both sorted, as `box_columns` gives them."""
    thresholds, areas = len(IOU_THRESHOLDS), len(AREAS)
    precision = np.full((num_classes, thresholds, len(RECALL_THRESHOLDS), areas), _UNDEFINED)
    recall = np.full((num_classes, thresholds, areas, len(MAX_DETECTIONS)), _UNDEFINED)
    for label in range(num_classes):
        truth = of_class(known, label)
        if not truth.ignored.all():
            curves = _curves(surest(of_class(found, label)), truth)
            precision[label] = curves["precision"][:, :, 0, :, -1]
            recall[label] = curves["recall"][:, 0]
    return CocoTable(precision, recall)


def coco_scores(table: CocoTable) -> dict[str, float]:
    """The twelve numbers, each in [0, 1], the higher the better; without those that no truth box is there for.

    map: mean of precision over classes, IoU and recall thresholds; map_50, map_75 at one IoU threshold. mar_1, mar_10,
    mar_100: mean of recall over classes and IoU thresholds with so many detections of a class in an image at most.
    map_small … mar_large: of truth boxes in that area range; other boxes neither count nor hurt.
    """
    precision, recall = table
    area = {name: place for place, name in enumerate(AREAS)}
    values = {
        "map": precision[..., area["all"]],
        "map_50": precision[:, 0, :, area["all"]],
        "map_75": precision[:, 5, :, area["all"]],
        **{f"map_{name}": precision[..., area[name]] for name in ("small", "medium", "large")},
        **{f"mar_{most}": recall[:, :, area["all"], place] for place, most in enumerate(MAX_DETECTIONS)},
        **{f"mar_{name}": recall[:, :, area[name], -1] for name in ("small", "medium", "large")},
    }
    defined = {name: numbers[numbers != _UNDEFINED] for name, numbers in values.items()}
    return {name: float(numbers.mean()) for name, numbers in defined.items() if len(numbers)}


def class_ap(table: CocoTable) -> tuple[Floats, Floats]:
    """AP over all IoU thresholds and AP at 0.50 of each class, float64 (C,); NaN without a truth box that counts."""
    everywhere = table.precision[..., 0]
    defined = everywhere[:, 0, 0] != _UNDEFINED
    over_all, at_half = everywhere.mean(axis=(1, 2)), everywhere[:, 0].mean(axis=1)
    return np.where(defined, over_all, np.nan), np.where(defined, at_half, np.nan)


def surest(found: Found) -> Found:
    """At most 100 detections an image, the first of them."""
    rows = np.arange(len(found.images))
    begins = np.diff(found.images, prepend=-1) != 0
    rank = rows - np.maximum.accumulate(np.where(begins, rows, 0))
    return found.at(rank < MAX_DETECTIONS[-1])


def _curves(found: Found, known: Known) -> dict[str, NDArray[Any]]:
    """Precision (10, 101, 1, 4, 3) and recall (10, 1, 4, 3) of one class."""
    images = np.union1d(found.images, known.images)
    found_edges = np.searchsorted(found.images, [*images, np.iinfo(np.int64).max]).tolist()
    known_edges = np.searchsorted(known.images, [*images, np.iinfo(np.int64).max]).tolist()
    detections = zip(found.scores.tolist(), (found.xywh[:, 2] * found.xywh[:, 3]).tolist(), strict=True)
    boxes = zip(known.area.tolist(), known.crowd.tolist(), known.ignored.tolist(), strict=True)
    # The evaluator reads ids as "matched to something" when above 0, and lists each pair of them that ever matched,
    # which nobody asked for: with one id for all, that list has one entry.
    found_facts = [{"id": 1, "score": score, "area": area} for score, area in detections]
    known_facts = [{"id": 1, "area": area, "iscrowd": crowd, "ignore": ignored} for area, crowd, ignored in boxes]
    overlaps = _overlap_rows(found, known)
    numbers = list(range(len(images)))
    ious = [
        # without truth the evaluator wants no row at all
        [overlaps[first:end] if has_truth else []]
        for (first, end), has_truth in zip(pairwise(found_edges), np.diff(known_edges).tolist(), strict=True)
    ]
    asked = SimpleNamespace(
        iouThrs=IOU_THRESHOLDS.tolist(),
        recThrs=RECALL_THRESHOLDS.tolist(),
        maxDets=list(MAX_DETECTIONS),
        areaRng=[list(bounds) for bounds in AREAS.values()],
        useCats=1,
        catIds=[0],
        imgIds=numbers,
    )
    sides = _as_dataset(known_facts, known_edges), _as_dataset(found_facts, found_edges)
    curves: dict[str, NDArray[Any]] = evaluator.COCOevalEvaluateAccumulate(asked, ious, *sides, numbers, [0], True)
    return curves


def _overlap_rows(found: Found, known: Known) -> list[list[float]]:
    """Of each detection: its IoU with every truth box of its image, in their order."""
    rows: list[list[float]] = []
    for block in pairs(found, known):
        values, edges = block.iou.tolist(), [0, *np.cumsum(block.counts).tolist()]
        rows += [values[first:end] for first, end in pairwise(edges)]
    return rows


def _as_dataset(facts: list[dict[str, Any]], edges: list[int]) -> Any:
    """The evaluator's container: facts of each image's boxes, of category 0."""
    rows = [(number, 0, facts[first:end]) for number, (first, end) in enumerate(pairwise(edges)) if end > first]
    dataset = evaluator.Dataset()
    dataset.load_tuple((len(rows), rows))
    return dataset

"""Made-up detections, and what pycocotools says of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Arrays = dict[str, np.ndarray]
COCO_NAMES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large")
COCO_NAMES += ("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large")

# 32² and 96² are the edges of COCO's area ranges; few places mean many ties and boxes without area.
PLACES = st.sampled_from([0.0, 10.0, 20.0, 32.0, 64.0, 96.0, 128.0])
BOXES = st.tuples(PLACES, PLACES, PLACES, PLACES)
SCORES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


def found(images: Sequence[Sequence[tuple[Any, ...]]], ids: Sequence[str] | None = None) -> Arrays:
    """Evidence of images with detections (x, y, w, h, label, score)."""
    rows = [row for image in images for row in image]
    return {
        "ids": _ids(len(images), ids),
        "counts": np.array([len(image) for image in images]),
        "boxes_xywh": np.array([row[:4] for row in rows], dtype=np.float64).reshape(-1, 4),
        "labels": np.array([row[4] for row in rows], dtype=np.int64),
        "scores": np.array([row[5] for row in rows], dtype=np.float64),
    }


def known(images: Sequence[Sequence[tuple[Any, ...]]], classes: int = 2, ids: Sequence[str] | None = None) -> Arrays:
    """Truth of images with boxes (x, y, w, h, label[, mark[, area]]); mark: "crowd", "difficult" or ""."""
    rows = [(*row, *("", None)[len(row) - 5 :]) for image in images for row in image]
    return {
        "ids": _ids(len(images), ids),
        "counts": np.array([len(image) for image in images]),
        "boxes_xywh": np.array([row[:4] for row in rows], dtype=np.float64).reshape(-1, 4),
        "labels": np.array([row[4] for row in rows], dtype=np.int64),
        "area": np.array([row[2] * row[3] if row[6] is None else row[6] for row in rows], dtype=np.float64),
        "crowd": np.array([row[5] == "crowd" for row in rows], dtype=bool),
        "difficult": np.array([row[5] == "difficult" for row in rows], dtype=bool),
        "classes": np.array([f"class{label}" for label in range(classes)]),
    }


def _ids(count: int, ids: Sequence[str] | None) -> np.ndarray:
    return np.array([f"image{place}" for place in range(count)] if ids is None else ids)


@st.composite
def splits(draw: st.DrawFn) -> tuple[Arrays, Arrays]:
    """Evidence and truth of up to 4 images, 3 classes: crowds, difficult and empty boxes, empty images, tied scores."""
    classes, images = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    labels = st.integers(0, classes - 1)
    marks = st.sampled_from(["", "", "", "crowd", "difficult"])
    areas = st.sampled_from([None, None, 0.0, 32.0**2, 96.0**2, 500.5, 20000.0])
    numbers = draw(st.lists(st.integers(1, 999), min_size=images, max_size=images, unique=True))
    ids = [f"val/{number:06}.jpg" for number in numbers]
    truth_rows = st.tuples(BOXES, labels, marks, areas).map(lambda row: (*row[0], *row[1:]))
    rows = st.tuples(BOXES, labels, SCORES).map(lambda row: (*row[0], *row[1:]))
    truth = known([draw(st.lists(truth_rows, max_size=6)) for _ in ids], classes, ids)
    return found([draw(st.lists(rows, max_size=12)) for _ in ids], ids), truth


def pycocotools(evidence: Arrays, truth: Arrays) -> tuple[dict[str, float], np.ndarray]:
    """Its twelve numbers without those that are -1, and precision (10 IoU thresholds, 101 recalls, C, 4 areas).

    Ids of images whose names are decimal; rows of both sides in one order. A difficult box gets an area outside every
    range, which is what pycocotools has for boxes that count neither for nor against.
    """
    images = np.array([int(PurePosixPath(name).stem) for name in truth["ids"].tolist()])
    categories = [7 * label + 3 for label in range(len(truth["classes"]))]
    areas = np.where(truth["difficult"], 1e12, truth["area"])
    with contextlib.redirect_stdout(io.StringIO()):
        coco, results = COCO(), COCO()
        shared = {
            "images": [{"id": number} for number in images.tolist()],
            "categories": [{"id": number} for number in categories],
        }
        columns = (truth["boxes_xywh"], truth["labels"], areas, truth["crowd"])
        coco.dataset = shared | {"annotations": _annotations(images.repeat(truth["counts"]), categories, *columns)}
        boxes = evidence["boxes_xywh"]
        plain = np.zeros(len(boxes), dtype=bool)
        columns = (boxes, evidence["labels"], boxes[:, 2] * boxes[:, 3], plain, evidence["scores"])
        # as its `loadRes` writes them, which refuses a file without any result
        rows = _annotations(images.repeat(evidence["counts"]), categories, *columns)
        results.dataset = shared | {"annotations": rows}
        coco.createIndex()
        results.createIndex()
        evaluation = COCOeval(coco, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = zip(COCO_NAMES, evaluation.stats.tolist(), strict=True)
    return {name: value for name, value in numbers if value != -1}, evaluation.eval["precision"][..., -1]


def _annotations(images: np.ndarray, categories: list[int], *columns: np.ndarray) -> list[dict[str, Any]]:
    keys = ("bbox", "category_id", "area", "iscrowd", "score")
    rows = zip(images.tolist(), *(column.tolist() for column in columns), strict=True)
    return [
        {"id": number, "image_id": image, **dict(zip(keys, values, strict=False)), "category_id": categories[values[1]]}
        for number, (image, *values) in enumerate(rows, start=1)
    ]

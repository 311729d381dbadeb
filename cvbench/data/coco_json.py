"""Reading COCO's `instances` JSON: images, categories and boxes as columns, every entry checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import DataError
from cvbench.data.box_checks import faults
from cvbench.data.box_files import BoxColumns
from cvbench.data.boxes import Boxes
from cvbench.data.coco_entries import Entries, image_files, parsed, places, sections, text, unique_ids

_KEYS = ("images", "annotations", "categories")


@dataclass(frozen=True, eq=False)
class CocoTable:
    """One JSON file as columns.

    names: each image's file, in the order of the image ids. categories: id -> name, in the order of the ids, which is
    the order of the class indices. columns: the boxes of the images, in that order too.
    """

    file: Path
    names: tuple[str, ...]
    categories: dict[int, str]
    columns: BoxColumns


def read_coco(path: Path) -> CocoTable:
    """Reads an `instances` JSON; segmentations are dropped while it is parsed, since they are most of its memory.

    `area` is width x height where it is missing, `iscrowd` 0; an image need not have an annotation, nor a size.

    Raises:
        DataError: the file is missing, cut off or no such JSON; an id twice or unknown; a file name that leaves the
            folder; a box that cannot be meant. The message names the entry.
    """
    table = sections(parsed(path, hook=_without_masks), path, _KEYS, "give the `instances` file, which has the boxes")
    categories = _categories(table["categories"], f"{path}: categories")
    image_ids, names, sizes = image_files(table["images"], f"{path}: images")
    entries, where = table["annotations"], f"{path}: annotations"
    ids = unique_ids(entries, where)
    owner = places(entries, "image_id", image_ids, where)
    labels = places(entries, "category_id", np.array(list(categories), np.int64), where)
    xywh = _boxes(entries, where)
    for row, rule in faults(xywh, sizes[owner]):
        raise DataError(f"{where}: id {ids[row]} (image {names[owner[row]]}): {rule}")
    area = np.array([_area(entry, f"{where}: id {entry['id']}") for entry in entries], np.float64)
    crowd = np.array([bool(entry.get("iscrowd", 0)) for entry in entries], bool)
    area = np.where(np.isnan(area), xywh[:, 2] * xywh[:, 3], area)
    order = np.argsort(owner, kind="stable")
    boxes = Boxes.of(xywh, labels, area=area, crowd=crowd).rows(order)
    columns = BoxColumns(boxes, np.bincount(owner, minlength=len(names)), sizes)
    return CocoTable(path, tuple(names), categories, columns)


def _without_masks(entry: dict[str, Any]) -> dict[str, Any]:
    entry.pop("segmentation", None)
    return entry


def _categories(entries: Entries, where: str) -> dict[int, str]:
    ids = unique_ids(entries, where)
    names = [text(entry, "name", f"{where}: id {entry['id']}") for entry in entries]
    if not names or len(set(names)) < len(names):
        raise DataError(f"{where}: expected one category or more, each name once, but got {', '.join(names) or 'none'}")
    return dict(sorted(zip(ids, names, strict=True)))


def _boxes(entries: Entries, where: str) -> NDArray[np.float64]:
    boxes = [entry.get("bbox") for entry in entries]
    for entry, box in zip(entries, boxes, strict=True):
        if not isinstance(box, list) or len(box) != 4 or not all(type(value) in (int, float) for value in box):
            got = repr(box)[:80] if "bbox" in entry else "none"
            raise DataError(
                f"{where}: id {entry['id']}: expected four numbers as bbox (left, top, width, height), but got {got}; "
                "correct it, or remove the annotation"
            )
    return np.array(boxes, np.float64).reshape(-1, 4)


def _area(entry: Mapping[str, Any], where: str) -> float:
    """NaN where there is none."""
    area = entry.get("area")
    if area is None:
        return float("nan")
    if type(area) not in (int, float) or not 0 <= area < float("inf"):
        raise DataError(f"{where}: expected a number of pixels as area, 0 or more, but got {area!r}; correct it")
    return float(area)

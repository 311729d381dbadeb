"""Reading COCO's `instances` JSON: images, categories and boxes as columns, every entry checked once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import DataError
from cvbench.data.box_checks import faults
from cvbench.data.box_files import BoxColumns, contained
from cvbench.data.boxes import Boxes

_KEYS = ("images", "annotations", "categories")
Entries = Sequence[Mapping[str, Any]]


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
    table = _parsed(path)
    categories = _categories(table["categories"], f"{path}: categories")
    image_ids, names, sizes = _images(table["images"], f"{path}: images")
    entries, where = table["annotations"], f"{path}: annotations"
    ids = _unique(entries, where)
    owner = _places(entries, "image_id", image_ids, where)
    labels = _places(entries, "category_id", np.array(list(categories), np.int64), where)
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


def _parsed(path: Path) -> dict[str, Entries]:
    def without_masks(entry: dict[str, Any]) -> dict[str, Any]:
        entry.pop("segmentation", None)
        return entry

    try:
        table = json.loads(path.read_text("utf-8-sig"), object_hook=without_masks)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; the dataset is incomplete, copy or unpack it again") from None
    except (ValueError, RecursionError) as error:  # also of bytes that are no UTF-8, and numbers of 5,000 digits
        raise DataError(f"{path}: not valid JSON, cut off or damaged ({error}); copy or unpack it again") from None
    got = f"the keys {', '.join(list(table)[:8]) or 'none'}" if isinstance(table, dict) else type(table).__name__
    if not isinstance(table, dict) or (missing := [key for key in _KEYS if key not in table]):
        lacking = f", without {missing[0]}" if isinstance(table, dict) else ""
        raise DataError(
            f"{path}: expected COCO's JSON object with {', '.join(_KEYS)}, but got {got}{lacking}; give the "
            "`instances` file, which has the boxes"
        )
    for key in _KEYS:
        if not isinstance(table[key], list) or not all(isinstance(entry, dict) for entry in table[key]):
            raise DataError(f"{path}: expected {key} to be a list of objects, but got {type(table[key]).__name__}")
    return {key: table[key] for key in _KEYS}


def _categories(entries: Entries, where: str) -> dict[int, str]:
    ids = _unique(entries, where)
    names = [_text(entry, "name", f"{where}: id {entry['id']}") for entry in entries]
    if not names or len(set(names)) < len(names):
        raise DataError(f"{where}: expected one category or more, each name once, but got {', '.join(names) or 'none'}")
    return dict(sorted(zip(ids, names, strict=True)))


def _images(entries: Entries, where: str) -> tuple[NDArray[np.int64], list[str], NDArray[np.int64]]:
    """Ids int64 (N,) in rising order, and the file and (H, W) of each."""
    unordered = _unique(entries, where)
    order = sorted(range(len(unordered)), key=unordered.__getitem__)
    ids = [unordered[place] for place in order]
    names = []
    sizes = np.zeros((len(ids), 2), np.int64)
    for row, place in enumerate(order):
        entry, told = entries[place], f"{where}: id {ids[row]}"
        names.append(contained(_text(entry, "file_name", told), told))
        sides = (entry.get("height", 0), entry.get("width", 0))
        if any(type(side) is not int or not 0 <= side < 1 << 31 for side in sides):
            raise DataError(f"{told}: expected height and width in whole pixels, but got {sides[0]!r} and {sides[1]!r}")
        sizes[row] = sides
    if len(set(names)) < len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise DataError(f"{where}: two images have the file {twice}; expected each file once, remove one of them")
    return np.array(ids, np.int64), names, sizes


def _unique(entries: Entries, where: str) -> list[int]:
    """The ids of the entries. Raises DataError where one is missing, no integer, or there twice."""
    ids = _integers(entries, "id", where)
    if len(set(ids)) < len(ids):
        seen: set[int] = set()
        twice = next(value for value in ids if value in seen or seen.add(value))  # type: ignore[func-returns-value]
        raise DataError(f"{where}: two of them have the id {twice}; expected each id once, give one of them another")
    return ids


def _integers(entries: Entries, key: str, where: str) -> list[int]:
    values = [entry.get(key) for entry in entries]
    for place, value in enumerate(values):
        if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
            got = repr(value)[:80] if key in entries[place] else "none"
            raise DataError(f"{where}: entry {place + 1}: expected an integer as {key}, but got {got}; correct it")
    return values  # type: ignore[return-value]


def _places(entries: Entries, key: str, known: NDArray[np.int64], where: str) -> NDArray[np.int64]:
    """The place of each entry's `key` in `known`, which rises: int64 (N,). Raises DataError for one that is not in."""
    wanted = np.array(_integers(entries, key, where), np.int64)
    places = np.searchsorted(known, wanted)
    for row in np.flatnonzero(~np.isin(wanted, known))[:1].tolist():
        some = ", ".join(str(value) for value in known[:12].tolist()) + (", …" if len(known) > 12 else "")
        raise DataError(
            f"{where}: id {entries[row]['id']}: expected as {key} an id that the file lists ({some or 'none'}), "
            f"but got {wanted[row]}; correct it, or remove the annotation"
        )
    return places.astype(np.int64)


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


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: expected a text as {key}, but got {value!r}; correct the file")
    return value

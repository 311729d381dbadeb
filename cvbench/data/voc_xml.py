"""Reading Pascal VOC's annotation files: one XML file an image, boxes as the development kit means them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

import numpy as np

from cvbench.data.base import DataError
from cvbench.data.box_checks import faults
from cvbench.data.boxes import Boxes
from cvbench.entry import nearest

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Elements(ElementTree.TreeBuilder):
    """Builds elements and refuses a document type: what declares entities, which can stand for gigabytes or files."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        raise DataError("expected plain XML, but it has a <!DOCTYPE>, which can declare entities; remove it")


def read_voc_xml(path: Path, classes: Sequence[str]) -> tuple[Boxes, tuple[int, int]]:
    """The boxes of one annotation file and the (H, W) of its image; 0, 0 where it does not say.

    VOC counts pixels from 1 and names the last one that is in: xmin..xmax becomes left xmin - 1 and width
    xmax - xmin + 1, so that the overlap of two boxes is the development kit's. Fractions occur (VOC2011 on) and stay.
    `difficult` is 0 where it is missing; `part`, `pose`, `truncated` and all else are not read.

    Raises:
        DataError: the file is missing, cut off, has a document type, an unknown class, or a box that cannot be meant.
    """
    root = _parsed(path)
    if root.tag != "annotation":
        raise DataError(f"{path}: expected VOC's <annotation>, but got <{root.tag}>; it is another kind of XML")
    size = _size(root, path)
    labels, corners, difficult = [], [], []
    for number, thing in enumerate(root.iterfind("object"), start=1):
        where = f"{path}: object {number}"
        name = (thing.findtext("name") or "").strip()
        if name not in classes:
            raise DataError(f"{where}: expected a class of VOC as its <name>, but got {name!r}{nearest(name, classes)}")
        box = thing.find("bndbox")
        if box is None:
            raise DataError(f"{where} ({name}): expected a <bndbox>, but there is none; complete or remove the object")
        labels.append(classes.index(name))
        corners.append([_number(box.findtext(corner), corner, f"{where} ({name})") for corner in _CORNERS])
        difficult.append(_number(thing.findtext("difficult", "0"), "difficult", f"{where} ({name})") != 0)
    places = np.array(corners, np.float64).reshape(-1, 4)
    _ordered(places, path)
    xywh = np.concatenate([places[:, :2] - 1, places[:, 2:] - places[:, :2] + 1], axis=1)
    for row, rule in faults(xywh, np.array(size)):
        raise DataError(f"{path}: object {row + 1} ({classes[labels[row]]}): {rule}")
    return Boxes.of(xywh, labels, difficult=difficult), size


def _parsed(path: Path) -> ElementTree.Element:
    parser: Any = ElementTree.XMLParser(target=_Elements())
    try:
        return ElementTree.fromstring(path.read_bytes(), parser)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; the dataset is incomplete, copy or unpack it again") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the others: of an encoding that is not known
        raise DataError(f"{path}: not valid XML, cut off or damaged ({error}); copy it again from the source") from None


def _size(root: ElementTree.Element, path: Path) -> tuple[int, int]:
    width, height = (_number(root.findtext(f"size/{side}", "0"), side, str(path)) for side in ("width", "height"))
    return int(height), int(width)


def _ordered(places: np.ndarray[Any, np.dtype[np.float64]], path: Path) -> None:
    swapped = np.flatnonzero((places[:, 2:] < places[:, :2]).any(axis=1))
    for row in swapped[:1].tolist():
        told = ", ".join(f"{name} {value:g}" for name, value in zip(_CORNERS, places[row].tolist(), strict=True))
        raise DataError(f"{path}: object {row + 1}: expected xmin <= xmax and ymin <= ymax, but got {told}; swap them")


def _number(text: str | None, name: str, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise DataError(f"{where}: expected a number as <{name}>, but got {text!r}; correct it, or remove the object")
    return value

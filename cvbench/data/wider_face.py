"""WIDER FACE: 32,000 photographs of events with 394,000 faces, many of them tiny, blurred or hidden.

Year: 2016
Source: Yang, Luo, Loy & Tang, "WIDER FACE: A Face Detection Benchmark", CVPR 2016
Licence: research use; images from search engines
Tasks: detection

Layout: wider_face/wider_face_split/wider_face_{train,val}_bbx_gt.txt and the images in
wider_face/WIDER_{train,val}/images/EVENT/. The test labels are hidden, so the official val (3,226 images) plays test,
and val is a share of train (12,880) by the hash of the sample's name. Of the attributes only `invalid` is read: such
faces, and those of no width or height, are difficult: not learnt, and neither found nor missed in scoring. Images
without a face stay in. Scores are COCO's and VOC's over all faces, not over the easy, medium and hard subsets of WIDER
FACE's own evaluation, whose lists are not among the annotations.
Tried on fake copies only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvbench.data.base import DataError, Dataset
from cvbench.data.box_checks import faults
from cvbench.data.box_files import BoxColumns, BoxFiles, all_present, box_dataset, contained, stem
from cvbench.data.boxes import Boxes
from cvbench.data.files import need
from cvbench.data.mask_files import list_entries
from cvbench.data.revision import revision
from cvbench.data.split import hashed

VERSION = 1
OFFICIAL_SIZES = [{"test": 3226}]
_INVALID = 7  # column of a face's line: x y w h blur expression illumination invalid occlusion pose
_REMEDY = (
    "Unpack WIDER_train.zip, WIDER_val.zip and wider_face_split.zip from shuoyang1213.me/WIDERFACE into wider_face/."
)


class _Annotated(NamedTuple):
    name: str
    boxes: Boxes


def build(root: Path, *, val_share: float = 0.1) -> Dataset:
    """WIDER FACE, one class; without WIDER_train, only `test` is there (evaluation of given weights).

    Args:
        val_share: of train that plays `val`.

    Raises:
        DataError: the data are missing, damaged or not in the layout.
    """
    if not 0 < val_share < 1:
        raise DataError(f"Expected `val_share` of wider_face to be between 0 and 1, but got {val_share}")
    folder = need(root / "wider_face", "wider_face", _REMEDY, root=root)
    splits, roles, read = {}, {"test": "official val"}, [_list(folder, "val")]
    if (folder / "WIDER_train").is_dir():
        train = _split(folder, "train")
        held_out = hashed(train.ids, val_share)
        splits = {"train": train.where(~held_out), "val": train.where(held_out)}
        roles |= {"train": "official train without val", "val": f"{val_share:g} of official train by hash"}
        read.append(_list(folder, "train"))
    splits["test"] = _split(folder, "val")
    return box_dataset(
        splits,
        name="wider_face",
        classes=("face",),
        protocol={
            "classes": 1,
            "roles": roles,
            "difficult": "`invalid`, or of no width or height: not learnt; in scoring neither found nor missed",
            "attributes": "invalid; not blur, expression, illumination, occlusion, pose",
            "crowd": "none",
        },
        revision=revision(folder, (path for split in splits.values() for path in split.paths), read),
        licence="research use",
        remedy="Unpack all images, or raise `val_share` for a part of them.",
    )


def _list(folder: Path, part: str) -> Path:
    return need(folder / "wider_face_split" / f"wider_face_{part}_bbx_gt.txt", "wider_face", _REMEDY)


def _split(folder: Path, part: str) -> BoxFiles:
    """The images of one official part; ids are as in train/0--Parade/0_Parade_marchingband_1_849."""
    path = _list(folder, part)
    images = f"WIDER_{part}/images"
    need(folder / images, "wider_face", _REMEDY)
    found = list(_annotated(path))
    all_present(folder / images, (one.name for one in found), str(path))
    names, ids = [f"{images}/{one.name}" for one in found], [f"{part}/{stem(one.name)}" for one in found]
    return BoxFiles(folder, names, ids, BoxColumns.of([one.boxes for one in found]))


def _annotated(path: Path) -> Iterator[_Annotated]:
    """Each image's name and faces: a line with its name, one with their number, a line for each.

    An image without faces has a line of zeros all the same.
    """
    lines = list_entries(path)
    place = 0
    while place < len(lines):
        name = contained(lines[place], str(path))
        if not Path(name).suffix or place + 1 >= len(lines) or not lines[place + 1].isdecimal():
            raise DataError(
                f"{path}: expected an image's name and then the number of its faces, but got {lines[place]!r} and "
                f"{lines[place + 1] if place + 1 < len(lines) else 'the end'!r}; cut off or edited: unpack it again"
            )
        count = int(lines[place + 1])
        place += 2
        where = f"{path}: {name}"
        rows = [_face(line, where) for line in lines[place : place + count]]
        if len(rows) < count:
            raise DataError(f"{where}: expected {count} faces, but the file ends after {len(rows)}; unpack it again")
        place += count or (place < len(lines) and not set(lines[place]) - set("0 "))
        yield _Annotated(name, _boxes(rows, where))


def _face(line: str, where: str) -> list[int]:
    try:
        values = [int(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) != 10:
        raise DataError(f"{where}: expected ten whole numbers for a face, but got {line!r}; unpack the file again")
    return values


def _boxes(rows: list[list[int]], where: str) -> Boxes:
    table = np.array(rows, np.float64).reshape(-1, 10)
    xywh = table[:, :4]
    for row, rule in faults(xywh, np.zeros(2)):
        raise DataError(f"{where}: face {row + 1}: {rule}")
    difficult = (table[:, _INVALID] != 0) | (xywh[:, 2:] == 0).any(axis=1)
    return Boxes.of(xywh, np.zeros(len(table), np.int64), difficult=difficult)

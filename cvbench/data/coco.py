"""COCO detection: 80 kinds of everyday things in 118,000 + 5,000 photographs of whole scenes.

Year: 2017
Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014
Licence: annotations CC BY 4.0; images the photographers' own (Flickr terms), named in the JSON
Tasks: detection

Layout: coco/annotations/instances_{train,val}{year}.json and the images in coco/{train,val}{year}/. The test labels
are hidden, so the official val plays test, and val is a share of train by the hash of the sample's name. Without train,
only `test` is there (evaluation of given weights). The category ids are not contiguous (80 of 1..90): classes are in
their order, and the protocol lists them. Images without annotations stay in; crowds are not learnt, and in scoring what
is found in them does not count. Boxes and areas are as published: some reach beyond their image by a fraction of a
pixel, a few have no area. To train on a small part of COCO in this layout use `folder_coco`.
The archives were not at hand: tried on 128 images of val2017.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cvbench.data.base import DataError, Dataset
from cvbench.data.box_files import BoxFiles, all_present, box_dataset, stem
from cvbench.data.coco_json import CocoTable, read_coco
from cvbench.data.files import need
from cvbench.data.revision import revision
from cvbench.data.split import hashed

VERSION = 1
OFFICIAL_SIZES = [{"year": 2017, "test": 5000}, {"year": 2014, "test": 40504}]
FOLDER = "coco"
# The sums are those that PaddleDetection and others check; the largest comes first: with val alone it counts as there.
FILES = {
    "http://images.cocodataset.org/zips/train2017.zip": "md5:cced6f7f71b7629ddf16f17bbcfab6b2",
    "http://images.cocodataset.org/zips/val2017.zip": "md5:442b8da7639aecaf257c1dceb8ba8c80",
    "http://images.cocodataset.org/annotations/annotations_trainval2017.zip": "md5:f4bbac642086de4f52a3fdda2de5fa2c",
}
_REMEDY = (
    "Fetch it with `cvbench data fetch coco` (20 GB), or unpack the archives of images and annotations from "
    "cocodataset.org into coco/."
)


def build(root: Path, *, year: Literal[2017, 2014] = 2017, val_share: float = 0.05) -> Dataset:
    """COCO for detection, 80 classes.

    Args:
        year: of the split into train and val: 2017 (118,287 and 5,000 images) or 2014 (82,783 and 40,504).
        val_share: of train that plays `val`.

    Raises:
        DataError: the data are missing, damaged or not in the layout, or there is no such year.
    """
    if year not in (2017, 2014):
        raise DataError(f"Expected `year` of coco to be 2017 or 2014, but got {year}")
    if not 0 < val_share < 1:
        raise DataError(f"Expected `val_share` of coco to be between 0 and 1, but got {val_share}")
    folder = need(root / "coco", "coco", _REMEDY, root=root)
    tables = {"val": _table(folder, "val", year)}
    if (folder / f"train{year}").is_dir() and _json(folder, "train", year).is_file():
        tables = {"train": _table(folder, "train", year), **tables}
    splits, roles = {}, {"test": "official val"}
    if "train" in tables:
        if tables["train"].categories != tables["val"].categories:
            files = " and ".join(str(table.file) for table in tables.values())
            raise DataError(f"{files}: expected the same categories, but they differ; unpack the annotations again")
        train = _split(folder, tables["train"], "train", year)
        held_out = hashed(train.ids, val_share)
        splits = {"train": train.where(~held_out), "val": train.where(held_out)}
        roles |= {"train": "official train without val", "val": f"{val_share:g} of official train by hash"}
    splits["test"] = _split(folder, tables["val"], "val", year)
    categories = tables["val"].categories
    return box_dataset(
        splits,
        name="coco",
        classes=tuple(categories.values()),
        protocol={
            "classes": len(categories),
            "category_ids": list(categories),
            "year": year,
            "roles": roles,
            "crowd": "not learnt; in scoring what is found in one does not count",
            "difficult": "none",
        },
        revision=revision(
            folder,
            (path for split in splits.values() for path in split.paths),
            [table.file for table in tables.values()],
        ),
        licence="annotations CC BY 4.0, images the photographers' own (Flickr terms)",
        remedy="Unpack all images, or raise `val_share` for a part of them.",
    )


def _json(folder: Path, part: str, year: int) -> Path:
    return folder / "annotations" / f"instances_{part}{year}.json"


def _table(folder: Path, part: str, year: int) -> CocoTable:
    path = need(_json(folder, part, year), "coco", _REMEDY)
    need(folder / f"{part}{year}", "coco", _REMEDY)
    table = read_coco(path)
    all_present(folder / f"{part}{year}", table.names, str(path))
    return table


def _split(folder: Path, table: CocoTable, part: str, year: int) -> BoxFiles:
    """All images of one official part; ids are as in train/000000000009."""
    names = [f"{part}{year}/{name}" for name in table.names]
    return BoxFiles(folder, names, [f"{part}/{stem(name)}" for name in table.names], table.columns)

"""Pascal VOC detection: 20 kinds of things in photographs, with those that are difficult to see marked.

Year: 2012
Source: Everingham, Van Gool, Williams, Winn, Zisserman, "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010
Licence: the photographers' own (Flickr terms); research use
Tasks: detection

Layout: VOCdevkit/VOC{year}/ with JPEGImages/, Annotations/ (one XML an image) and ImageSets/Main/{train,val,test}.txt.
2012: its test labels are hidden, so the official val (5,823 images) plays test and val is a share of train (5,717) by
hash. 2007: official train, val, test (2,501/2,510/4,952); `train_set: trainval` is what most papers train on, and
`07+12` adds the trainval of 2012: then val is a share of these by hash, and test stays that of 2007.
Things marked `difficult` are not learnt, and a detector that finds them is neither rewarded nor punished, as in the
development kit. Images of which a list says that they have none of the classes stay in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from cvbench.data.base import DataError, Dataset
from cvbench.data.box_files import BoxColumns, BoxFiles, box_dataset
from cvbench.data.files import need
from cvbench.data.mask_files import by_stem, list_entries
from cvbench.data.revision import revision
from cvbench.data.split import hashed
from cvbench.data.voc_seg import CLASSES as WITH_BACKGROUND
from cvbench.data.voc_xml import read_voc_xml

VERSION = 1
OFFICIAL_SIZES = [{"year": 2012, "test": 5823}, {"year": 2007, "test": 4952}]
FOLDER = "."
# The sum is that of torchvision's VOCDetection; VOC2007 is three times as small and fetched by hand.
FILES = {
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar": "md5:6cd6e144f989b92b3379bac3b3de84fd"
}

CLASSES = WITH_BACKGROUND[1:]
Lists = tuple[tuple[int, str], ...]  # (year, official list)
TRAINVAL_2007: Lists = ((2007, "train"), (2007, "val"))
POOLS: dict[str, Lists] = {"trainval": TRAINVAL_2007, "07+12": (*TRAINVAL_2007, (2012, "train"), (2012, "val"))}


class _Listed(NamedTuple):
    """What official lists name: the split, and the annotation files and lists that were read."""

    split: BoxFiles
    read: list[Path]


def build(
    root: Path,
    *,
    year: Literal[2012, 2007] = 2012,
    train_set: Literal["train", "trainval", "07+12"] = "train",
    val_share: float = 0.1,
) -> Dataset:
    """Pascal VOC for detection, 20 classes.

    Args:
        year: whose images are tested on.
        train_set: for 2007 also trainval, or 07+12: the trainval of both years.
        val_share: of what is trained on that plays `val`, by hash; not used where val is official.

    Raises:
        DataError: the data are missing, damaged or not in the layout, or there is no such year or training set.
    """
    if year not in (2012, 2007):
        raise DataError(f"Expected `year` of voc to be 2012 or 2007, but got {year}")
    if train_set != "train" and (year != 2007 or train_set not in POOLS):
        raise DataError(
            f"Expected `train_set` of voc to be train, or for 2007 trainval or 07+12, but got {train_set!r} for {year}"
        )
    if not 0 < val_share < 1:
        raise DataError(f"Expected `val_share` of voc to be between 0 and 1, but got {val_share}")
    official = (year, train_set) == (2007, "train")
    splits, roles, read = _official(root) if official else _carved(root, year, train_set, val_share)
    files = [path for split in splits.values() for path in split.paths]
    return box_dataset(
        splits,
        name="voc",
        classes=CLASSES,
        protocol={
            "classes": len(CLASSES),
            "year": year,
            "roles": roles,
            "difficult": "not learnt; in scoring neither found nor missed",
            "crowd": "none",
        },
        revision=revision(root / "VOCdevkit", files, read),
        licence="the photographers' own (Flickr terms), research use",
        remedy=f"{_remedy(year)} A small part of it may need another `val_share`.",
    )


def _official(root: Path) -> tuple[dict[str, BoxFiles], dict[str, str], list[Path]]:
    listed = {role: _listed(root, ((2007, role),)) for role in ("train", "val", "test")}
    read = [path for part in listed.values() for path in part.read]
    return {role: part.split for role, part in listed.items()}, {role: f"official {role}" for role in listed}, read


def _carved(
    root: Path, year: int, train_set: str, val_share: float
) -> tuple[dict[str, BoxFiles], dict[str, str], list[Path]]:
    """The official val of 2012, or test of 2007, plays test; val is a share of what is trained on."""
    tested = "test" if year == 2007 else "val"
    pool, test = _listed(root, POOLS.get(train_set, ((2012, "train"),))), _listed(root, ((year, tested),))
    held_out = hashed(pool.split.ids, val_share)
    source = f"official {train_set}"
    roles = {"train": f"{source} without val", "val": f"{val_share:g} of {source} by hash"}
    splits = {"train": pool.split.where(~held_out), "val": pool.split.where(held_out), "test": test.split}
    return splits, roles | {"test": f"official {tested}"}, [*pool.read, *test.read]


def _listed(root: Path, lists: Lists) -> _Listed:
    """The images of some official lists, in their order; ids are as in train/2007_000027."""
    devkit = root / "VOCdevkit"
    names, ids, read, boxes, sizes = [], [], [], [], []
    for year, part in lists:
        folder = need(devkit / f"VOC{year}", "voc", _remedy(year), root=root)
        path = need(folder / "ImageSets" / "Main" / f"{part}.txt", "voc", _remedy(year))
        annotations = need(folder / "Annotations", "voc", _remedy(year))
        images = by_stem(need(folder / "JPEGImages", "voc", _remedy(year)))
        read.append(path)
        for name in (line.split()[0] for line in list_entries(path)):
            if name not in images:
                raise DataError(f"{path}: names the sample {name}, but its image is missing; copy the dataset again")
            found, size = read_voc_xml(annotations / f"{name}.xml", CLASSES)
            boxes.append(found)
            sizes.append(size)
            read.append(annotations / f"{name}.xml")
            names.append(f"VOC{year}/JPEGImages/{images[name].name}")
            ids.append(f"{part}/{name}")
    return _Listed(BoxFiles(devkit, names, ids, BoxColumns.of(boxes, sizes)), read)


def _remedy(year: int) -> str:
    archives = "VOCtrainval and VOCtest" if year == 2007 else "VOCtrainval"
    return (
        f"Unpack {archives} of VOC{year} under the data root, so that it holds VOCdevkit; the archives are at "
        "host.robots.ox.ac.uk/pascal/VOC."
    )

"""Pascal VOC segmentation: 20 kinds of things and background, object borders ignored.

Year: 2012
Source: Everingham, Van Gool, Williams, Winn, Zisserman, "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010
Licence: the photographers' own (Flickr terms); research use
Tasks: segmentation

Layout: VOCdevkit/VOC{year}/ with JPEGImages/, SegmentationClass/ (palette PNG: 0 background, 1..20, 255 border) and
ImageSets/Segmentation/{train,val,test}.txt. 2012: its test labels are hidden, so the official val (1,449 images) plays
test and val is a tenth of train by hash; 2007: official train, val, test (209/213/210).
`train_set: train_aug` (2012) is the 10,582 images of the SBD extension: SegmentationClassAug/ and trainaug.txt (or
train_aug.txt) beside the official files.
Tried on fake copies only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cvbench.data.base import VOID, DataError, Dataset, DatasetInfo, Role
from cvbench.data.files import need
from cvbench.data.mask_files import Pair, by_stem, carve, files_of, list_entries, mask_splits, paired
from cvbench.data.mask_labels import IndexLabels
from cvbench.data.revision import revision

VERSION = 1
OFFICIAL_SIZES = [{"year": 2012, "test": 1449}]

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
VAL_SHARE = 0.1
_LABELS = IndexLabels(
    (*((index, index) for index in range(len(CLASSES))), (255, VOID)), "VOC's masks hold 0..20 and 255 for borders"
)


def build(
    root: Path, *, year: Literal[2012, 2007] = 2012, train_set: Literal["train", "train_aug"] = "train"
) -> Dataset:
    """Pascal VOC for segmentation, 21 classes with background.

    Raises:
        DataError: the data are missing or not in the layout, or there is no such year or training set.
    """
    if year not in (2012, 2007):
        raise DataError(f"Expected `year` of voc_seg to be 2012 or 2007, but got {year}")
    if train_set != "train" and (year, train_set) != (2012, "train_aug"):
        raise DataError(f"Expected `train_set` of voc_seg to be train, or train_aug for 2012, but got {train_set!r}")
    remedy = (
        f"Unpack VOCtrainval of VOC{year} (and for 2007 VOCtest, which holds the test masks) under the data root, "
        "so that it holds VOCdevkit; the archives are at host.robots.ox.ac.uk/pascal/VOC."
    )
    folder = need(root / "VOCdevkit" / f"VOC{year}", "voc_seg", remedy, root=root)
    images = by_stem(need(folder / "JPEGImages", "voc_seg", remedy))
    read: list[Path] = []

    def listed(name: str, masks: str = "SegmentationClass") -> list[Pair]:
        path = need(_list(folder, name), "voc_seg", remedy)
        read.append(path)
        annotated = need(folder / masks, "voc_seg", remedy)
        role = "train" if name == "train_aug" else name
        stems = list_entries(path)
        return paired(stems, images, by_stem(annotated), prefix=f"{role}/", source=path, where=str(annotated))

    pairs: dict[Role, list[Pair]]
    if year == 2007:
        pairs = {"train": listed("train"), "val": listed("val"), "test": listed("test")}
        roles = {role: f"official {role}" for role in pairs}
    else:
        aug = "SegmentationClassAug" if train_set == "train_aug" else "SegmentationClass"
        train, val = carve(listed(train_set, aug), VAL_SHARE)
        pairs = {"train": train, "val": val, "test": listed("val")}
        source = "SBD's train_aug" if train_set == "train_aug" else "official train"
        roles = {"train": source, "val": f"{VAL_SHARE:.0%} of {source} by hash", "test": "official val"}
    splits = mask_splits(pairs, _LABELS, None, dataset=f"voc_seg {year}", remedy=remedy)
    info = DatasetInfo(
        name="voc_seg",
        task="segmentation",
        protocol={
            "classes": 21,
            "year": year,
            "scoring_size": "native",
            "roles": roles,
            "void": "borders (255) ignored",
        },
        revision=revision(folder, files_of(pairs), read),
        classes=CLASSES,
        split_sizes={role: len(split) for role, split in splits.items()},
        licence="the photographers' own (Flickr terms), research use",
        redistributable=False,
        colours=tuple(palette_colour(label) for label in range(len(CLASSES))),
        ignore_index=VOID,
    )
    return Dataset(info, splits)


def palette_colour(label: int) -> tuple[int, int, int]:
    """The colour that VOC's development kit gives a label (VOClabelcolormap): its bits dealt to R, G, B from the top.

    >>> palette_colour(15)  # person
    (192, 128, 128)
    """
    channels = [0, 0, 0]
    for bit in range(8):
        channels[bit % 3] |= (label >> bit & 1) << (7 - bit // 3)
    return channels[0], channels[1], channels[2]


def _list(folder: Path, name: str) -> Path:
    lists = folder / "ImageSets" / "Segmentation"
    if name == "train_aug" and (lists / "trainaug.txt").exists():
        return lists / "trainaug.txt"
    return lists / f"{name}.txt"

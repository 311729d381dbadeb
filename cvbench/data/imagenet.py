"""ILSVRC 2012 classification: 1.28 million train and 50,000 val photographs of 1,000 classes.

Year: 2012
Source: Russakovsky et al., "ImageNet large scale visual recognition challenge", IJCV 2015
Licence: non-commercial research, after registration
Tasks: classification

Layout: imagenet/train/<wnid>/*.JPEG; imagenet/val/ either flat (ILSVRC2012_val_*.JPEG, needs the devkit) or one folder
a wnid; imagenet/ILSVRC2012_devkit_t12/ as it comes out of its archive. Classes are in the order of sorted wnids, as the
weights of torchvision and timm expect. The test labels are secret: the official val plays `test`, and `val` is a fixed
share of train. Without train, only `test` is there (evaluation of given weights). A subset of the classes is made by
`classes: <how many train folders there are>`; its wnids stand in the protocol.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cvbench.data.base import DataError, Dataset, DatasetInfo, Split
from cvbench.data.files import image_names, list_folders, need
from cvbench.data.labelled import FilesSplit, not_empty
from cvbench.data.revision import revision
from cvbench.data.split import hashed

VERSION = 1
OFFICIAL_SIZES = [{"classes": 1000, "test": 50000}]
OBTAIN = (
    "Register at https://image-net.org/download-images.php, get ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and "
    "ILSVRC2012_devkit_t12.tar.gz, and unpack them as imagenet/train/<wnid>/, imagenet/val/ and "
    "imagenet/ILSVRC2012_devkit_t12/ below the data root."
)
LICENCE = "non-commercial research, after registration"
WNID = re.compile(r"n\d{8}")
Named = dict[str, str]  # wnid -> class name, in class order


def build(root: Path, *, classes: int = 1000, val_share: float = 0.0078) -> Dataset:
    """ImageNet below `root`; lists 1.3 million files, reads none.

    Args:
        classes: 1000, or the number of class folders in train where only those are wanted.
        val_share: of train that plays `val`; the default is about 10,000 images.

    Raises:
        DataError: something is missing, a folder is no class, or the number of classes is another.
    """
    folder = need(root / "imagenet", "imagenet", OBTAIN, root=root)
    devkit = folder / "ILSVRC2012_devkit_t12" / "data"
    need(folder / "val", "imagenet", OBTAIN)
    has_train = (folder / "train").is_dir()
    wnids, numbered = _classes(folder, devkit, "train" if has_train else "val", classes)
    index = {wnid: position for position, wnid in enumerate(wnids)}
    splits: dict[str, Split] = {}
    parts = []
    if has_train:
        train = _by_folder(folder, "train", index)
        held_out = hashed(train.ids, val_share)
        splits |= {"train": train.where(~held_out), "val": train.where(held_out)}
        parts.append(train)
    truth = devkit / "ILSVRC2012_validation_ground_truth.txt"
    flat = not list_folders(folder / "val")
    test = _flat_val(folder, truth, numbered, index) if flat else _by_folder(folder, "val", index)
    splits["test"] = test
    parts.append(test)
    not_empty("imagenet", splits, "Unpack all images, or raise `val_share` for a small subset.")
    complete = len(wnids) == 1000
    info = DatasetInfo(
        name="imagenet",
        task="classification",
        protocol={
            "classes": 1000 if complete else list(wnids),
            "roles": {
                "train": "official train without val",
                "val": f"{val_share:g} of official train, by hash of the id",
                "test": "official val",
            },
        },
        revision=revision(
            folder,
            (f"{folder}/{name}" for part in parts for name in part.names),
            annotations=[truth, devkit / "meta.mat"] if flat else [],
        ),
        classes=tuple(wnids.values()),
        split_sizes={role: len(split) for role, split in splits.items()},
        licence=LICENCE,
        redistributable=False,
    )
    return Dataset(info, splits)


def _classes(folder: Path, devkit: Path, part: str, count: int) -> tuple[Named, dict[int, str]]:
    """Class names by sorted wnid, and the devkit's number of each wnid (empty without devkit)."""
    numbered, words = _devkit(devkit / "meta.mat") if (devkit / "meta.mat").exists() else ({}, {})
    there = list_folders(folder / part)
    if unknown := [name for name in there if not WNID.fullmatch(name) or (words and name not in words)]:
        raise DataError(
            f"{folder / part / unknown[0]}: expected a wnid of ILSVRC 2012, such as n01440764, as its name; remove it"
        )
    wnids = sorted(words) if len(words) == count else there
    if len(wnids) != count:
        raise DataError(
            f"{folder / part}: expected {count} class folders, but found {len(wnids)}"
            + ("" if words else f", and no devkit at {devkit}")
            + f". For a subset set `classes: {len(wnids)}`; for all 1,000 classes: {OBTAIN}"
        )
    # A wnid comes first, because two pairs of classes share their words (crane, maillot).
    return {wnid: f"{wnid} {words[wnid]}" if wnid in words else wnid for wnid in wnids}, numbered


def _devkit(meta: Path) -> tuple[dict[int, str], dict[str, str]]:
    """From meta.mat: number -> wnid and wnid -> first word, of the synsets without children (the classes)."""
    from scipy.io import loadmat  # a second to import, needed by this dataset alone

    try:
        synsets: Any = loadmat(str(meta), squeeze_me=True)["synsets"]
        leaves = [row for row in synsets.tolist() if int(row[4]) == 0]
        numbered = {int(row[0]): str(row[1]) for row in leaves}
        return numbered, {str(row[1]): str(row[2]).split(",")[0].strip() for row in leaves}
    except Exception as error:  # a damaged .mat raises nearly anything
        raise DataError(f"{meta}: not the devkit's meta.mat, or damaged ({error}); unpack the devkit again") from error


def _by_folder(folder: Path, part: str, index: dict[str, int]) -> FilesSplit:
    there = list_folders(folder / part)
    # A subset leaves the other classes' images out.
    if unknown := [name for name in there if name not in index and (len(index) == 1000 or not WNID.fullmatch(name))]:
        raise DataError(f"{folder / part / unknown[0]}: expected the wnid of a class that train has; remove it")
    names, labels = [], []
    for wnid in there:
        if wnid in index:
            found = sorted(image_names(folder / part / wnid))
            names += [f"{part}/{wnid}/{name}" for name in found]
            labels += [index[wnid]] * len(found)
    # Official file names are unique, so that the id is the same for a flat and a sorted val folder.
    return FilesSplit(folder, names, labels, [f"{part}/{Path(name).stem}" for name in names])


def _flat_val(folder: Path, truth: Path, numbered: dict[int, str], index: dict[str, int]) -> FilesSplit:
    found = sorted(image_names(folder / "val"))
    if found and not numbered:
        raise DataError(
            f"{folder / 'val'}: the images lie flat, so their classes must come from {truth.parent}, which is not "
            f"there. Put the devkit there, or sort the images into one folder a wnid. {OBTAIN}"
        )
    if found:
        need(truth, "imagenet", OBTAIN)
    try:
        answers = [int(line) for line in truth.read_text().split()] if found else []
    except ValueError as error:
        raise DataError(f"{truth}: expected one number a line ({error}); unpack the devkit again") from None
    names, labels = [], []
    for name in found:
        match = re.fullmatch(r"ILSVRC2012_val_(\d{8})\.JPEG", name)
        if not match or not 1 <= int(match[1]) <= len(answers) or answers[int(match[1]) - 1] not in numbered:
            raise DataError(f"{folder / 'val' / name}: expected ILSVRC2012_val_<number>.JPEG with an answer in {truth}")
        wnid = numbered[answers[int(match[1]) - 1]]
        if wnid in index:  # a subset leaves the other classes' images out
            names.append(f"val/{name}")
            labels.append(index[wnid])
    return FilesSplit(folder, names, labels, [f"val/{Path(name).stem}" for name in names])

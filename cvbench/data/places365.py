"""Photographs of scenes, Places365-Standard: 1.8 million train and 36,500 val images of 365 classes.

Year: 2017
Source: Zhou, Lapedriza, Khosla, Oliva, Torralba, "Places: a 10 million image database for scene recognition", PAMI 2017
Licence: research and education only
Tasks: classification

Layout: places365/ with categories_places365.txt, places365_train_standard.txt and places365_val.txt, and the images of
`size` "256" in data_256/ (or data_256_standard/) and val_256/, of "large" in data_large/ (or data_large_standard/) and
val_large/. The test labels are secret: the official val plays `test`, and `val` is a fixed share of train. Without
train images only `test` is there (evaluation of given weights).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cvbench.data.base import DataError, Dataset, DatasetInfo, Split
from cvbench.data.files import need
from cvbench.data.labelled import FilesSplit, not_empty
from cvbench.data.revision import revision
from cvbench.data.split import hashed

VERSION = 1
OFFICIAL_SIZES = [{"test": 36500}]
OBTAIN = (
    "Accept the terms at http://places2.csail.mit.edu/download.html, get filelist_places365-standard.tar, "
    "train_256_places365standard.tar and val_256.tar (or the large ones), and unpack them in places365/ below the data "
    "root."
)
LICENCE = "research and education only"


def build(root: Path, *, size: Literal["256", "large"] = "256", val_share: float = 0.0055) -> Dataset:
    """Places365-Standard below `root`; reads the lists and checks that each image is there.

    Args:
        size: "256": images scaled to 256×256; "large": short side at least 512.
        val_share: of train that plays `val`; the default is about 10,000 images.

    Raises:
        DataError: something is missing, or a list has another format.
    """
    folder = need(root / "places365", "places365", OBTAIN, root=root)
    categories = need(folder / "categories_places365.txt", "places365", OBTAIN)
    classes = _categories(categories)
    lists = [categories]
    splits: dict[str, Split] = {}
    parts = []
    if train_images := [name for name in (f"data_{size}", f"data_{size}_standard") if (folder / name).is_dir()]:
        lists.append(need(folder / "places365_train_standard.txt", "places365", OBTAIN))
        train = _listed(folder / train_images[0], lists[-1], "train", len(classes))
        held_out = hashed(train.ids, val_share)
        splits |= {"train": train.where(~held_out), "val": train.where(held_out)}
        parts.append(train)
    lists.append(need(folder / "places365_val.txt", "places365", OBTAIN))
    splits["test"] = test = _listed(need(folder / f"val_{size}", "places365", OBTAIN), lists[-1], "val", len(classes))
    parts.append(test)
    not_empty("places365", splits, "Take the official lists, or raise `val_share` for a small subset.")
    info = DatasetInfo(
        name="places365",
        task="classification",
        protocol={
            "classes": len(classes),
            "images": size,
            "roles": {
                "train": "official train (standard) without val",
                "val": f"{val_share:g} of official train, by hash of the id",
                "test": "official val",
            },
        },
        revision=revision(folder, (f"{part.folder}/{name}" for part in parts for name in part.names), lists),
        classes=classes,
        split_sizes={role: len(split) for role, split in splits.items()},
        licence=LICENCE,
        redistributable=False,
        input_size=(256, 256) if size == "256" else None,
    )
    return Dataset(info, splits)


def _categories(path: Path) -> tuple[str, ...]:
    """Class names by index: "/a/airfield 0" gives "airfield" at 0; "/a/arena/hockey 20" keeps its second slash."""
    named = dict(_lines(path))
    if sorted(named.values()) != list(range(len(named))):
        raise DataError(f"{path}: expected the indices 0 to {len(named) - 1} once each; get the official file again")
    return tuple(name.lstrip("/")[2:] for name in sorted(named, key=named.__getitem__))


def _listed(images: Path, path: Path, part: str, classes: int) -> FilesSplit:
    rows = _lines(path)
    wrong = next((name for name, label in rows if not 0 <= label < classes or ".." in name), None)
    if wrong is not None:
        raise DataError(f"{path}: expected a label from 0 to {classes - 1} and a plain name, but not so for {wrong!r}")
    names = [name.lstrip("/") for name, _ in rows]
    ids = [f"{part}/{name.rpartition('.')[0]}" for name in names]
    return FilesSplit(images, names, [label for _, label in rows], ids)


def _lines(path: Path) -> list[tuple[str, int]]:
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdecimal():
            raise DataError(f"{path}:{number}: expected `name index`, but got {line!r}; get the official file again")
        rows.append((name, int(label)))
    return rows

"""Your own images with boxes in COCO's JSON: one file for each split, or one for all of them.

Year: any
Source: yours
Licence: yours
Tasks: detection

Under `path` (a folder of the data root, or absolute) the first of these that is there, or what `annotations` names:
1. one JSON a split: {train,val,test}/_annotations.coco.json, annotations/{train,val,test}.json,
   annotations/instances_{train,val,test}*.json or {train,val,test}.json ("valid" and "validation" are understood too);
2. one JSON for all: annotations.json, instances.json, _annotations.coco.json, or the only *.json that lies in `path` or
   in annotations/. Then splits are fixed shares by the hash of the name.
Where there is no test, val plays test; where there is then no val, it is a share of train by hash. Only test, and no
train: evaluation of given weights. Images lie in `images`, else beside their JSON, in a folder of the split's name, in
images/ or in `path`: wherever the first of them is. Classes are in the order of the category ids; `area` and `iscrowd`
may be missing, images without annotations stay in. An EXIF orientation is not applied: turn such photos before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cvbench.data.base import DataError, Dataset, Role
from cvbench.data.box_files import BoxFiles, all_present, box_dataset, stem
from cvbench.data.coco_json import CocoTable, read_coco
from cvbench.data.files import need
from cvbench.data.own_files import OwnFiles, image_places, matching
from cvbench.data.revision import revision
from cvbench.data.shares import Shares, assigned

VERSION = 1
OWN = OwnFiles("folder_coco", "annotations", "JSON")
# Where one JSON a split is looked for, and where one for all.
BY_ROLE = ("{}/_annotations.coco.json", "annotations/{}.json", "annotations/instances_{}*.json", "{}.json")
FOR_ALL = ("annotations.json", "instances.json", "_annotations.coco.json", "*.json", "annotations/*.json")


def build(
    root: Path,
    *,
    path: str = "folder_coco",
    annotations: dict[str, str] | str | None = None,
    images: dict[str, str] | str | None = None,
    val_share: float = 0.15,
    test_share: float = 0.15,
    group: str | None = None,
) -> Dataset:
    """Anybody's images and COCO JSON.

    Args:
        path: the folder, under the data root or absolute.
        annotations: the JSON in `path` that has all images, or one for each role: {train: a.json, test: b.json}.
        images: the folder in `path` that the JSON's file names start from; or one for each role.
        val_share, test_share: shares by hash, of what is not test and of all; used where the files do not say.
        group: regular expression searched in each image's path; what its first parentheses (else the whole) match is
            the scene, which is hashed in the name's stead.

    Raises:
        DataError: something is missing, doubled or does not fit; the message names file and entry.
    """
    remedy = "Set its option `path` to the folder that holds the images and their JSON."
    folder = need(root / path, "folder_coco", remedy, root=root)
    shares = Shares("folder_coco", val_share, test_share, group)
    files = OWN.given(folder, annotations) if annotations else annotation_files(folder)
    if not files:
        raise DataError(
            f"{folder}: expected COCO's JSON there or in annotations/, such as annotations.json, or train.json and "
            "val.json, but found none, or several; set `annotations` of folder_coco to it, or to one for each split"
        )
    tables = {role: read_coco(file) for role, file in files.items()}
    categories = _common(tables)
    found = {role: _split(_images(folder, table, role, images), table, role) for role, table in tables.items()}
    splits, roles = assigned(found, shares)
    return box_dataset(
        splits,
        name="folder_coco",
        classes=tuple(categories.values()),
        protocol={
            "classes": list(categories.values()),
            "category_ids": list(categories),
            "roles": roles,
            "crowd": "not learnt; in scoring what is found in one does not count",
            "difficult": "none",
        },
        revision=revision(folder, (path for split in splits.values() for path in split.paths), files.values()),
        licence="the owner's",
        remedy="Add images, name a JSON for each split, or change the shares.",
    )


def annotation_files(folder: Path) -> dict[Role | None, Path]:
    """The JSON files in `folder` by the first pattern that some match; empty where none does, or several match one.

    Raises DataError for two of one split.
    """
    if found := OWN.by_role(folder, BY_ROLE):
        return found
    for pattern in FOR_ALL:
        several = matching(folder, pattern)
        if len(several) == 1:
            return {None: several[0]}
    return {}


def _common(tables: Mapping[Role | None, CocoTable]) -> dict[int, str]:
    """The categories, which all files share."""
    first, *others = tables.values()
    for other in others:
        if other.categories != first.categories:
            differing = dict(other.categories.items() ^ first.categories.items())
            number, name = next(iter(differing.items()))
            raise DataError(
                f"{other.file}: expected the categories of {first.file}, but they differ, such as in id {number} "
                f"({name}); export both with one list of categories"
            )
    return first.categories


def _images(folder: Path, table: CocoTable, role: Role | None, images: Mapping[str, str] | str | None) -> Path:
    """The folder that the file names start from."""
    if (given := OWN.images_given(folder, images, role)) is not None:
        return given
    places = image_places(folder, table.file, "instances_", role, ("images", "."))
    for place in places:
        if table.names and (place / table.names[0]).is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise DataError(
        f"{table.file}: names the image {table.names[0] if table.names else '(none)'}, which is in none of {looked}; "
        "set `images` of folder_coco to the folder that its file names start from"
    )


def _split(images: Path, table: CocoTable, role: Role | None) -> BoxFiles:
    all_present(images, table.names, str(table.file))
    ids = [f"{role}/{stem(name)}" if role else stem(name) for name in table.names]
    return BoxFiles(images, table.names, ids, table.columns)

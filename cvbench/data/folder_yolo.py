"""Your own images with boxes in Ultralytics' layout: a text file for each image.

Year: any
Source: yours
Licence: yours
Tasks: detection

Under `path` (a folder of the data root, or absolute): images/{train,val,test}/…/NAME.jpg and their boxes in
labels/{train,val,test}/…/NAME.txt; or {train,val,test}/images/ and {train,val,test}/labels/ ("valid" and "validation"
are understood too); or images/ and labels/ alone, then splits are fixed shares by the hash of the name. A line is
`class cx cy width height`, shares of the image's width and height; no file, or an empty one: an image without boxes.
Class names: `classes`, else `names` of data.yaml or of the only other *.yaml in `path`, else classes.txt there or in
labels/ (one a line). Where there is no test, val plays test; where there is then no val, it is a share of train by
hash.
An EXIF orientation is not applied (Ultralytics does): turn such photos before, and look at `cvbench data preview`.
"""

from __future__ import annotations

import os
from pathlib import Path

from cvbench.data.base import ROLES, DataError, Dataset, Role
from cvbench.data.box_files import BoxColumns, BoxFiles, box_dataset, stem
from cvbench.data.class_lists import ALIASES
from cvbench.data.files import is_image, natural, need
from cvbench.data.mask_files import list_entries
from cvbench.data.revision import revision
from cvbench.data.shares import Shares, assigned
from cvbench.data.yolo_labels import checked_names, names_in_yaml, read_labels

VERSION = 1


def build(
    root: Path,
    *,
    path: str = "folder_yolo",
    classes: list[str] | None = None,
    val_share: float = 0.15,
    test_share: float = 0.15,
    group: str | None = None,
) -> Dataset:
    """Anybody's images and label files; lists images and reads labels, no pixels.

    Args:
        path: the folder, under the data root or absolute.
        classes: names of the classes 0, 1, 2 …
        val_share, test_share: shares by hash, of what is not test and of all; used where the folders do not say.
        group: regular expression searched in each image's path below images/; what its first parentheses (else the
            whole) match is the scene, which is hashed in the name's stead.

    Raises:
        DataError: something is missing, doubled or does not fit; the message names file and line.
    """
    remedy = "Set its option `path` to the folder that holds images/ and labels/."
    folder = need(root / path, "folder_yolo", remedy, root=root)
    shares = Shares("folder_yolo", val_share, test_share, group)
    names, read = _names(folder, classes)
    found: dict[Role | None, BoxFiles] = {}
    for role, (images, labels) in _parts(folder).items():
        found[role], used = _split(folder, images, labels, role, len(names))
        read += used
    splits, roles = assigned(found, shares)
    return box_dataset(
        splits,
        name="folder_yolo",
        classes=names,
        protocol={"classes": list(names), "roles": roles, "crowd": "none", "difficult": "none"},
        revision=revision(folder, (file for split in splits.values() for file in split.paths), read),
        licence="the owner's",
        remedy="Add images, make folders for the splits, or change the shares.",
    )


def _names(folder: Path, classes: list[str] | None) -> tuple[tuple[str, ...], list[Path]]:
    """Class names, and the file that they were read from."""
    if classes is not None:
        return checked_names(classes, "`classes` of folder_yolo"), []
    if (found := class_names(folder)) is None:
        raise DataError(
            f"{folder}: the classes have no names; expected data.yaml with `names`, or classes.txt with one name a "
            "line, or the option `classes` of folder_yolo, for the classes 0, 1, 2 …"
        )
    return checked_names(found[0], str(found[1])), [found[1]]


def class_names(folder: Path) -> tuple[tuple[str, ...], Path] | None:
    """The names that a file in `folder` gives the classes, and that file; None where none does."""
    sheets = [path for path in sorted(folder.iterdir()) if path.suffix in (".yaml", ".yml")]
    chosen = [path for path in sheets if path.stem == "data"] or sheets
    if len(chosen) == 1 and (names := names_in_yaml(chosen[0])) is not None:
        return names, chosen[0]
    lists = (folder / "classes.txt", folder / "labels" / "classes.txt")
    return next(((tuple(list_entries(path)), path) for path in lists if path.is_file()), None)


def _parts(folder: Path) -> dict[Role | None, tuple[str, str]]:
    """The folders of images and of labels, by role, or under None where there are no roles."""
    for form in ("{}/{}", "{1}/{0}"):
        parts: dict[Role | None, tuple[str, str]] = {}
        for role in ROLES:
            for alias in ALIASES[role]:
                if (folder / form.format("images", alias)).is_dir():
                    parts[role] = form.format("images", alias), form.format("labels", alias)
        if parts:
            return parts
    need(folder / "images", "folder_yolo", "Expected images/ and labels/, each with train, val and test or with files.")
    return {None: ("images", "labels")}


def _split(folder: Path, images: str, labels: str, role: Role | None, num_classes: int) -> tuple[BoxFiles, list[Path]]:
    """The images of one part, and the label files that were there."""
    need(folder / labels, "folder_yolo", f"{folder / images} needs the label files of its images there.")
    inner = sorted(_images_below(folder / images), key=natural)
    files = [folder / labels / f"{stem(name)}.txt" for name in inner]
    there = [path for path in files if path.is_file()]
    if inner and not there:
        raise DataError(
            f"{folder / labels}: has no label file for any of the {len(inner)} images of {folder / images}; expected "
            f"{stem(inner[0])}.txt for {inner[0]}, and so on"
        )
    columns = BoxColumns.of([read_labels(path, num_classes) for path in files], shares=True)
    ids = [f"{role}/{stem(name)}" if role else stem(name) for name in inner]
    return BoxFiles(folder / images, inner, ids, columns), there


def _images_below(folder: Path) -> list[str]:
    """Image files, however deep, as paths below `folder` with forward slashes."""
    return [
        Path(base, name).relative_to(folder).as_posix()
        for base, _, names in os.walk(folder)
        for name in names
        if is_image(name)
    ]

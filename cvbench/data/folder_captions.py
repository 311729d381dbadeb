"""Your own images with captions: a JSON or CSV file beside them, with or without splits.

Year: any
Source: yours
Licence: yours
Tasks: captioning

Under `path` (a folder of the data root, or absolute) the first of these that is there, or what `captions` names:
1. one file a split: {train,val,test}/captions.json, annotations/captions_{train,val,test}*.json,
   captions_{train,val,test}*.json or {train,val,test}.json, or the same with .csv ("valid" and "validation" are
   understood too);
2. one file for all: captions.json, annotations/captions.json, captions.csv or captions.txt.
JSON is COCO's, or {"file.jpg": ["a caption", "another"], …}. CSV has a header and the columns image and caption, a row
for each caption; a caption with commas stands between quotation marks. One CSV for all may have a third column, split,
with train, val or test. Without it, images that all lie in folders train/, val/ and test/ are split by these; others by
fixed shares of the hash of the name. Where there is no test, val plays test; where there is then no val, it is a share
of train by hash. Only test, and no train: for captions that somebody else's model wrote; there is no vocabulary.
Images lie in `images`, else beside their file, in a folder of the split's name, in images/ or in `path`: wherever the
first of them is. Images that no caption names are passed over. An EXIF orientation is not applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cvbench.data.base import ROLES, DataError, Dataset, Role
from cvbench.data.box_files import all_present, contained, stem
from cvbench.data.caption_entries import Captions, Entry, Row, grouped, read_table
from cvbench.data.caption_files import CaptionFiles, caption_dataset
from cvbench.data.caption_json import read_captions_json
from cvbench.data.class_lists import ALIASES
from cvbench.data.files import need
from cvbench.data.own_files import OwnFiles, image_places
from cvbench.data.revision import revision
from cvbench.data.shares import Shares, assigned

VERSION = 1
OWN = OwnFiles("folder_captions", "captions")
# Where one file a split is looked for, and where one for all.
BY_ROLE = tuple(
    f"{place}.{kind}"
    for kind in ("json", "csv")
    for place in ("{}/captions", "annotations/captions_{}*", "captions_{}*", "{}")
)
FOR_ALL = ("captions.json", "annotations/captions.json", "captions.csv", "captions.txt")
_ROLE_OF: dict[str, Role] = {alias: role for role in ROLES for alias in ALIASES[role]}


class _Part(NamedTuple):
    """Images of one split, or of all of them. file: where their captions stand. prefix: of the samples' ids."""

    file: Path
    captions: Captions
    prefix: str


def build(
    root: Path,
    *,
    path: str = "folder_captions",
    captions: dict[str, str] | str | None = None,
    images: dict[str, str] | str | None = None,
    min_count: int = 2,
    val_share: float = 0.15,
    test_share: float = 0.15,
    group: str | None = None,
) -> Dataset:
    """Anybody's images and captions.

    Args:
        path: the folder, under the data root or absolute.
        captions: the file in `path` that has all captions, or one for each role: {train: a.json, test: b.csv}.
        images: the folder in `path` that the files' names of images start from; or one for each role.
        min_count: how often a word must occur in the captions of train to be in the vocabulary. 2, for few images: what
            is written once cannot be learnt, and is what models learn from to be told an unknown word.
        val_share, test_share: shares by hash, of what is not test and of all; used where the files do not say.
        group: regular expression searched in each image's path; what its first parentheses (else the whole) match is
            the scene, which is hashed in the name's stead.

    Raises:
        DataError: something is missing, doubled or does not fit; the message names file and entry.
    """
    remedy = "Set its option `path` to the folder that holds the images and their captions."
    folder = need(root / path, "folder_captions", remedy, root=root)
    shares = Shares("folder_captions", val_share, test_share, group)
    files = OWN.given(folder, captions) if captions else caption_files(folder)
    if not files:
        raise DataError(
            f"{folder}: expected captions.json or captions.csv there, or train.json and val.json, but found none of "
            "them; set `captions` of folder_captions to your file, or to one for each split"
        )
    parts = {role: part for given, file in files.items() for role, part in _read(file, given).items()}
    found = {role: _split(_images(folder, part, role, images), part) for role, part in parts.items()}
    splits, roles = assigned(found, shares)
    return caption_dataset(
        splits,
        name="folder_captions",
        min_count=min_count,
        protocol={"roles": roles},
        revision=revision(folder, (path for split in splits.values() for path in split.paths), files.values()),
        licence="the owner's",
        remedy="Add images, name a file for each split, or change the shares.",
    )


def caption_files(folder: Path) -> dict[Role | None, Path]:
    """The files of captions in `folder` by the first pattern that some match; empty where none does.

    Raises DataError for two of one split.
    """
    for_all = next((folder / name for name in FOR_ALL if (folder / name).is_file()), None)
    return OWN.by_role(folder, BY_ROLE) or ({} if for_all is None else {None: for_all})


def _read(file: Path, role: Role | None) -> dict[Role | None, _Part]:
    """The captions of a file, by role where a file of all of them says so."""
    if file.suffix.lower() == ".json":
        captions, told = read_captions_json(file), {}
    else:
        rows = list(read_table(file, ("image", "caption"), ("split",)))
        captions, told = grouped(_entries(rows)), _split_column(rows)
    if not captions:
        raise DataError(f"{file}: expected captions, but it has none; add some, or remove the file")
    if role is not None:
        return {role: _Part(file, captions, f"{role}/")}
    told = told or _split_folders(captions)
    found: dict[Role | None, _Part] = {}
    for name, of_image in captions.items():
        found.setdefault(told.get(name), _Part(file, {}, "")).captions[name] = of_image
    return found


def _entries(rows: list[Row]) -> Iterator[Entry]:
    for row in rows:
        yield Entry(contained(row.values["image"].strip(), row.where), row.values["caption"], row.where)


def _split_column(rows: list[Row]) -> dict[str, Role]:
    """The role of each image; empty where there is no such column.

    Raises:
        DataError: a value that is no split, or an image in two of them.
    """
    roles: dict[str, Role] = {}
    for row in rows:
        if "split" not in row.values:
            continue
        role, name = _ROLE_OF.get(row.values["split"].strip().lower()), row.values["image"].strip()
        if role is None:
            raise DataError(f"{row.where}: expected as split train, val or test, but got {row.values['split']!r:.40}")
        name = contained(name, row.where)
        if roles.setdefault(name, role) != role:
            raise DataError(f"{row.where}: expected {name} in one split, but it is in {roles[name]} and in {role}")
    return roles


def _split_folders(captions: Captions) -> dict[str, Role]:
    """The role of each image where all of them lie in folders of roles; else empty."""
    told = {name: _ROLE_OF[top] for name in captions if (top := name.partition("/")[0].lower()) in _ROLE_OF}
    return told if len(told) == len(captions) else {}


def _images(folder: Path, part: _Part, role: Role | None, images: Mapping[str, str] | str | None) -> Path:
    """The folder that the names start from."""
    if (given := OWN.images_given(folder, images, role)) is not None:
        return given
    first = next(iter(part.captions))
    places = image_places(folder, part.file, "captions_", role, ("images", "Images", "."))
    for place in places:
        if (place / first).is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise DataError(
        f"{part.file}: has captions of {first}, which is in none of {looked}; correct the name, or set `images` of "
        "folder_captions to the folder that its names start from"
    )


def _split(images: Path, part: _Part) -> CaptionFiles:
    all_present(images, part.captions, str(part.file))
    ids = [part.prefix + stem(name) for name in part.captions]
    return CaptionFiles(images, list(part.captions), ids, part.captions.values())

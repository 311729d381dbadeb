"""Flickr30k: 31,783 photographs of people in everyday life, each described by five people.

Year: 2014
Source: Young et al., "From image descriptions to visual denotations", TACL 2, 2014
Licence: research and education only; images the photographers' own (Flickr terms)
Tasks: captioning

Layout: flickr30k/ with the images in flickr30k-images/ or flickr30k_images/, and the captions in
results_20130124.token, in results.csv (as Kaggle has it), or in Karpathy's dataset_flickr30k.json alone. The dataset
has no split of its own. Karpathy's has 29,000, 1,014 and 1,000 images and is what papers score on; where its file is
not there, the lists train.txt, val.txt and test.txt of Flickr30k Entities, with 29,783, 1,000 and 1,000.
The data were not at hand: tried on small copies of its formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cvbench.data.base import ROLES, DataError, Dataset
from cvbench.data.box_files import contained
from cvbench.data.caption_entries import Captions, Entry, grouped, read_lines, read_tokens
from cvbench.data.caption_files import caption_dataset
from cvbench.data.caption_json import read_karpathy
from cvbench.data.caption_lists import check_captioned, check_known, check_there, in_roles, read_list
from cvbench.data.files import image_names, need
from cvbench.data.revision import revision

VERSION = 1
FOLDER = "flickr30k"
# Kaggle's archive has a folder of the same name in the folder, and its table beside that.
IMAGES = ("flickr30k-images", "flickr30k_images/flickr30k_images", "flickr30k_images", "Images")
TOKENS = ("results_20130124.token", "results.csv", "flickr30k_images/results.csv")
KARPATHY = "dataset_flickr30k.json"
# The one line of the published table that lacks a separator, and what it means.
BROKEN = {"2199200615.jpg| 4   A dog runs across the grass .": "2199200615.jpg| 4| A dog runs across the grass ."}
_HEADER = ("image_name", "comment_number", "comment")
_REMEDY = (
    "It may not be passed on: ask for the images at https://shannon.cs.illinois.edu/DenotationGraph, and put them into "
    "flickr30k/flickr30k-images/ and results_20130124.token beside that folder."
)
_NO_SPLIT = (
    "Its split is Karpathy's dataset_flickr30k.json (of caption_datasets.zip at cs.stanford.edu/people/karpathy/"
    "deepimagesent), or train.txt, val.txt and test.txt of Flickr30k Entities: put one of them into flickr30k/."
)


class _Split(NamedTuple):
    """Who says what is train, val and test. captions: those that it holds itself."""

    files: dict[str, Path]
    named: dict[str, list[str]]
    roles: dict[str, str]
    captions: Captions | None


def build(root: Path, *, min_count: int = 5) -> Dataset:
    """Flickr30k with Karpathy's splits, or those of Flickr30k Entities.

    Args:
        min_count: how often a word must occur in the captions of train to be in the vocabulary.

    Raises:
        DataError: the data are missing, damaged or not in the layout.
    """
    folder = need(root / FOLDER, "flickr30k", _REMEDY, root=root)
    images = next((folder / name for name in IMAGES if (folder / name).is_dir()), None)
    images = images or need(folder / IMAGES[0], "flickr30k", _REMEDY)
    there = set(image_names(images))
    split = _split(folder)
    source = next((folder / name for name in TOKENS if (folder / name).is_file()), None)
    if source is None and split.captions is None:
        need(folder / TOKENS[0], "flickr30k", _REMEDY)  # raises
    captions = grouped(_entries(source)) if source else split.captions or {}
    source = source or split.files["test"]
    check_captioned(split.named, captions, source)
    for role, names in split.named.items():
        check_there(names, there, images, split.files[role], "unpack all of them again")
    check_known(captions, there, images, source)
    splits = in_roles(split.named, images, captions)
    return caption_dataset(
        splits,
        name="flickr30k",
        min_count=min_count,
        protocol={"roles": split.roles},
        revision=revision(
            folder, (path for part in splits.values() for path in part.paths), {source, *split.files.values()}
        ),
        licence="research and education only; images the photographers' own (Flickr terms)",
        remedy="Correct the lists of names.",
    )


def _split(folder: Path) -> _Split:
    if (file := folder / KARPATHY).is_file():
        parts = read_karpathy(file)
        captions = {name: of_image for part in parts.values() for name, of_image in part.items()}
        named: dict[str, list[str]] = {role: list(parts[role]) for role in ROLES}
        return _Split(dict.fromkeys(ROLES, file), named, _roles("Karpathy's"), captions)
    lists: dict[str, Path] = {role: folder / f"{role}.txt" for role in ROLES}
    if not any(path.is_file() for path in lists.values()):
        need(folder / KARPATHY, "flickr30k", _NO_SPLIT)  # raises
    named = {role: read_list(need(path, "flickr30k", _NO_SPLIT), ".jpg") for role, path in lists.items()}
    return _Split(lists, named, _roles("Flickr30k Entities'"), None)


def _roles(whose: str) -> dict[str, str]:
    return {role: f"{whose} {role}" for role in ROLES}


def _entries(path: Path) -> Iterator[Entry]:
    return read_tokens(path) if path.suffix == ".token" else _read_bars(path)


def _read_bars(path: Path) -> Iterator[Entry]:
    """Kaggle's table: image_name| comment_number| comment.

    Raises:
        DataError: another header, a line of another form, a number that an image has twice.
    """
    header, *lines = read_lines(path)
    if tuple(name.strip() for name in header.split("|")) != _HEADER:
        raise DataError(f"{path}:1: expected the header {'| '.join(_HEADER)}, but got {header!r:.80}; copy it again")
    seen: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = BROKEN.get(line.strip(), line).split("|", 2)
        if len(fields) < 3 or not fields[1].strip().isdecimal():
            raise DataError(f"{path}:{number}: expected `name.jpg| 0| caption`, but got {line!r:.80}; correct it")
        key = (contained(fields[0].strip(), f"{path}:{number}"), fields[1].strip())
        if key in seen:
            raise DataError(
                f"{path}:{number}: expected each number of an image once, but line {seen[key]} has {key[0]}| {key[1]} "
                "already; give one of them another, or remove it"
            )
        seen[key] = number
        yield Entry(key[0], fields[2], f"{path}:{number}")

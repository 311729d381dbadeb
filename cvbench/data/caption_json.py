"""Captions in JSON: COCO's `captions` files, Karpathy's files of splits, and plain objects from file to captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cvbench.data.base import DataError, Role
from cvbench.data.box_files import contained
from cvbench.data.caption_entries import Captions, Entry, cleaned, grouped
from cvbench.data.coco_entries import Entries, image_files, parsed, places, sections, text, unique_ids

# Karpathy & Fei-Fei add COCO's images that are in neither val nor test ("restval") to those that are learnt.
KARPATHY_ROLES: dict[str, Role] = {"train": "train", "restval": "train", "val": "val", "test": "test"}


def read_coco_captions(path: Path) -> Captions:
    """COCO's `captions` JSON: {"images": [{"id", "file_name"}], "annotations": [{"id", "image_id", "caption"}]}.

    Returns:
        The captions of each image in the order of the file; images in the order of their ids.

    Raises:
        DataError: the file is missing, cut off or no such JSON; an id twice or unknown; a file name that leaves the
            folder; a blank caption; an image without one. The message names the entry.
    """
    return _coco_captions(parsed(path), path)


def read_captions_json(path: Path) -> Captions:
    """COCO's `captions` JSON, or {"file.jpg": ["caption", …], …}, where a single caption needs no list.

    Raises:
        DataError: as `read_coco_captions`; a file that stands there twice.
    """
    table = parsed(path, pairs=lambda pairs: _unique(pairs, path))
    if isinstance(table, dict) and isinstance(table.get("annotations"), list) and isinstance(table.get("images"), list):
        return _coco_captions(table, path)
    if not isinstance(table, dict) or not table:
        raise DataError(
            f'{path}: expected COCO\'s captions, or {{"file.jpg": ["caption", …]}}, but got '
            f"{'nothing in it' if isinstance(table, dict) else type(table).__name__}"
        )
    return _with_captions(grouped(_listed(table, path)), {contained(name, str(path)): name for name in table}, path)


def read_karpathy(path: Path) -> dict[Role, Captions]:
    """The splits of Karpathy & Fei-Fei, CVPR 2015.

    The file: {"images": [{"filename", "filepath", "split", "sentences": [{"raw"}]}]}; Flickr30k's has no filepath.

    Returns:
        The captions of each image by role; names are filepath/filename where there is a filepath.

    Raises:
        DataError: the file is missing, cut off or no such JSON; an unknown split; an image twice; a blank caption; an
            image without one.
    """
    entries = sections(parsed(path), path, ("images",), "give Karpathy's dataset_….json")["images"]
    found: dict[Role, Captions] = {"train": {}, "val": {}, "test": {}}
    seen: set[str] = set()
    for place, entry in enumerate(entries, start=1):
        where = f"{path}: images: entry {place}"
        name = text(entry, "filename", where)
        name = contained(f"{entry['filepath']}/{name}" if entry.get("filepath") else name, where)
        split = text(entry, "split", where)
        if split not in KARPATHY_ROLES:
            raise DataError(f"{where}: expected as split one of {', '.join(KARPATHY_ROLES)}, but got {split!r}")
        if name in seen:
            raise DataError(f"{where}: {name} was there before; expected each image once, remove one of them")
        seen.add(name)
        sentences = entry.get("sentences")
        if not isinstance(sentences, list) or not all(isinstance(sentence, dict) for sentence in sentences):
            raise DataError(f"{where}: {name}: expected sentences to be a list of objects; copy the file again")
        if not sentences:
            raise _without(f"{where}: {name}")
        raw = [_caption(sentence, "raw", f"{where}: {name}") for sentence in sentences]
        found[KARPATHY_ROLES[split]][name] = [cleaned(caption, f"{where}: {name}") for caption in raw]
    return found


def _coco_captions(table: Any, path: Path) -> Captions:
    lists = sections(table, path, ("images", "annotations"), "give the `captions` file")
    image_ids, names, _ = image_files(lists["images"], f"{path}: images")
    entries, where = lists["annotations"], f"{path}: annotations"
    unique_ids(entries, where)
    owners = [names[row] for row in places(entries, "image_id", image_ids, where)]
    found = grouped(_annotated(entries, owners, where))
    ids = dict(zip(names, image_ids.tolist(), strict=True))
    return _with_captions(found, {name: f"image id {ids[name]}" for name in names}, path)


def _annotated(entries: Entries, owners: list[str], where: str) -> Iterator[Entry]:
    for entry, owner in zip(entries, owners, strict=True):
        told = f"{where}: id {entry['id']}"
        yield Entry(owner, _caption(entry, "caption", told), told)


def _listed(table: dict[str, Any], path: Path) -> Iterator[Entry]:
    for name, value in table.items():
        captions = [value] if isinstance(value, str) else value
        if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
            raise DataError(f"{path}: {name}: expected a list of captions, but got {value!r:.60}; correct it")
        yield from (Entry(contained(name, str(path)), caption, str(path)) for caption in captions)


def _with_captions(found: Captions, named: dict[str, str], path: Path) -> Captions:
    """`found` in the order of `named`. Raises DataError for an image of them without captions."""
    for name, told in named.items():
        if name not in found:
            raise _without(f"{path}: {name}" + (f" ({told})" if told != name else ""))
    return {name: found[name] for name in named}


def _without(where: str) -> DataError:
    return DataError(f"{where}: expected one caption or more, but it has none; write one, or remove the image")


def _caption(entry: Any, key: str, where: str) -> str:
    """The text under `key`, which may still be blank."""
    if not isinstance(entry.get(key), str):
        raise DataError(f"{where}: expected a text as {key}, but got {entry.get(key)!r:.60}; correct the file")
    return str(entry[key])


def _unique(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """The object of these pairs; `json` alone would keep the last of two equal keys and say nothing."""
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DataError(f"{path}: has {twice!r} twice in one object; expected each name once, put them together")
    return table

"""Entries of COCO's JSON files, whatever they annotate: parsing, ids, images and references, each checked once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import DataError
from cvbench.data.box_files import contained

Entries = Sequence[Mapping[str, Any]]


def parsed(
    path: Path,
    *,
    hook: Callable[[dict[str, Any]], Any] | None = None,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """The content of a JSON file. hook, pairs: what `json` does with each object.

    Raises:
        DataError: the file is missing, cut off, or no JSON in UTF-8.
    """
    try:
        return json.loads(path.read_text("utf-8-sig"), object_hook=hook, object_pairs_hook=pairs)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; the dataset is incomplete, copy or unpack it again") from None
    except DataError:
        raise
    except (ValueError, RecursionError) as error:  # also of bytes that are no UTF-8, and numbers of 5,000 digits
        raise DataError(f"{path}: not valid JSON, cut off or damaged ({error}); copy or unpack it again") from None


def sections(table: Any, path: Path, keys: Sequence[str], remedy: str) -> dict[str, Entries]:
    """The lists of objects under `keys`. remedy: what to give in the file's stead, half a sentence.

    Raises:
        DataError: `table` is no object, lacks a key, or has something else there.
    """
    got = f"the keys {', '.join(list(table)[:8]) or 'none'}" if isinstance(table, dict) else type(table).__name__
    if not isinstance(table, dict) or (missing := [key for key in keys if key not in table]):
        lacking = f", without {missing[0]}" if isinstance(table, dict) else ""
        raise DataError(f"{path}: expected COCO's JSON object with {', '.join(keys)}, but got {got}{lacking}; {remedy}")
    for key in keys:
        if not isinstance(table[key], list) or not all(isinstance(entry, dict) for entry in table[key]):
            raise DataError(f"{path}: expected {key} to be a list of objects, but got {type(table[key]).__name__}")
    return {key: table[key] for key in keys}


def image_files(entries: Entries, where: str) -> tuple[NDArray[np.int64], list[str], NDArray[np.int64]]:
    """Ids int64 (N,) in rising order, and the file and (H, W) of each; 0 where the size is not given.

    Raises:
        DataError: an id or file twice, a name that leaves the folder, a size that is none.
    """
    unordered = unique_ids(entries, where)
    order = sorted(range(len(unordered)), key=unordered.__getitem__)
    ids = [unordered[place] for place in order]
    names = []
    sizes = np.zeros((len(ids), 2), np.int64)
    for row, place in enumerate(order):
        entry, told = entries[place], f"{where}: id {ids[row]}"
        names.append(contained(text(entry, "file_name", told), told))
        sides = (entry.get("height", 0), entry.get("width", 0))
        if any(type(side) is not int or not 0 <= side < 1 << 31 for side in sides):
            raise DataError(f"{told}: expected height and width in whole pixels, but got {sides[0]!r} and {sides[1]!r}")
        sizes[row] = sides
    if len(set(names)) < len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise DataError(f"{where}: two images have the file {twice}; expected each file once, remove one of them")
    return np.array(ids, np.int64), names, sizes


def unique_ids(entries: Entries, where: str) -> list[int]:
    """The ids of the entries. Raises DataError where one is missing, no integer, or there twice."""
    ids = integers(entries, "id", where)
    if len(set(ids)) < len(ids):
        seen: set[int] = set()
        twice = next(value for value in ids if value in seen or seen.add(value))  # type: ignore[func-returns-value]
        raise DataError(f"{where}: two of them have the id {twice}; expected each id once, give one of them another")
    return ids


def integers(entries: Entries, key: str, where: str) -> list[int]:
    """The value of `key` of each entry. Raises DataError where it is missing or no integer of 64 bits."""
    values = [entry.get(key) for entry in entries]
    for place, value in enumerate(values):
        if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
            got = repr(value)[:80] if key in entries[place] else "none"
            raise DataError(f"{where}: entry {place + 1}: expected an integer as {key}, but got {got}; correct it")
    return values  # type: ignore[return-value]


def places(entries: Entries, key: str, known: NDArray[np.int64], where: str) -> NDArray[np.int64]:
    """The place of each entry's `key` in `known`, which rises: int64 (N,). Raises DataError for one that is not in."""
    wanted = np.array(integers(entries, key, where), np.int64)
    found = np.searchsorted(known, wanted)
    for row in np.flatnonzero(~np.isin(wanted, known))[:1].tolist():
        some = ", ".join(str(value) for value in known[:12].tolist()) + (", …" if len(known) > 12 else "")
        raise DataError(
            f"{where}: id {entries[row]['id']}: expected as {key} an id that the file lists ({some or 'none'}), "
            f"but got {wanted[row]}; correct it, or remove the annotation"
        )
    return found.astype(np.int64)


def text(entry: Mapping[str, Any], key: str, where: str) -> str:
    """The text under `key`. Raises DataError where it is missing, empty or none."""
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: expected a text as {key}, but got {value!r}; correct the file")
    return value

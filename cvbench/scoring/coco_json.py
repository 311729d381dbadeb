"""COCO's JSON: lists of objects read column by column, each error with file, entry, value, rule and remedy."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = Sequence[Any]

# Ids end up in int64; nothing that counts things needs more digits.
_LARGEST_ID = 10**18


def read_json(path: Path) -> Any:
    """The file's content. Raises ValueError where it is not there, not JSON or cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON file in UTF-8, but reading it gave: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, but got: {error}; if the file is cut off, write it again") from None


class Entries:
    """A list of objects in a COCO file, such as its `annotations`."""

    def __init__(self, path: Path, name: str, content: Any, remedy: str) -> None:
        self.path, self.name = path, name
        if not isinstance(content, list):
            raise ValueError(f"{path}: expected {name} to be a list, but got {_shown(content)}; {remedy}")
        self._check("", content, lambda entry: isinstance(entry, dict), "an object {…}", remedy)
        self._entries: list[dict[str, Any]] = content

    def __len__(self) -> int:
        return len(self._entries)

    def ids(self) -> list[int]:
        """The entries' own `id`, whole numbers, each once."""
        ids = self._whole("id")
        first: dict[int, int] = {}
        for index, value in enumerate(ids):
            if first.setdefault(value, index) != index:
                rule = f"an id that {self.name}[{first[value]}] does not have"
                raise self._error(index, ".id", rule, value, "remove one, or number them anew")
        return ids

    def names(self) -> list[str]:
        """The entries' `name`, texts, each once."""
        names = self._values("name")
        self._check(".name", names, lambda name: isinstance(name, str) and name, "a name", "write it as a text")
        first: dict[str, int] = {}
        for index, name in enumerate(names):
            if first.setdefault(name, index) != index:
                rule = f"a name that {self.name}[{first[name]}] does not have"
                raise self._error(index, ".name", rule, name, "rename one")
        return names

    def texts(self, key: str) -> list[str]:
        """Texts, blank or not."""
        values = self._values(key)
        self._check(f".{key}", values, lambda text: isinstance(text, str), "a text", "write it in quotes")
        return values

    def places(self, key: str, known: Mapping[int, int], explain: Callable[[int], tuple[str, str]]) -> NDArray[Any]:
        """Ids of something else as its places, int64 (N,). explain: an unknown id -> (rule, remedy)."""
        ids = self._whole(key)
        for index, value in enumerate(ids):
            if value not in known:
                rule, remedy = explain(value)
                raise self._error(index, f".{key}", rule, value, remedy)
        return np.fromiter(map(known.__getitem__, ids), dtype=np.int64, count=len(ids))

    def numbers(self, key: str) -> NDArray[np.float64]:
        """Finite numbers, float64 (N,)."""
        values = self._values(key)
        self._check(f".{key}", values, _is_number, "a finite number", "write a number, without quotes")
        return np.array(values, dtype=np.float64)

    def areas(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """`area` >= 0 in pixels, float64 (N,); of the box where an entry has none."""
        of_boxes = (boxes[:, 2] * boxes[:, 3]).tolist()
        values = [entry.get("area", area) for entry, area in zip(self._entries, of_boxes, strict=True)]
        rule = "a finite number >= 0"
        self._check(".area", values, lambda area: _is_number(area) and area >= 0, rule, "write pixels, or leave it out")
        return np.array(values, dtype=np.float64)

    def flags(self, *keys: str) -> NDArray[np.bool_]:
        """Whether any of the optional keys is 1 (or true), bool (N,)."""
        found = np.zeros(len(self), dtype=bool)
        for key in keys:
            values = [entry.get(key, 0) for entry in self._entries]
            self._check(f".{key}", values, _is_flag, "0 or 1", "write one of them")
            found |= np.array(values, dtype=bool)
        return found

    def boxes(self) -> NDArray[np.float64]:
        """`bbox` as left, top, width >= 0, height >= 0, float64 (N, 4)."""
        values = self._values("bbox")
        rule = "[left, top, width, height], four finite numbers"
        self._check(".bbox", values, _is_box, rule, "write pixels")
        remedy = "COCO's boxes are not two corners; write right - left and bottom - top"
        self._check(".bbox", values, lambda box: box[2] >= 0 and box[3] >= 0, "a width and a height >= 0", remedy)
        return np.array(values, dtype=np.float64).reshape(-1, 4)

    def _whole(self, key: str) -> list[int]:
        values = self._values(key)
        rule = "a whole number >= 0"
        self._check(f".{key}", values, _is_whole, rule, "write it without quotes and decimals")
        return values

    def _values(self, key: str) -> list[Any]:
        try:
            return [entry[key] for entry in self._entries]
        except KeyError:
            index = next(index for index, entry in enumerate(self._entries) if key not in entry)
            keys = list(self._entries[index])
            raise self._error(index, "", f"the key {key!r}", keys, "add it") from None

    def _check(self, where: str, values: Values, good: Callable[[Any], Any], rule: str, remedy: str) -> None:
        for index, value in enumerate(values):
            if not good(value):
                raise self._error(index, where, rule, value, remedy)

    def _error(self, index: int, where: str, rule: str, value: Any, remedy: str) -> ValueError:
        place = f"{self.path}: {self.name}[{index}]{where}"
        return ValueError(f"{place}: expected {rule}, but got {_shown(value)}; {remedy}")


def _is_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGEST_ID


def _is_flag(value: Any) -> bool:
    return type(value) in (int, bool) and value in (0, 1)


def _is_box(value: Any) -> bool:
    return type(value) is list and len(value) == 4 and all(map(_is_number, value))


def _shown(value: Any) -> str:
    return reprlib.repr(value) if isinstance(value, list | dict | str) else repr(value)

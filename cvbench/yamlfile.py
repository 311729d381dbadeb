"""Reading YAML 1.2 safely, remembering where everything stood: no tags, no duplicate keys, `1e-3` is a number."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Loc = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
# Aliases multiply: nine lines of ten aliases each stand for a billion values.
_MOST_VALUES = 100_000


@dataclass(frozen=True)
class Problem:
    """One mistake of a user's file; `line` counts from 1, and is None for the command line."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class SpecError(ValueError):
    """All mistakes that were found, so that they can be mended in one go."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True)
class Document:
    """A YAML file as plain dicts, lists and scalars, and the line of every key and item.

    overrides: what the command line put there instead, by place, as it was typed.
    """

    file: str
    data: Any
    lines: dict[Loc, int]
    overrides: dict[Loc, str] = field(default_factory=dict)

    def line(self, loc: Loc) -> int | None:
        """The line of `loc`, or of the nearest thing around it that stands in the file."""
        return next((self.lines[around] for around in _outwards(loc) if around in self.lines), None)

    def problem(self, loc: Loc, message: str) -> Problem:
        """A problem at `loc`: on the command line if the value came from there, else at its line."""
        for around in _outwards(loc):
            if around in self.overrides:
                return Problem("command line", None, f"{self.overrides[around]}: {message}")
            if around in self.lines:
                return Problem(self.file, self.lines[around], message)
        return Problem(self.file, None, message)


def _outwards(loc: Loc) -> list[Loc]:
    return [loc[:length] for length in range(len(loc), -1, -1)]


def read_yaml(path: Path) -> Document:
    """Reads one file. Raises SpecError (file:line) when it is unreadable, not YAML, or uses tags or duplicate keys."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is {error.object[error.start]:#04x}"
        rule = f"cannot be read: Expected UTF-8 text, but {byte}; save it as UTF-8"
        line = error.object[: error.start].count(b"\n") + 1
        raise SpecError([Problem(str(path), line, rule)]) from error
    except OSError as error:
        raise SpecError([Problem(str(path), None, f"cannot be read ({error.strerror or error})")]) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str) -> Document:
    """The same for text that is already read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError

    reader = _Reader(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2 allows it
            # Composed, not constructed: nodes know their lines and tags, and no tag ever builds anything.
            root = YAML(typ="safe", pure=True).compose(text)
        data = reader.value(root, ()) if root is not None else None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise SpecError([Problem(file, line, f"not valid YAML: {error.problem or error.context}")]) from error
    except YAMLError as error:
        raise SpecError([Problem(file, None, f"not valid YAML: {' '.join(str(error).split())}")]) from error
    except RecursionError as error:
        raise SpecError([Problem(file, None, "nested too deeply")]) from error
    if reader.problems:
        raise SpecError(reader.problems)
    return Document(file, data, reader.lines)


def parse_value(text: str) -> Any:
    """One scalar or flow value of the command line (`1e-3`, `[0, 1]`, `adamw`) as YAML reads it."""
    return parse_yaml(text, "command line").data


class _Reader:
    """Turns ruamel's nodes into Python's own containers and scalars, noting lines and collecting problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Loc, int] = {(): 1}
        self.problems: list[Problem] = []
        self.open: set[int] = set()  # ids of the containers that are being read: an alias to one of them never ends
        self.count = 0

    def problem(self, node: Any, message: str) -> None:
        self.problems.append(Problem(self.file, node.start_mark.line + 1, message))

    def value(self, node: Any, loc: Loc) -> Any:
        """The plain value of a node; None, and a problem, where it is not allowed."""
        self.count += 1
        if self.count > _MOST_VALUES:
            rule = f"Expected at most {_MOST_VALUES} values, aliases counted as what they stand for"
            raise SpecError([Problem(self.file, node.start_mark.line + 1, rule)])
        tag = str(node.tag)
        read = {("mapping", _TAG + "map"): self._mapping, ("sequence", _TAG + "seq"): self._list}.get((node.id, tag))
        if read is None:
            return self._scalar(node, tag)
        if id(node) in self.open:
            return self.problem(node, "an alias stands inside what it names")
        self.open.add(id(node))
        plain = read(node, loc)
        self.open.remove(id(node))
        return plain

    def _mapping(self, node: Any, loc: Loc) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if key_node.id != "scalar" or str(key_node.tag) == _TAG + "merge":
                got = "`<<`" if key == "<<" else "a list or mapping"
                self.problem(key_node, f"Expected a plain key, but got {got}")
                continue
            place = (*loc, key)
            if key in plain:
                self.problem(key_node, f"the key {key!r} stands twice, first in line {self.lines[place]}")
                continue
            self.lines[place] = key_node.start_mark.line + 1
            plain[key] = self.value(value_node, place)
        return plain

    def _list(self, node: Any, loc: Loc) -> list[Any]:
        plain = []
        for index, item in enumerate(node.value):
            self.lines[(*loc, index)] = item.start_mark.line + 1
            plain.append(self.value(item, (*loc, index)))
        return plain

    def _scalar(self, node: Any, tag: str) -> Any:
        convert = _SCALARS.get(tag)
        if convert is None or node.id != "scalar":
            return self.problem(node, f"the tag {tag.replace(_TAG, '!!')} is not allowed; write a plain value")
        try:
            return convert(node.value)
        except ValueError as error:
            return self.problem(node, str(error))


def _int(text: str) -> int:
    digits = text.replace("_", "").lower()
    prefix = digits.lstrip("+-")[:2]
    try:
        return int(digits, {"0x": 16, "0o": 8, "0b": 2}.get(prefix, 10))
    except ValueError:
        raise ValueError(f"Expected an integer, but got {text!r}") from None


def _float(text: str) -> float:
    try:
        number = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        raise ValueError(f"Expected a number, but got {text!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"Expected a finite number, but got {text}")
    return number


_SCALARS: dict[str, Callable[[str], Any]] = {
    _TAG + "null": lambda text: None,
    _TAG + "bool": lambda text: text.lower() in ("true", "yes", "on", "y"),  # the last three only after `%YAML 1.1`
    _TAG + "int": _int,
    _TAG + "float": _float,
    _TAG + "str": str,
    _TAG + "timestamp": str,  # YAML 1.2 knows no dates
    _TAG + "value": str,  # a lone `=`
}

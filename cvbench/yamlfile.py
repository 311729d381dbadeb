"""Reading YAML 1.2 safely, remembering where everything stood: no tags, no duplicate keys, `1e-3` is a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Loc = tuple[str | int, ...]


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
    """A YAML file as plain dicts, lists and scalars, and the line of every key and item."""

    file: str
    data: Any
    lines: dict[Loc, int]

    def line(self, loc: Loc) -> int | None:
        """The line of `loc`, or of the nearest thing around it that stands in the file."""
        for length in range(len(loc), -1, -1):
            if loc[:length] in self.lines:
                return self.lines[loc[:length]]
        return None

    def problem(self, loc: Loc, message: str) -> Problem:
        return Problem(self.file, self.line(loc), message)


def read_yaml(path: Path) -> Document:
    """Reads one file. Raises SpecError (file:line) when it is unreadable, not YAML, or uses tags or duplicate keys."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([Problem(str(path), None, f"cannot be read as UTF-8 text ({error})")]) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str) -> Document:
    """The same for text that is already read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        # The round-trip loader builds plain containers whatever tags say; it is what knows the lines.
        tree = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise SpecError([Problem(file, line, f"not valid YAML: {error.problem or error}")]) from error
    except YAMLError as error:
        raise SpecError([Problem(file, None, f"not valid YAML: {error}")]) from error
    lines: dict[Loc, int] = {(): 1}
    return Document(file, _plain(tree, (), lines, file), lines)


def parse_value(text: str) -> Any:
    """One scalar or flow value of the command line (`1e-3`, `[0, 1]`, `adamw`) as YAML reads it."""
    return parse_yaml(text, "command line").data


def _plain(node: Any, loc: Loc, lines: dict[Loc, int], file: str) -> Any:
    """Copies ruamel's containers and scalars to Python's own, noting the line of each key and item."""
    tag = getattr(getattr(node, "tag", None), "value", None)
    if tag and not str(tag).startswith("tag:yaml.org,2002:"):
        raise SpecError([Problem(file, lines.get(loc), f"tag {tag} is not allowed; write plain values")])
    if isinstance(node, dict):
        plain: dict[str, Any] = {}
        for key, value in node.items():
            lines[(*loc, str(key))] = node.lc.key(key)[0] + 1
            plain[str(key)] = _plain(value, (*loc, str(key)), lines, file)
        return plain
    if isinstance(node, list):
        for index in range(len(node)):
            lines[(*loc, index)] = node.lc.item(index)[0] + 1
        return [_plain(value, (*loc, index), lines, file) for index, value in enumerate(node)]
    if node is None or isinstance(node, bool):
        return node
    # ruamel's scalars are subclasses that remember quotes and notation; pydantic's strict mode wants the plain types.
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return str(node)

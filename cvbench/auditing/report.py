"""What was found of one record."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

Status = Literal["re-scored", "self-reported", "refused"]


class Problem(NamedTuple):
    """What is wrong, and under which key of record.json; an empty key: with the file as a whole."""

    key: str
    text: str


@dataclass
class Report:
    """One record.json. passed: what held, in words. rescored: its scores follow from evidence that was read here."""

    path: Path
    name: str = ""
    passed: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    rescored: bool = False

    @property
    def status(self) -> Status:
        if self.problems:
            return "refused"
        return "re-scored" if self.rescored else "self-reported"

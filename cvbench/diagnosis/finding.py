"""`Finding`: one line of what the doctor says."""

from __future__ import annotations

from typing import Literal, NamedTuple

# problem: some run would be stopped. warning: something is slower, smaller or left out.
Level = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """subject: what was looked at, a word or two. remedy: what to do, empty where there is nothing to do."""

    level: Level
    subject: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.level:<7}  {self.subject}: {self.message}" + (f"; {self.remedy}" if self.remedy else "")

"""Which test samples a run keeps pictures of: the hardest for its model, and some that went as most do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from cvbench.record import write_atomically

GALLERY = "gallery"  # the folder of a run
LIST = "gallery.json"
EACH = 3  # of each kind
BUDGET = 400_000  # letters of base64 on a board, so that its files stay far below 1 MB

Kind = Literal["hard", "typical"]


class _Encoded(Protocol):
    """A picture as a board has it."""

    @property
    def kind(self) -> str: ...
    @property
    def webp(self) -> str: ...


Shown = TypeVar("Shown", bound=_Encoded)


class Picture(BaseModel):
    """One kept picture. file: its name in the folder. score: of this sample alone, by the task's `by_sample`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str = Field(pattern=r"^[a-z0-9-]+\.webp$")
    sample: str
    kind: Kind
    score: float


def picked(values: NDArray[np.float64], each: int = EACH) -> list[tuple[int, Kind]]:
    """Places of the hardest samples, hardest first, then of those next to the median; none twice, NaN never.

    values: float64 (N,), how well each sample went, the higher the better.
    """
    known = np.flatnonzero(np.isfinite(values))
    hard = known[np.argsort(values[known], kind="stable")[:each]].tolist()
    rest = known[~np.isin(known, hard)]
    middle = np.median(values[known]) if len(known) else np.nan
    typical = rest[np.argsort(np.abs(values[rest] - middle), kind="stable")[:each]].tolist()
    return [*((place, "hard") for place in hard), *((place, "typical") for place in typical)]


def within(rows: Sequence[Sequence[Shown]], budget: int = BUDGET) -> list[tuple[Shown, ...]]:
    """Of each row's pictures as many as all rows together may show: a typical one each, then a hard one, and so on.

    budget: letters of base64. The order of a row's pictures stays.
    """
    turns = [_turns(pictures) for pictures in rows]
    chosen: list[set[int]] = [set() for _ in rows]
    left = budget
    for turn in range(max(map(len, turns), default=0)):
        for row, places in enumerate(turns):
            if turn < len(places) and len(rows[row][places[turn]].webp) <= left:
                chosen[row].add(places[turn])
                left -= len(rows[row][places[turn]].webp)
    return [tuple(pictures[place] for place in sorted(places)) for pictures, places in zip(rows, chosen, strict=True)]


def _turns(pictures: Sequence[Shown]) -> list[int]:
    """Places of typical and hard pictures in turns, as far as there are both."""
    kinds = [[place for place, one in enumerate(pictures) if one.kind == kind] for kind in ("typical", "hard")]
    return [place for turn in zip_longest(*kinds) for place in turn if place is not None]


def write_list(folder: Path, pictures: list[Picture]) -> None:
    """Says what the pictures in the folder show."""
    write_atomically(folder / LIST, _Pictures.dump_json(pictures, indent=1).decode() + "\n")


def read_list(run_folder: Path) -> list[Picture]:
    """The pictures of a run; none where it kept none. Raises ValueError that names a damaged list."""
    path = run_folder / GALLERY / LIST
    try:
        return _Pictures.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ValueError(f"{path}: Expected a list of pictures, but it is damaged; run again") from error


_Pictures: TypeAdapter[list[Picture]] = TypeAdapter(list[Picture])

"""Which test samples a run keeps pictures of: the hardest for its model, and some that went as most do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from cvbench.record import write_atomically

GALLERY = "gallery"  # the folder of a run
_LIST = "gallery.json"
EACH = 3  # of each kind

Kind = Literal["hard", "typical"]


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


def write_list(folder: Path, pictures: list[Picture]) -> None:
    """Says what the pictures in the folder show."""
    write_atomically(folder / _LIST, _Pictures.dump_json(pictures, indent=1).decode() + "\n")


def read_list(run_folder: Path) -> list[Picture]:
    """The pictures of a run; none where it kept none. Raises ValueError that names a damaged list."""
    path = run_folder / GALLERY / _LIST
    try:
        return _Pictures.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ValueError(f"{path}: Expected a list of pictures, but it is damaged; run again") from error


_Pictures: TypeAdapter[list[Picture]] = TypeAdapter(list[Picture])

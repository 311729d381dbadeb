"""board.json: a leaderboard in its published form, typed, versioned and rounded, without timestamps.

Everything that a page shows is rendered from this file alone. Rows stand in the order of their means; that order is
no ranking, because a rank without an interval is not a rank.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from cvbench.record import Costs, write_atomically
from cvbench.table import State, spread

BOARD_SCHEMA_VERSION = 1
METRIC_DECIMALS = 6


Unit = Literal["%", "x100", ""]
UNITS: tuple[Unit, ...] = get_args(Unit)


class _Part(BaseModel):
    # Everything in a board is generated: a key that is not ours was put there by hand.
    model_config = ConfigDict(frozen=True, extra="forbid")


class Metric(_Part):
    """A column. direction: which way is better; none: neither is.

    unit: `%`, a value in [0, 1] shown in percent; `x100`, shown times 100, as papers do; empty, shown as it is.
    """

    name: str
    direction: Literal["max", "min", "none"]
    definition: str = ""
    unit: Unit = "%"


class Score(_Part):
    """Mean and sd (ddof 1) over the finished seeds; sd None from one seed, both None without any."""

    mean: float | None
    sd: float | None


class Run(_Part):
    """One seed of a row: its value of the primary metric, or why there is none."""

    seed: int
    run_id: str
    state: State
    value: float | None = None
    reason: str = ""


class Row(_Part):
    """One model of a board. n of planned runs are finished and in every mean.

    interval: 95 %, of the primary metric. rank: dense, shared by models that are not separated; None without interval.
    per_class: metric -> one value a class, in the order of the board's classes: the mean over the seeds that define it,
    None where none does. recipe: what differs from the board's (None: absent here). environments: indices into those of
    the leaderboard.
    """

    label: str
    model: str
    options: dict[str, Any]
    weights: dict[str, str] | None
    backbone_weights: dict[str, str] | None = None
    group_id: str
    rank: int | None = None
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None = None
    n: int
    planned: int
    state: str
    runs: tuple[Run, ...]
    scores: dict[str, Score]
    per_class: dict[str, tuple[float | None, ...]]
    costs: Costs | None
    recipe: dict[str, Any]
    overrides: tuple[str, ...]
    environments: tuple[int, ...]


class Board(_Part):
    """All models on one dataset under one protocol. metrics: the primary one first. recipe: of most rows."""

    benchmark: str
    title: str
    task: str
    mode: str
    dataset: str
    options: dict[str, Any]
    protocol: dict[str, Any] | None
    protocol_hash: str | None
    revision: str | None
    split_sizes: dict[str, int]
    classes: tuple[str, ...]
    absent_classes: tuple[str, ...]
    absent_metrics: dict[str, str] = {}
    licence: str
    redistributable: bool
    metrics: tuple[Metric, ...]
    selection: tuple[str, ...]
    recipe: dict[str, Any]
    command: str
    rows: tuple[Row, ...]

    @property
    def primary(self) -> Metric:
        return self.metrics[0]


class Leaderboard(_Part):
    """All boards of a suite, and what made them. environments: each distinct set-up that a row was measured on."""

    schema_version: int = BOARD_SCHEMA_VERSION
    suite: str
    title: str
    cvbench_version: str
    evaluator_version: int
    environments: tuple[dict[str, Any], ...]
    boards: tuple[Board, ...]


def freeze(leaderboard: Leaderboard, path: Path) -> None:
    """Writes board.json, atomically."""
    write_atomically(path, frozen(leaderboard))


def frozen(leaderboard: Leaderboard) -> str:
    """The one text of a leaderboard: equal leaderboards, equal bytes."""
    return leaderboard.model_dump_json(indent=1) + "\n"


def read_board(path: Path) -> Leaderboard:
    """Reads board.json. Raises ValueError that names the file when it is damaged or of a newer schema."""
    try:
        data = json.loads(path.read_bytes())
        version = data.get("schema_version") if isinstance(data, dict) else None
        if isinstance(version, int) and version > BOARD_SCHEMA_VERSION:
            raise ValueError(f"Expected schema_version <= {BOARD_SCHEMA_VERSION}, but got {version}; upgrade cvbench")
        return Leaderboard.model_validate(data)
    except ValueError as error:
        first = " ".join(line.strip() for line in str(error).splitlines()[:3])
        raise ValueError(f"{path}: not a board ({first}); render it again with `cvbench leaderboard`") from error


def inconsistencies(leaderboard: Leaderboard) -> list[str]:
    """What a board says that does not follow from its own runs: a mean, sd, count or order that somebody changed."""
    found = []
    for board in leaderboard.boards:
        for row in board.rows:
            where = f"{board.benchmark}, {board.dataset}, {row.label}"
            values = [run.value for run in row.runs if run.value is not None]
            if (row.n, row.planned) != (len(values), len(row.runs)):
                found.append(f"{where}: Expected n {len(values)} of {len(row.runs)}, but got {row.n} of {row.planned}")
            expected = spread(values)
            for name, ours, theirs in (("mean", expected.mean, row.mean), ("sd", expected.sd, row.sd)):
                # values are rounded one by one, so the last digit of their mean may differ
                same = theirs is None if math.isnan(ours) else _close(ours, theirs)
                if not same:
                    found.append(f"{where}: Expected {name} {ours:.6f} of its runs' values, but got {theirs}")
        if list(board.rows) != sorted(board.rows, key=lambda row: sort_key(row, board.primary.direction)):
            found.append(f"{board.benchmark}, {board.dataset}: rows are not in the order of {board.primary.name}")
    return found


def _close(ours: float, theirs: float | None) -> bool:
    return theirs is not None and abs(ours - theirs) < 2 * 10.0**-METRIC_DECIMALS


def sort_key(row: Row, direction: str) -> tuple[bool, float, str, str]:
    """Sorts rows best mean first, rows without one last, equal ones by name."""
    mean = row.mean if row.mean is not None else 0.0
    return row.mean is None, -mean if direction == "max" else mean, row.label, row.group_id

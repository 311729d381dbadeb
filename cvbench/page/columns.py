"""What a board shows, as texts: the columns of its headline table, its headings and its protocol in words.

Shared by Markdown, the terminal and the picture, so that all of them say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cvbench.board import Board, Leaderboard, Row, Tuned
from cvbench.page import text

ARROWS = {"max": "↑", "min": "↓", "none": ""}
# (field, column head, how it reads, importance: the least important go first where the place is narrow)
_COSTS: tuple[tuple[str, str, Callable[[float | None], str], int], ...] = (
    ("parameters", "params", text.count, 70),
    ("macs", "MACs", text.count, 50),
    ("test_images_per_second", "images/s", text.count, 45),
    ("latency_p50_seconds", "p50", text.duration, 20),
    ("latency_p95_seconds", "p95", text.duration, 10),
    ("peak_memory_bytes", "memory", text.size, 15),
    ("train_seconds", "train", text.duration, 60),
    ("finalise_seconds", "of it fitted last", text.duration, 12),
)


# Less important columns stand on a page in a table of their own, so that the headline does not scroll sideways.
HEADLINE_IMPORTANCE = 35
# Cells between two neighbouring columns.
PADDING = 2


class Column(NamedTuple):
    """One column; cells in the order of the board's rows. importance: 100 is never left out."""

    head: str
    cells: tuple[str, ...]
    numeric: bool = True
    importance: int = 100

    @property
    def width(self) -> int:
        """In cells of a monospaced font."""
        return max(map(text.cells, [self.head, *self.cells]))


def headline(board: Board) -> list[Column]:
    """Model, primary metric, finished runs, other metrics, what was tuned, costs: where any row knows them."""
    columns = [
        Column("model", tuple(row.label for row in board.rows), numeric=False),
        _metric(board, 0),
        Column("runs", tuple(row.state for row in board.rows), numeric=False),
        *(_metric(board, index) for index in range(1, len(board.metrics))),
    ]
    if any(row.overrides for row in board.rows):
        overrides = tuple(", ".join(row.overrides) or text.NOTHING for row in board.rows)
        columns.append(Column("own recipe", overrides, numeric=False, importance=65))
    if any(row.tuned for row in board.rows):
        cells = tuple(text.NOTHING if row.tuned is None else tuned(row.tuned) for row in board.rows)
        columns.append(Column("tuned", cells, numeric=False, importance=66))
    for field, head, show, importance in _COSTS:
        if any(getattr(row.costs, field, None) is not None for row in board.rows):
            cells = tuple(show(getattr(row.costs, field, None)) for row in board.rows)
            columns.append(Column(head, cells, importance=importance))
    if len({row.environments for row in board.rows if row.environments}) > 1:
        letters = tuple(", ".join(letter(i) for i in row.environments) or text.NOTHING for row in board.rows)
        columns.append(Column("environment", letters, numeric=False, importance=35))
    return columns


def tuned(found: Tuned) -> str:
    """`lr 0.003 (best on val of 3, 12.3 s)`: what was chosen, of how many candidates, and how long these trained."""
    tried = f"best on val of {len(found.candidates)}"
    if found.chosen is None:
        chosen, tried = text.NOTHING, f"none of {len(found.candidates)} chosen"
    else:
        chosen = text.settings(found.values) or "as written"
    parts = [tried] + [f"{found.failed} failed"] * bool(found.failed)
    parts += [] if found.train_seconds is None else [text.duration(found.train_seconds)]
    return f"{chosen} ({', '.join(parts)})"


def fit(table: list[Column], width: int) -> tuple[list[Column], list[Column]]:
    """(kept, left out): the columns that must stay, then, by importance, each that still fits `width` cells."""
    kept = {column.head for column in table if column.importance >= 100}
    for column in sorted(table, key=lambda column: -column.importance):
        wanted = [other.width for other in table if other.head in kept | {column.head}]
        if sum(wanted) + PADDING * (len(wanted) - 1) <= width:
            kept.add(column.head)
    return [c for c in table if c.head in kept], [c for c in table if c.head not in kept]


def _metric(board: Board, index: int) -> Column:
    metric = board.metrics[index]
    cells = []
    for row in board.rows:
        score = row.scores.get(metric.name)
        mean, sd = (score.mean, score.sd) if score else (None, None)
        cells.append(text.spread(mean, sd, hundredfold=bool(metric.unit)))
    return Column(
        " ".join(filter(None, (metric.name, metric.unit, ARROWS[metric.direction]))),
        tuple(cells),
        importance=(100, 39, 38)[index] if index < 3 else 30 - index,
    )


def letter(index: int) -> str:
    """Names environments A, B … Z, A1, B1 …"""
    return chr(ord("A") + index % 26) + (str(index // 26) if index >= 26 else "")


def heading(leaderboard: Leaderboard, board: Board) -> str:
    """`camvid (classes 11)`: the dataset, with the options that tell it from the suite's other boards on it."""
    peers = [other for other in leaderboard.boards if other.dataset == board.dataset]
    differ = {
        key: value
        for key, value in board.options.items()
        if any(other.options.get(key) != value for other in peers if other is not board)
    }
    name = f"{board.dataset} ({text.settings(differ)})" if differ else board.dataset
    same = [other for other in peers if (other.task, other.options) == (board.task, board.options)]
    return f"{name}: {board.task}" + (f", {board.benchmark}" if len(same) > 1 else "")


def protocol(board: Board) -> list[str]:
    """What makes the numbers comparable, one sentence each, names as the dataset gives them."""
    if board.protocol is None:
        return ["No run has finished yet, so the protocol is not known here."]
    rest = dict(board.protocol)
    rest.pop("classes", None)
    roles = rest.pop("roles", {})
    roles = roles if isinstance(roles, Mapping) else {"roles": roles}
    splits = [
        f"{role} {number:,} images" + (f" ({roles[role]})" if role in roles else "")
        for role, number in board.split_sizes.items()
    ]
    sentences = [f"{len(board.classes)} classes."] if board.classes else []
    sentences.append(f"Splits: {'; '.join(splits)}.")
    if "scoring_size" in rest:
        sentences.append(f"Scored at {_scoring_size(rest.pop('scoring_size'))}.")
    sentences += [f"{key.replace('_', ' ').capitalize()}: {_words(value)}." for key, value in rest.items()]
    if board.selection:
        sentences.append(f"Tested checkpoint: {'; '.join(board.selection)}.")
    if board.absent_metrics:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in board.absent_metrics.items())
        sentences.append(f"Not measured: {reasons}.")
    if board.absent_classes:
        sentences.append(
            f"Without a value in these test data, so left out of means: {', '.join(board.absent_classes)}."
        )
    return sentences


def unfinished(board: Board) -> list[tuple[Row, list[str]]]:
    """Rows with runs that are not in the numbers, and a line for each reason."""
    found = []
    for row in board.rows:
        seeds: dict[tuple[str, str], list[str]] = {}
        for run in row.runs:
            if run.state != "done":
                seeds.setdefault((run.state, run.reason), []).append(str(run.seed))
        lines = [
            f"{'seeds' if len(numbers) > 1 else 'seed'} {', '.join(numbers)} {state}"
            + (f": {reason}" if reason else "")
            for (state, reason), numbers in seeds.items()
        ]
        if lines:
            found.append((row, lines))
    return found


def _scoring_size(value: Any) -> str:
    return "the native size of the labels" if value == "native" else f"{_words(value)} pixels"


def _words(value: Any) -> str:
    return text.settings(value) if isinstance(value, Mapping) else text.settings({"": value}).strip()

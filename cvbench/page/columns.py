"""The columns of a board's table, as texts and as what they are sorted by.

Shared by HTML, Markdown, the terminal and the picture, so that all of them say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from cvbench.board import Board, Metric, Row, Tuned
from cvbench.page import sentences, text

ARROWS = {"max": "↑", "min": "↓", "none": ""}
Kind = Literal["model", "rank", "primary", "interval", "difference", "runs", "origin", "metric", "cost", "other"]
# (field, column head, how it reads, importance: the least important go first where the place is narrow)
COSTS: tuple[tuple[str, str, Callable[[float | None], str], int], ...] = (
    ("parameters", "params", text.count, 70),
    ("macs", "MACs", text.count, 50),
    ("test_images_per_second", "images/s", text.count, 45),
    ("latency_p50_seconds", "p50", text.duration, 20),
    ("latency_p95_seconds", "p95", text.duration, 10),
    ("peak_memory_bytes", "memory", text.size, 15),
    ("train_seconds", "train", text.duration, 60),
    ("finalise_seconds", "of it fitted last", text.duration, 12),
    ("train_energy_joules", "energy", text.energy, 36),
)
# Less important columns stand on a page in a table of their own, so that the headline does not scroll sideways.
HEADLINE_IMPORTANCE = 35
# Cells between two neighbouring columns.
PADDING = 2
_LONGEST_BASELINE = 16  # cells of its name in a column's head


class Column(NamedTuple):
    """One column; cells and what they are sorted by (None: nothing there) in the order of the board's rows.

    importance: 100 is never left out.
    """

    head: str
    cells: tuple[str, ...]
    numeric: bool = True
    importance: int = 100
    kind: Kind = "other"
    values: tuple[float | str | None, ...] = ()

    @property
    def width(self) -> int:
        """In cells of a monospaced font."""
        return max(map(text.cells, [self.head, *self.cells]))


def headline(board: Board) -> list[Column]:
    """Rank, model, primary metric, interval, difference, runs, other metrics, costs: where any row knows them."""
    rows = board.rows
    labels = tuple(row.label for row in rows)
    found = [
        Column("model", labels, numeric=False, kind="model", values=labels),
        _metric(board, 0),
        _interval(board),
        _difference(board),
        _words("runs", [row.state for row in rows], "runs", 100, tuple(row.n for row in rows)),
        *(_metric(board, index) for index in range(1, len(board.metrics))),
    ]
    if any(row.standing for row in rows):
        ranks = tuple(row.standing.rank if row.standing else None for row in rows)
        found.insert(0, Column("rank", tuple(map(rank, rows)), importance=95, kind="rank", values=ranks))
    if any(row.origin != "reproduced" for row in rows):
        found.append(_words("origin", [row.origin for row in rows], "origin", 92))
    if any(row.overrides for row in rows):
        found.append(_words("own recipe", [", ".join(row.overrides) for row in rows], "other", 65))
    if any(row.tuned for row in rows):
        found.append(_words("tuned", [tuned(row.tuned) if row.tuned else "" for row in rows], "other", 66))
    found += [_cost(board, *cost) for cost in COSTS]
    if len({row.environments for row in rows if row.environments}) > 1:
        letters = [", ".join(letter(i) for i in row.environments) for row in rows]
        found.append(_words("environment", letters, "other", 35))
    optional = ("interval", "difference", "cost")
    return [column for column in found if column.kind not in optional or any(v is not None for v in column.values)]


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
    kept = {place for place, column in enumerate(table) if column.importance >= 100}
    for place in sorted(range(len(table)), key=lambda place: -table[place].importance):
        wanted = [table[other].width for other in kept | {place}]
        if sum(wanted) + PADDING * (len(wanted) - 1) <= width:
            kept.add(place)
    left_out = [column for place, column in enumerate(table) if place not in kept]
    return [table[place] for place in sorted(kept)], left_out


def letter(index: int) -> str:
    """Names environments A, B … Z, A1, B1 …"""
    return chr(ord("A") + index % 26) + (str(index // 26) if index >= 26 else "")


def metric_head(metric: Metric) -> str:
    """`top1 % ↑`: name, unit and which way is better."""
    return " ".join(filter(None, (metric.name, metric.unit, ARROWS[metric.direction])))


def rank(row: Row) -> str:
    """`1 (1–2)`: the rank, and where that says more, the 95 % interval of its place among all rows."""
    if row.standing is None:
        return text.NOTHING
    place, best, worst = row.standing.rank, row.standing.best, row.standing.worst
    if place == best == worst:
        return f"{place}"
    return f"{place} ({best})" if best == worst else f"{place} ({best}–{worst})"  # noqa: RUF001


def interval(board: Board, row: Row) -> str:
    """`[77.00, 83.00]‡`: the 95 % interval of the mean, with the marks that `sentences.marks` explains."""
    if row.interval is None:
        return text.NOTHING
    words = text.between(row.interval.low, row.interval.high, hundredfold=bool(board.primary.unit))
    image_only = sentences.IMAGE_ONLY if row.interval.image_only else ""
    return words + image_only + (sentences.FEW_POSITIVES if row.interval.few_positives else "")


def difference(board: Board, row: Row) -> str:
    """`+10.00 [5.00, 15.00]`, to the baseline."""
    if row.versus_baseline is None:
        return "baseline" if row.label == board.baseline else text.NOTHING
    found, hundredfold = row.versus_baseline, bool(board.primary.unit)
    between = text.between(found.low, found.high, hundredfold=hundredfold)
    return f"{text.signed(found.value, hundredfold=hundredfold)} {between}"


def _metric(board: Board, index: int) -> Column:
    metric = board.metrics[index]
    scores = [row.scores.get(metric.name) for row in board.rows]
    means = tuple(score.mean if score else None for score in scores)
    sds = [score.sd if score else None for score in scores]
    cells = [text.spread(mean, sd, hundredfold=bool(metric.unit)) for mean, sd in zip(means, sds, strict=True)]
    if index == 0:  # marked once a row; `sentences.marks` explains it
        marks = [sentences.BATCH_NORM if row.batch_norm_batch is not None else "" for row in board.rows]
        cells = [cell + mark for cell, mark in zip(cells, marks, strict=True)]
    return Column(
        metric_head(metric),
        tuple(cells),
        importance=(100, 39, 38)[index] if index < 3 else 30 - index,
        kind="primary" if index == 0 else "metric",
        values=means,
    )


def _interval(board: Board) -> Column:
    # sorted by its near end: what the row surely reaches
    near = "high" if board.primary.direction == "min" else "low"
    return Column(
        "95 %",
        tuple(interval(board, row) for row in board.rows),
        importance=90,
        kind="interval",
        values=tuple(getattr(row.interval, near, None) for row in board.rows),
    )


def _difference(board: Board) -> Column:
    return Column(
        f"vs {text.shortened(board.baseline or '', _LONGEST_BASELINE)}",
        tuple(difference(board, row) for row in board.rows),
        importance=80,
        kind="difference",
        values=tuple(row.versus_baseline.value if row.versus_baseline else None for row in board.rows),
    )


def _cost(board: Board, field: str, head: str, show: Callable[[float | None], str], importance: int) -> Column:
    values = tuple(getattr(row.costs, field, None) for row in board.rows)
    return Column(head, tuple(map(show, values)), importance=importance, kind="cost", values=values)


def _words(
    head: str, cells: list[str], kind: Kind, importance: int, values: tuple[float | str | None, ...] = ()
) -> Column:
    shown = tuple(cell or text.NOTHING for cell in cells)
    return Column(head, shown, False, importance, kind, values or tuple(cell or None for cell in cells))

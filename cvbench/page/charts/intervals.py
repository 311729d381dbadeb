"""A row's mean, its seeds and its 95 % interval on an axis that all rows of a board share."""

from __future__ import annotations

from markupsafe import Markup

from cvbench.board import Board, Row
from cvbench.page.charts.axes import number
from cvbench.page.charts.element import element, words
from cvbench.page.charts.scale import Scale, linear

WIDTH, HEIGHT, MARGIN = 190, 24, 8
_MIDDLE = HEIGHT / 2


def axis(board: Board) -> Scale | None:
    """Holds every interval, mean and seed of the board; None where it has none."""
    values = [value for row in board.rows for value in _values(row)]
    return linear(values, MARGIN, WIDTH - MARGIN) if values else None


def head(board: Board, scale: Scale) -> Markup:
    """The numbers of the axis, to stand in the column's head."""
    ticks = scale.ticks(4)
    show = number(bool(board.primary.unit), ticks)
    numbers = [words(scale(tick), 11, show(tick), "tick", "middle") for tick in ticks]
    return _strip(Markup("").join(numbers), 14)


def bar(board: Board, row: Row, scale: Scale) -> Markup:
    """Interval as a line, mean as a dot, seeds as ticks; the baseline's mean goes through all rows."""
    parts = [element("path", d="".join(f"M{scale(tick):.1f} 0v{HEIGHT}" for tick in scale.ticks(4)), class_="grid")]
    base = next((other.mean for other in board.rows if other.label == board.baseline), None)
    if base is not None:
        parts.append(element("path", d=f"M{scale(base):.1f} 0v{HEIGHT}", class_="base"))
    if row.interval is not None:
        low, high = scale(row.interval.low), scale(row.interval.high)
        ends = f"M{low:.1f} {_MIDDLE:g}H{high:.1f}M{low:.1f} 8v8M{high:.1f} 8v8"
        parts.append(element("path", d=ends, class_="ci open" if row.interval.image_only else "ci"))
    seeds = [run.value for run in row.runs if run.value is not None]
    if len(seeds) > 1:
        parts.append(element("path", d="".join(f"M{scale(seed):.1f} 9v6" for seed in seeds), class_="seed"))
    if row.mean is not None:
        parts.append(element("circle", cx=scale(row.mean), cy=_MIDDLE, r=3.5, class_="dot"))
    return _strip(Markup("").join(parts), HEIGHT)


def _strip(inside: Markup, height: int) -> Markup:
    # hidden from readers: the numbers stand beside it
    return element(
        "svg", inside, class_="strip", width=WIDTH, height=height, viewBox=f"0 0 {WIDTH} {height}", aria_hidden="true"
    )


def _values(row: Row) -> list[float]:
    found = [run.value for run in row.runs] + [row.mean]
    if row.interval is not None:
        found += [row.interval.low, row.interval.high]
    return [value for value in found if value is not None]

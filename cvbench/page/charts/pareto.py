"""Accuracy against one cost: who is best at a price, joined and named."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from cvbench.board import Board, Row
from cvbench.page import columns, text
from cvbench.page.charts.axes import Frame, below, beside, number
from cvbench.page.charts.element import Anchor, element, path, picture, words
from cvbench.page.charts.scale import Scale, linear, logarithmic

WIDTH, HEIGHT = 720, 340
FRAME = Frame(56, 30, 704, 288)
_CHARACTER, _LINE = 6.6, 15.0  # pixels that a letter of a name takes at most
_LONGEST_NAME = 30


class Cost(NamedTuple):
    """A cost that rows are held against. name: in words; show: a value as text."""

    field: str
    name: str

    def of(self, row: Row) -> float | None:
        value: float | None = getattr(row.costs, self.field, None)
        return value

    def show(self, value: float) -> str:
        return _SHOW[self.field](value)


COSTS = (
    Cost("macs", "MACs of one image"),
    Cost("latency_p50_seconds", "latency p50, batch size 1"),
    Cost("parameters", "parameters"),
    Cost("train_seconds", "training time"),
)
_SHOW = {field: show for field, _, show, _ in columns.COSTS}
Point = tuple[float, float]
Box = tuple[float, float, float, float]


def known(board: Board) -> list[Cost]:
    """The costs that at least two rows have: one point is no comparison."""
    return [cost for cost in COSTS if len(_rows(board, cost)) > 1]


def alternative(board: Board, cost: Cost) -> str:
    """The same in words, front rows first by cost."""
    rows = sorted(_rows(board, cost), key=lambda row: cost.of(row) or 0.0)
    front = [_told(board, cost, row) for row in rows if cost.field in row.front]
    rest = [_told(board, cost, row) for row in rows if cost.field not in row.front]
    found = f"{board.primary.name} against {cost.name}. On the front, no other is both better and cheaper: "
    return found + (text.listed(front) or "none") + "." + (f" Behind it: {text.listed(rest)}." if rest else "")


def chart(board: Board, cost: Cost) -> Markup:
    """Points with their intervals; the front as steps: the best that a budget buys."""
    rows = sorted(_rows(board, cost), key=lambda row: cost.of(row) or 0.0)
    x = logarithmic([cost.of(row) or 0.0 for row in rows], FRAME.left + 14, FRAME.right)
    y = linear([value for row in rows for value in _heights(row)], FRAME.bottom, FRAME.top)
    ticks = y.ticks()
    across = ([0.0] if any(not cost.of(row) for row in rows) else []) + x.ticks()
    places = {row.label: (x(cost.of(row) or 0.0), y(row.mean or 0.0)) for row in rows}
    front = [row for row in rows if cost.field in row.front]
    line = _steps([places[row.label] for row in front])
    parts = [
        beside(FRAME, y, ticks, number(bool(board.primary.unit), ticks)),
        below(FRAME, x, across, lambda tick: _short(cost.show(tick))),
        words(FRAME.left - 40, 16, columns.metric_head(board.primary), "label"),
        words(FRAME.right, HEIGHT - 12, f"{cost.name} (log)", "label", "end"),
        path(line, class_="front") if line else Markup(""),
        *(_point(row, places[row.label], y, cost.field in row.front) for row in rows),
        *_names(front, [row for row in rows if row not in front], places, _obstacles(rows, places, line, y)),
    ]
    return picture(WIDTH, HEIGHT, alternative(board, cost), *parts)


def _rows(board: Board, cost: Cost) -> list[Row]:
    return [row for row in board.rows if row.mean is not None and cost.of(row) is not None]


def _heights(row: Row) -> list[float]:
    assert row.mean is not None
    return [row.mean, row.interval.low, row.interval.high] if row.interval else [row.mean]


def _told(board: Board, cost: Cost, row: Row) -> str:
    shown = text.spread(row.mean, None, hundredfold=bool(board.primary.unit))
    return f"{row.label} ({shown} at {cost.show(cost.of(row) or 0.0)})"


def _steps(points: list[Point]) -> list[Point]:
    """The best that each budget buys: level until the next point, then up or down to it."""
    line = points[:1]
    for x, y in points[1:]:
        line += [(x, line[-1][1]), (x, y)]
    return [*line, (FRAME.right, line[-1][1])] if line else []


def _point(row: Row, place: Point, y: Scale, on_front: bool) -> Markup:
    x, middle = place
    spread = Markup("")
    if row.interval is not None:
        spread = element("path", d=f"M{x:.1f} {y(row.interval.low):.1f}V{y(row.interval.high):.1f}", class_="ci thin")
    return spread + element("circle", cx=x, cy=middle, r=5.0, class_="dot" if on_front else "dot behind")


def _names(front: list[Row], others: list[Row], places: dict[str, Point], taken: list[Box]) -> list[Markup]:
    """Names beside their points where there is room, off points and lines; those of the front always."""
    found = []
    for rows, look, always in ((front, "name", True), (others, "name dim", False)):
        for row in rows:
            name = text.shortened(text.xml(row.label), _LONGEST_NAME)
            options = _options(places[row.label], _CHARACTER * text.cells(name))
            inside = [option for option in options if _inside(option[0])]
            free = [option for option in inside if not any(_touch(option[0], box) for box in taken)]
            if not free and not always:
                continue
            box, x, y, anchor = (free or inside or options)[0]
            taken.append(box)
            found.append(words(x, y, name, look, anchor))
    return found


def _obstacles(rows: list[Row], places: dict[str, Point], line: list[Point], y: Scale) -> list[Box]:
    """Where names must not stand: on points, their intervals and the front."""
    boxes = [(x - 6, top - 6, x + 6, top + 6) for x, top in places.values()]
    for row in rows:
        if row.interval is not None:
            x = places[row.label][0]
            boxes.append((x - 2, y(row.interval.high), x + 2, y(row.interval.low)))
    for (x, top), (other_x, other_top) in pairwise(line):
        boxes.append((min(x, other_x) - 2, min(top, other_top) - 2, max(x, other_x) + 2, max(top, other_top) + 2))
    return boxes


def _options(place: Point, wide: float) -> list[tuple[Box, float, float, Anchor]]:
    """(box, x, y, anchor) of a name: right or left of a point and above, below or beside it."""
    x, y = place
    found: list[tuple[Box, float, float, Anchor]] = []
    for rise in (-9, 17, 4):
        top = y + rise - 11
        found.append(((x + 8, top, x + 8 + wide, top + _LINE), x + 8, y + rise, "start"))
        found.append(((x - 8 - wide, top, x - 8, top + _LINE), x - 8, y + rise, "end"))
    return found


def _inside(box: Box) -> bool:
    return box[0] >= FRAME.left and box[2] <= FRAME.right + 12 and box[1] >= 18 and box[3] <= FRAME.bottom


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _short(shown: str) -> str:
    """Ticks are round: `10.0M` is `10M`."""
    number, _, unit = shown.partition(" ")
    letter = number[-1] if number[-1:].isalpha() else ""
    digits = number.removesuffix(letter)
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return " ".join(filter(None, (digits + letter, unit)))

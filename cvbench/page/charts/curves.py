"""How training went: the loss, and the primary metric on val, a line a seed."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from cvbench.board import Board, Curve, Row
from cvbench.page import text
from cvbench.page.charts.axes import Frame, below, beside, number
from cvbench.page.charts.element import element, path, picture, words
from cvbench.page.charts.scale import linear

WIDTH, HEIGHT = 300, 200
FRAME = Frame(46, 26, 290, 166)
_LOOKS = 5  # seeds beyond these share a look
Points = list[tuple[float, float]]


def charts(board: Board, row: Row) -> list[Markup]:
    """One of each measure that some seed kept."""
    metric = board.primary
    measures = (
        ("training loss", [_points(curve, curve.loss) for curve in row.curves], False),
        (" ".join(filter(None, ("val", metric.name, metric.unit))),
         [_points(curve, curve.val) for curve in row.curves], bool(metric.unit)),
    )  # fmt: skip
    seeds = [curve.seed for curve in row.curves]
    return [_chart(name, seeds, lines, hundredfold=hundredfold) for name, lines, hundredfold in measures if any(lines)]


def _alternative(name: str, seeds: list[int], lines: list[Points], *, hundredfold: bool) -> str:
    """First and last values of each seed."""
    found = []
    for seed, line in zip(seeds, lines, strict=True):
        ends = [text.spread(line[end][1], None, hundredfold=hundredfold) for end in (0, -1)] if line else []
        found.append(f"seed {seed} " + (f"from {ends[0]} to {ends[1]}" if ends else "not kept"))
    last = max(line[-1][0] for line in lines if line)
    return f"{name} over {last:g} epochs: {', '.join(found)}"


def _points(curve: Curve, values: Sequence[float | None]) -> Points:
    return [(epoch, value) for epoch, value in zip(curve.epochs, values, strict=False) if value is not None]


def _chart(name: str, seeds: list[int], lines: list[Points], *, hundredfold: bool) -> Markup:
    every = [point for line in lines for point in line]
    x = linear([epoch for epoch, _ in every], FRAME.left, FRAME.right, margin=0.0)
    y = linear([value for _, value in every], FRAME.bottom, FRAME.top)
    ticks, epochs = y.ticks(4), x.ticks(6)
    parts = [
        beside(FRAME, y, ticks, number(hundredfold, ticks)),
        below(FRAME, x, epochs, lambda tick: f"{tick:g}"),
        words(FRAME.left, 14, name, "label"),
        words(FRAME.right, 14, "epochs", "label", "end"),
    ]
    for place, line in enumerate(lines):
        look = f"line s{place % _LOOKS}"
        places = [(x(epoch), y(value)) for epoch, value in line]
        if len(places) > 1:
            parts.append(path(places, class_=look))
        if 0 < len(places) <= 6:  # few measurements: say where they were taken
            dots = "".join(f"M{left:.1f} {top:.1f}h0" for left, top in places)
            parts.append(element("path", d=dots, class_=f"{look} dots"))
    return picture(WIDTH, HEIGHT, _alternative(name, seeds, lines, hundredfold=hundredfold), *parts)

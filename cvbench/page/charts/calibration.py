"""How often a model is right when it says how sure it is."""

from __future__ import annotations

from markupsafe import Markup

from cvbench.board import Row
from cvbench.page.charts.axes import Frame, below, beside
from cvbench.page.charts.element import element, picture, words
from cvbench.page.charts.scale import Scale

WIDTH, HEIGHT = 250, 250
FRAME = Frame(42, 26, 240, 206)
X = Scale(0.0, 1.0, FRAME.left, FRAME.right)
Y = Scale(0.0, 1.0, FRAME.bottom, FRAME.top)
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_LARGEST = 6.0  # pixels: radius of the dot of the fullest bin


def chart(row: Row) -> Markup | None:
    """A dot a bin, as large as it has samples, above the diagonal where the model is too modest; None without bins."""
    bins = [bin for bin in row.calibration if bin.count]
    if not bins:
        return None
    fullest = max(bin.count for bin in bins)
    gaps = "".join(f"M{X(bin.confidence):.1f} {Y(bin.confidence):.1f}V{Y(bin.accuracy):.1f}" for bin in bins)
    dots = [
        element("circle", cx=X(bin.confidence), cy=Y(bin.accuracy), r=max(1.5, _LARGEST * (bin.count / fullest) ** 0.5),
                class_="dot")
        for bin in bins
    ]  # fmt: skip
    return picture(
        WIDTH,
        HEIGHT,
        alternative(row),
        beside(FRAME, Y, _TICKS, _percent),
        below(FRAME, X, _TICKS, _percent),
        element("path", d=f"M{X(0.0):g} {Y(0.0):g}L{X(1.0):g} {Y(1.0):g}", class_="base"),
        element("path", d=gaps, class_="gap"),
        *dots,
        words(10, 14, "right %", "label"),
        words(FRAME.right, HEIGHT - 8, "sure %", "label", "end"),
    )


def alternative(row: Row) -> str:
    """What the diagram comes to: sums first, one division at the end."""
    samples = sum(bin.count for bin in row.calibration)
    if not samples:
        return "No samples."
    excess = sum(bin.count * (bin.confidence - bin.accuracy) for bin in row.calibration) / samples
    lean = f"{abs(100 * excess):.1f} points {'too sure' if excess > 0 else 'too modest'}"
    return f"Calibration over {samples:,} test samples of all seeds: on average {lean}."


def _percent(value: float) -> str:
    return f"{100 * value:.0f}"

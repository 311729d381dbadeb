"""The frame of a chart: lines and numbers of its two axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cvbench.page.charts.element import element, words
from cvbench.page.charts.scale import LogScale, Scale


class Frame(NamedTuple):
    """Pixels of the plotted area; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float


def below(frame: Frame, scale: Scale | LogScale, ticks: Sequence[float], show: Callable[[float], str]) -> Markup:
    """Numbers below the plot, and a tick at each."""
    marks = "".join(f"M{scale(tick):.1f} {frame.bottom:.0f}v4" for tick in ticks)
    line = element("path", d=f"M{frame.left:.0f} {frame.bottom:.0f}H{frame.right:.0f}{marks}", class_="axis")
    return Markup("").join([line, *(words(scale(t), frame.bottom + 17, show(t), "tick", "middle") for t in ticks)])


def beside(frame: Frame, scale: Scale, ticks: Sequence[float], show: Callable[[float], str]) -> Markup:
    """Numbers left of the plot, and a line across it at each."""
    lines = "".join(f"M{frame.left:.0f} {scale(tick):.1f}H{frame.right:.0f}" for tick in ticks)
    numbers = [words(frame.left - 7, scale(tick) + 4, show(tick), "tick", "end") for tick in ticks]
    return Markup("").join([element("path", d=lines, class_="grid"), *numbers])


def number(hundredfold: bool, ticks: Sequence[float]) -> Callable[[float], str]:
    """Writes ticks with as many decimals as tell them apart."""
    factor = 100 if hundredfold else 1
    decimals = next((n for n in range(5) if all(abs(round(factor * t, n) - factor * t) < 1e-9 for t in ticks)), 4)
    return lambda value: f"{factor * value:.{decimals}f}".replace("-", "−")  # noqa: RUF001

"""From values to pixels, and where the ticks stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Scale(NamedTuple):
    """Linear: `low` lies at pixel `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """At most so many multiples of 1, 2 or 5 times a power of ten."""
        step = _step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        while last - first + 1 > most:
            step = _step(step * 1.01)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step)))
        return [round(number * step, digits) + 0.0 for number in range(first, last + 1)]


class LogScale(NamedTuple):
    """Logarithmic; zero, which has no place there, gets one of its own `ZERO_GAP` before `start`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if value <= 0:
            return self.start - ZERO_GAP
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten; where there are fewer than three of them, also 2 and 5 times those."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for factors in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
            found = [factor * 10.0**power for power in powers for factor in factors]
            found = [tick for tick in found if self.low <= tick * (1 + 1e-9) and tick <= self.high * (1 + 1e-9)]
            if len(found) >= 3:
                break
        return found


ZERO_GAP = 36.0


def linear(values: Sequence[float], start: float, end: float, *, margin: float = 0.06) -> Scale:
    """Holds all values, with a margin (a share of their range) on both sides."""
    low, high = min(values), max(values)
    if low == high:  # one value stands in the middle
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    wide = high - low
    return Scale(low - margin * wide, high + margin * wide, start, end)


def logarithmic(values: Sequence[float], start: float, end: float, *, margin: float = 0.08) -> LogScale:
    """Holds all values; zeros left of `start`, which moves for them."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = min(positive), max(positive)
    wide = max(high / low, 4.0) ** margin
    if high / low < 1.5:
        wide = 2.0
    return LogScale(low / wide, high * wide, start + ZERO_GAP if min(values) <= 0 else start, end)


def _step(least: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))

"""How two ways of doing the same are compared: in one run, interleaved, in CPU seconds of this process, on one thread.

Machines differ and are shared; a ratio measured like this hardly does. A module of this folder gives
`measure() -> list[Row]`, and `python -m tests.speed` runs them all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

# One sample of the clock covers at least this much work, so that its resolution and interrupts do not matter.
SAMPLE_SECONDS = 0.02


class Row(NamedTuple):
    """One line of the table: `ratio` (reference over ours: the higher the better) is held against `target`.

    Where a limit in seconds is the target, `reference_s` is the limit, `ratio` = limit / ours, and `target` 1. unit:
    of both numbers, where they are no seconds.
    """

    name: str
    ours_s: float
    reference_s: float
    ratio: float
    target: float
    unit: str = "s"

    @property
    def reached(self) -> bool:
        return self.ratio >= self.target


def compare(name: str, ours: Callable[[], Any], reference: Callable[[], Any], target: float, rounds: int = 9) -> Row:
    """Times both sides in turn, A B A B, after one warm-up each, and compares the best of each.

    The minimum, because whatever else the machine does only ever adds. Equality of the two results is the caller's to
    assert before. PyTorch, where loaded, is held to one thread.

    Args:
        ours, reference: the same work.
        target: the least ratio of reference time to our time.
        rounds: samples per side.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    repeats = [_repeats(side) for side in (ours, reference)]
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for side, work in enumerate((ours, reference)):
            times[side].append(_cpu_seconds(work, repeats[side]))
    ours_s, reference_s = min(times[0]), min(times[1])
    return Row(name, ours_s, reference_s, reference_s / ours_s, target)


def _repeats(work: Callable[[], Any]) -> int:
    work()
    return max(1, round(SAMPLE_SECONDS / max(_cpu_seconds(work, 1), 1e-6)))


def _cpu_seconds(work: Callable[[], Any], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats

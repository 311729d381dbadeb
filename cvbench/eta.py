"""Events in words, and how long what is left will take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from cvbench.events import Event
from cvbench.spec import RunSpec


class Clock:
    """How much of a suite is done, and how long the rest will take if it goes on as it went."""

    def __init__(self, total: int, now: Callable[[], float] = time.monotonic) -> None:
        self.total, self._now, self._started = total, now, now()
        self._counts: Counter[str] = Counter()
        self._fractions: dict[str, float] = {}
        self._starts: dict[str, float] = {}
        # Where each run's present try began: its time, and how far the run was.
        self._bases: dict[str, tuple[float, float]] = {}

    def note(self, event: Event) -> None:
        """Takes one event into account."""
        run_id = event.run.run_id
        if event.kind in ("done", "failed", "skipped"):
            self._counts[event.kind] += 1
            self._fractions.pop(run_id, None)
        elif event.kind == "start":
            self._fractions[run_id], self._starts[run_id] = 0.0, self._now()
            self._bases[run_id] = self._now(), 0.0
        elif event.kind in ("retry", "resume"):
            self._fractions[run_id], self._bases[run_id] = event.fraction, (self._now(), event.fraction)
        elif run_id in self._fractions:
            self._fractions[run_id] = max(self._fractions[run_id], event.fraction)

    @property
    def failed(self) -> int:
        return self._counts["failed"]

    @property
    def finished(self) -> int:
        return self._counts.total()

    def took(self, run: RunSpec) -> float | None:
        """Seconds since the run started; None where it never did."""
        started = self._starts.get(run.run_id)
        return None if started is None else self._now() - started

    @property
    def share(self) -> float:
        """Of the whole suite, in [0, 1]; active runs count by their fractions."""
        return (self.finished + sum(self._fractions.values())) / self.total if self.total else 1.0

    def suite_eta(self) -> float | None:
        """Seconds that the suite still needs; None before anything is known. Skipped runs cost nothing."""
        skipped = self._counts["skipped"]
        worked = self.finished - skipped + sum(self._fractions.values())
        left = self.total - skipped - worked
        return (self._now() - self._started) / worked * left if worked > 0.01 else None

    def run_eta(self, run: RunSpec) -> float | None:
        """Seconds that one active run still needs."""
        fraction = self._fractions.get(run.run_id, 0.0)
        began, base = self._bases.get(run.run_id, (0.0, 0.0))
        if fraction - base <= 0.01:
            return None
        return (self._now() - began) / (fraction - base) * (1.0 - fraction)


def describe(event: Event, eta: float | None = None) -> str:
    """One event in words, without the run's name."""
    shown = [name for name in (f"val/{event.run.primary}", f"test/{event.run.primary}") if name in event.metrics]
    metrics = ", ".join(f"{name} {event.metrics[name]:.4f}" for name in shown)
    took = f" in {duration(event.seconds)}" if event.seconds is not None else ""
    first_line = event.message.strip().splitlines()[0] if event.message.strip() else ""
    match event.kind:
        case "step" | "epoch":
            left = f"{duration(eta)} left" if eta is not None else ""
            return ", ".join(part for part in (f"epoch {event.epoch}/{event.epochs or '?'}", metrics, left) if part)
        case "done":
            return f"done{took}" + (f", {metrics}" if metrics else "")
        case "failed":
            return f"FAILED{took}: {first_line}"
        case "skipped":
            return "kept" + (f" ({first_line})" if first_line else "")
        case "submitted":
            return f"left to the queue: {first_line}"
        case "start":
            return "started"
        case "finalise":
            return "fitting what gradient descent does not"
        case "test":
            return "testing"
        case "note" | "resume" | "retry":
            return first_line


def duration(seconds: float) -> str:
    """`8 s`, `3 min 05 s`, `2 h 07 min`.

    >>> duration(7.6), duration(185), duration(7620)
    ('8 s', '3 min 05 s', '2 h 07 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

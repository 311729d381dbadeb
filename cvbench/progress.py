"""What a suite in progress looks like: a live display on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cvbench.eta import Clock, describe, duration
from cvbench.events import Event
from cvbench.spec import RunSpec
from cvbench.unread import tell

OnEvent = Callable[[Event], None]

#: plain lines: seconds between two epoch lines of one run, so that a log of 300 epochs stays readable
EPOCH_LINE_SECONDS = 10.0

_MARK = {
    "done": "[green]✓[/]",
    "failed": "[bold red]✗[/]",
    "note": "[yellow]·[/]",
    "retry": "[yellow]↻[/]",
    "resume": "[yellow]·[/]",
}


@contextmanager
def progress(
    planned: Sequence[RunSpec], *, more: int = 0, quiet: bool = False, console: Console | None = None
) -> Iterator[OnEvent]:
    """Gives the function to call with every event. quiet: shows failures, retries and notes only.

    more: runs that will follow and are not known yet.
    """
    console = console or Console(stderr=True, highlight=False)
    total = more + len({run.run_id for run in planned})  # what two benchmarks share is run once
    if quiet or not console.is_terminal:
        yield PlainLines(total, quiet=quiet)
    else:
        with _live(total, console) as on_event:
            yield on_event


class PlainLines:
    """One line an event, for logs and pipes: `[ 3/18] camvid/fcn seed 0: epoch 4/10, val/miou 0.431, 12 s left`."""

    def __init__(self, total: int, *, quiet: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._quiet, self._now = Clock(total, now), quiet, now
        self._last_line: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        self._clock.note(event)
        if event.kind in ("step", "epoch") and not self._due(event):
            return
        if self._quiet and event.kind not in ("failed", "note", "retry"):
            return
        place = f"[{self._clock.finished:>{len(str(self._clock.total))}}/{self._clock.total}]"
        event = _timed(event, self._clock)
        tell(f"{place} {event.run.name}: {describe(event, self._clock.run_eta(event.run))}")

    def _due(self, event: Event) -> bool:
        last = self._last_line.setdefault(event.run.run_id, self._now())
        if self._now() - last < EPOCH_LINE_SECONDS:
            return False
        self._last_line[event.run.run_id] = self._now()
        return True


def _timed(event: Event, clock: Clock) -> Event:
    """The event with the seconds that its run took, where it has ended."""
    ended = event.kind in ("done", "failed") and event.seconds is None
    return event._replace(seconds=clock.took(event.run)) if ended else event


@contextmanager
def _live(total: int, console: Console) -> Iterator[OnEvent]:
    """Gives the function to call with every event. Finished runs scroll up, active ones stay at the bottom."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as bars:
        clock = Clock(total)
        suite = bars.add_task("suite", total=max(total, 1), state="")
        active: dict[str, TaskID] = {}

        def on_event(event: Event) -> None:
            clock.note(event)
            run_id = event.run.run_id
            if event.kind == "start":
                active[run_id] = bars.add_task(escape(event.run.name), total=1.0, state="")
            elif event.kind in ("step", "epoch", "finalise", "test") and run_id in active:
                text = describe(event, clock.run_eta(event.run))
                bars.update(active[run_id], completed=event.fraction, state=escape(text))
            elif event.kind in ("done", "failed", "skipped") and run_id in active:
                bars.remove_task(active.pop(run_id))
            if event.kind in _MARK:
                bars.console.print(
                    f"{_MARK[event.kind]} {escape(event.run.name)}: {escape(describe(_timed(event, clock)))}"
                )
            eta = clock.suite_eta()
            left = f", {duration(eta)} left" if eta is not None else ""
            failed = f", [red]{clock.failed} failed[/]" if clock.failed else ""
            bars.update(suite, completed=clock.share * total, state=f"{clock.finished}/{total} runs{failed}{left}")

        yield on_event

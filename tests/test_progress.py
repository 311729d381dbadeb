"""Progress: times by a clock that the test turns, lines as people read them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cvbench.eta import Clock, describe, duration
from cvbench.events import Event
from cvbench.progress import EPOCH_LINE_SECONDS, PlainLines, progress
from tests import records

FIRST, SECOND, THIRD = records.plan(["lenet"], seeds=(0, 1, 2))


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_suite_takes_as_long_as_it_went() -> None:
    time = Time()
    clock = Clock(3, time)
    assert clock.suite_eta() is None
    clock.note(Event("start", FIRST))
    time.now += 10
    clock.note(Event("epoch", FIRST, 1, 2, fraction=0.5))
    assert clock.run_eta(FIRST) == pytest.approx(10.0)  # half of it took 10 s
    assert clock.suite_eta() == pytest.approx(50.0)  # 2.5 runs are left at 20 s each
    assert clock.share == pytest.approx(0.5 / 3)
    clock.note(Event("done", FIRST))
    assert (clock.finished, clock.failed) == (1, 0)
    assert clock.took(FIRST) == pytest.approx(10.0)


def test_what_is_skipped_takes_no_time() -> None:
    time = Time()
    clock = Clock(3, time)
    clock.note(Event("skipped", FIRST))
    clock.note(Event("start", SECOND))
    time.now += 10
    clock.note(Event("failed", SECOND))
    assert clock.suite_eta() == pytest.approx(10.0)  # one run is left, and one took 10 s
    assert (clock.finished, clock.failed) == (2, 1)


def test_a_run_that_goes_on_is_timed_from_there() -> None:
    time = Time()
    clock = Clock(1, time)
    clock.note(Event("start", FIRST))
    time.now += 50
    clock.note(Event("step", FIRST, fraction=0.5))
    clock.note(Event("retry", FIRST))
    assert clock.share == 0.0
    clock.note(Event("resume", FIRST, fraction=0.4))
    assert clock.run_eta(FIRST) is None
    time.now += 10
    clock.note(Event("step", FIRST, fraction=0.6))
    assert clock.run_eta(FIRST) == pytest.approx(20.0)  # a fifth took 10 s, two are left
    clock.note(Event("done", FIRST))
    assert clock.took(FIRST) == pytest.approx(60.0)  # all tries


def test_fractions_never_go_back() -> None:
    clock = Clock(1, Time())
    clock.note(Event("start", FIRST))
    clock.note(Event("test", FIRST, fraction=0.9))
    clock.note(Event("step", FIRST, fraction=0.2))
    assert clock.share == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Event("epoch", FIRST, 2, 10, metrics={"loss": 1.0, "val/top1": 0.91234}), "epoch 2/10, val/top1 0.9123"),
        (Event("step", FIRST, 1, 10), "epoch 1/10"),
        (Event("done", FIRST, metrics={"test/top1": 0.5}, seconds=185.0), "done in 3 min 05 s, test/top1 0.5000"),
        (Event("failed", FIRST, message="ValueError: loss is NaN\nmore"), "FAILED: ValueError: loss is NaN"),
        (Event("skipped", FIRST), "kept"),
        (Event("start", FIRST), "started"),
        (Event("test", FIRST), "testing"),
        (Event("resume", FIRST, 3, 10, message="goes on from its last checkpoint"), "goes on from its last checkpoint"),
        (Event("retry", FIRST, message="out of memory; tries again"), "out of memory; tries again"),
        (Event("note", FIRST, message="no bf16 here"), "no bf16 here"),
    ],
)
def test_events_in_words(event: Event, text: str) -> None:
    assert describe(event) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (3599.9, "1 h 00 min")])
def test_duration_rounds_before_it_chooses_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plain_lines_keep_a_log_short(capsys: pytest.CaptureFixture[str]) -> None:
    time = Time()
    lines = PlainLines(2, now=time)
    lines(Event("start", FIRST))
    for epoch in range(1, 101):
        time.now += EPOCH_LINE_SECONDS / 50
        lines(Event("epoch", FIRST, epoch, 100, fraction=epoch / 100))
    lines(Event("done", FIRST))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "[0/2] digits/lenet seed 0: started"
    assert err.splitlines()[-1] == "[1/2] digits/lenet seed 0: done in 20 s"
    assert 3 <= len(err.splitlines()) <= 4


def test_quiet_tells_failures_only(capsys: pytest.CaptureFixture[str]) -> None:
    with progress([FIRST, SECOND], quiet=True) as on_event:
        on_event(Event("start", FIRST))
        on_event(Event("failed", FIRST, message="RuntimeError: x"))
        on_event(Event("skipped", SECOND))
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "FAILED" in err


def test_a_run_that_two_benchmarks_share_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress([FIRST, FIRST]) as on_event:
        on_event(Event("skipped", FIRST))
    assert "[1/1]" in capsys.readouterr().err


def test_a_terminal_gets_a_live_display() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with progress([FIRST, SECOND, THIRD], console=console) as on_event:
        on_event(Event("skipped", THIRD))
        on_event(Event("start", FIRST))
        on_event(Event("epoch", FIRST, 1, 2, fraction=0.5, metrics={"val/top1": 0.5}))
        on_event(Event("done", FIRST, metrics={"test/top1": 0.75}))
        on_event(Event("start", SECOND))
        on_event(Event("failed", SECOND, message="ValueError: [odd] markup"))
    text = screen.getvalue()
    assert "✓ digits/lenet seed 0: done in 0 s, test/top1 0.7500" in text
    assert "✗ digits/lenet seed 1: FAILED in 0 s: ValueError: [odd] markup" in text
    assert "3/3 runs, 1 failed" in text

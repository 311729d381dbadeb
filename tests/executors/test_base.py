"""A run's way from its lock to its record, the same for every executor, with a stand-in for what does the run."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from cvbench.events import Event
from cvbench.executors.base import Job, Outcomes, StoppedError, Work, killed
from cvbench.executors.distributed import heard, said
from cvbench.executors.settle import settle
from cvbench.failure import Failure
from cvbench.record import write_record
from cvbench.spec import RunSpec
from cvbench.store import CHECKPOINT, Store
from tests import records
from tests.executors.suites import machine, suite


def job(folder: Path, **changes: object) -> Job:
    (run,) = suite(folder)
    given = {"run": run, "store": folder / "runs", "machine": machine(folder), "rerun": "missing", "revision": None}
    return Job(**given | changes)  # type: ignore[arg-type]


def ended(one: Job, work: Work) -> tuple[Event, list[str]]:
    told: list[Event] = []
    return settle(one, work, told.append), [event.kind for event in told]


def test_what_a_run_raises_or_returns_is_its_failure(tmp_path: Path) -> None:
    one = job(tmp_path)
    store = Store(one.store)

    def raises(run: object, machine: object, folder: Path, tell: object) -> None:
        raise ArithmeticError("no number")

    event, told = ended(one, raises)
    assert (event.kind, event.message, told) == ("failed", "ArithmeticError: no number", ["start"])
    noted = store.failure(one.run)
    assert noted is not None
    assert (noted.kind, noted.message) == ("ArithmeticError", "no number")
    given = Failure.of(one.run, ArithmeticError("all of it"))
    event, _ = ended(one, lambda run, machine, folder, tell: given)
    assert event.failure == given == store.failure(one.run)


def test_a_run_is_done_under_its_lock_in_an_empty_folder(tmp_path: Path) -> None:
    one = job(tmp_path)
    lock = Store(one.store).folder(one.run) / ".lock"

    def looks(run: object, machine: object, folder: Path, tell: object) -> None:
        assert [path.name for path in folder.iterdir()] == ["spec.yaml"]
        with lock.open("a") as another, pytest.raises(BlockingIOError):
            fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise ZeroDivisionError("seen")

    assert ended(one, looks)[0].message == "ZeroDivisionError: seen"
    with lock.open("a") as another:
        fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_run_that_somebody_ended_has_not_failed(tmp_path: Path) -> None:
    one = job(tmp_path)

    def stops(run: object, machine: object, folder: Path, tell: object) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        settle(one, stops, lambda event: None)
    assert Store(one.store).state(one.run, None) == "missing"


@pytest.mark.parametrize(
    ("rerun", "begun", "found"), [("missing", False, True), ("all", False, False), ("all", True, True)]
)
def test_what_a_try_goes_on_from(tmp_path: Path, rerun: str, begun: bool, found: bool) -> None:
    """A killed try's checkpoint is the next one's, in a suite or after it; `all` alone begins with none."""
    one = job(tmp_path, rerun=rerun, begun=begun)
    store = Store(one.store)
    with store.lock(one.run):
        (store.begin(one.run) / CHECKPOINT).touch()
    seen = []

    def dies(run: RunSpec, machine: object, folder: Path, tell: object) -> Failure:
        seen.append((folder / CHECKPOINT).exists())
        (folder / CHECKPOINT).touch()
        return killed(run, -9)

    event, told = ended(one, dies)
    assert seen == [found, True]
    assert told == ["start", "retry"]
    assert event.failure is not None
    assert [attempt.kind for attempt in event.failure.attempts] == ["killed", "killed"]


def test_what_somebody_else_has_done_meanwhile_is_kept(tmp_path: Path) -> None:
    one = job(tmp_path)
    folder = Store(one.store).folder(one.run)
    folder.mkdir(parents=True)
    write_record(records.record(one.run, 0.9), folder / "record.json")

    def never(run: object, machine: object, folder: Path, tell: object) -> None:
        raise AssertionError

    assert ended(one, never) == (Event("skipped", one.run), [])
    again, _ = ended(job(tmp_path, rerun="all"), never)
    assert again.kind == "failed"


def test_without_its_folder_a_run_fails_alone(tmp_path: Path) -> None:
    one = job(tmp_path)
    folder = Store(one.store).folder(one.run)
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    event, told = ended(one, lambda run, machine, folder, tell: None)
    assert told == []
    assert "Expected a folder of the store, but got a file" in event.message


def test_outcomes_hold_how_runs_end(tmp_path: Path) -> None:
    (run,) = suite(tmp_path)
    failure = Failure.of(run, ValueError("x"))
    outcomes = Outcomes()
    for kind in ("start", "epoch", "done", "skipped", "submitted"):
        outcomes.note(Event(kind, run))
    outcomes.note(Event("failed", run, failure=failure))
    assert outcomes == Outcomes([run], [run], [(run, failure)], [run])


def test_events_survive_as_lines_of_output(tmp_path: Path) -> None:
    (run,) = suite(tmp_path)
    event = Event("epoch", run, 3, 10, 0.3, {"val/top1": 0.25}, 1.5, "two\nlines")
    assert "\n" not in said(event)
    assert heard(said(event) + "\n", run) == event
    assert heard("@events are something else", run) is None


@pytest.mark.parametrize(
    "line",
    ["@event x", "@event", "@event 3", "@event {}", '@event {"kind": "step", "colour": 1}', '@event {"kind": "party"}',
     '@event {"kind": "failed"}', '@event {"kind": ["step"]}'],
)  # fmt: skip
def test_what_is_no_event_on_the_way_is_not_heard(tmp_path: Path, line: str) -> None:
    """A model may print anything; how a run ended is told otherwise."""
    (run,) = suite(tmp_path)
    assert heard(line, run) is None

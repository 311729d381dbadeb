"""Posts of a suite of which one breaks down or is lost: the others are in no call for ever, and the suite ends."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from cvbench.events import Event
from cvbench.executors import distributed
from cvbench.executors.distributed import Distributed, free_port
from cvbench.executors.execute import execute
from cvbench.executors.meeting import Call, LostError, Meeting
from cvbench.executors.place import Place
from cvbench.store import Store
from cvbench.telling import said
from tests.alive import within
from tests.executors.suites import machine, suite


def places() -> tuple[Place, Place]:
    port = free_port()
    return Place(0, 2, "127.0.0.1", port, a_node=True), Place(1, 2, "127.0.0.1", port, a_node=True)


class Patient(threading.Thread):
    """A post whose processes run until the run is broken elsewhere."""

    def __init__(self, place: Place) -> None:
        super().__init__(daemon=True)
        self.place = place
        self.called: list[Call] = []
        self.start()

    def run(self) -> None:
        meeting = Meeting(self.place)
        for call in meeting.calls():
            self.called.append(call)
            while not meeting.broken(call):
                time.sleep(0.1)
            meeting.report(call, "stopped")


def test_where_the_first_post_breaks_down_the_others_leave_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(event: Event) -> None:
        raise OSError(28, "No space left on device")

    (run,) = suite(tmp_path)
    first, second = places()
    meeting, other = Meeting(first), Patient(second)
    command = ["printf", "%s\\n", said(Event("start", run))]
    monkeypatch.setattr(distributed, "_launch", lambda *given: (command, dict(os.environ)))
    for number in (1, 2):
        with pytest.raises(OSError, match="No space left on device"):
            Distributed({}, meeting).run(run, machine(tmp_path, nodes=2), tmp_path, tell)
        assert within(20, lambda number=number: len(other.called) == number)
    meeting.leave(seconds=20)
    other.join(20)
    assert not other.is_alive()


def test_a_lost_post_ends_the_suite_and_what_is_left_stays_missing(tmp_path: Path) -> None:
    first, second = places()
    meeting, other = Meeting(first, lost_seconds=3.0), Meeting(second)
    assert within(20, lambda: other._table.check(["beat/1"]))
    other.leave()
    runs, store = suite(tmp_path, seeds=[0, 1]), Store(tmp_path / "runs")
    with pytest.raises(LostError, match=r"post 1 has not been heard of for 3 s; .* the same command") as lost:
        execute(runs, store, machine(tmp_path, nodes=2), meeting=meeting)
    assert isinstance(lost.value, OSError)  # which the command line tells in one line
    assert [store.state(run, None) for run in runs] == ["missing", "missing"]
    meeting.leave(seconds=0)

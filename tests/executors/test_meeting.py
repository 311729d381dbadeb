"""How posts agree, on a real table of torch's: each post here is a thread of this process."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cvbench.executors.distributed import free_port
from cvbench.executors.meeting import LostError, Meeting, joined
from cvbench.executors.place import Place
from cvbench.machine import Machine


def places(posts: int) -> list[Place]:
    port = free_port()
    return [Place(rank, posts, "127.0.0.1", port, a_node=True) for rank in range(posts)]


class Follower(threading.Thread):
    """A post that says `outcome` to each call and remembers the calls."""

    def __init__(self, place: Place, outcome: str) -> None:
        super().__init__(daemon=True)
        self.place, self.outcome = place, outcome
        self.called: list[Any] = []
        self.lost: LostError | None = None
        self.start()

    def run(self) -> None:
        meeting = Meeting(self.place)
        try:
            for call in meeting.calls():
                self.called.append(call)
                meeting.report(call, self.outcome)
        except LostError as error:
            self.lost = error
        finally:
            meeting.leave()


def test_all_posts_get_every_call_and_the_first_all_outcomes() -> None:
    first, *others = places(3)
    followers = [Follower(place, "done") for place in others]
    meeting = Meeting(first)
    for number, job in enumerate(("/runs/a b.json", "/runs/c.json"), start=1):
        call = meeting.call(job, 4000 + number)
        meeting.report(call, "done")
        assert meeting.settle(call) == ["done"] * 3
        assert not meeting.broken(call)
    meeting.leave()
    for follower in followers:
        follower.join(20)
        assert follower.called == [(1, "/runs/a b.json", 4001), (2, "/runs/c.json", 4002)]
        assert follower.lost is None


def test_a_failure_elsewhere_breaks_this_run_and_not_the_next() -> None:
    first, second = places(2)
    follower = Follower(second, "-9")
    meeting = Meeting(first)
    call = meeting.call("/runs/a.json", 4001)
    meeting.report(call, "stopped")
    assert meeting.settle(call) == ["stopped", "-9"]
    assert meeting.broken(call)
    follower.outcome = "done"
    call = meeting.call("/runs/b.json", 4001)
    meeting.report(call, "done")
    assert meeting.settle(call) == ["done", "done"]
    assert not meeting.broken(call)
    meeting.leave()


def test_a_post_that_never_comes_is_named() -> None:
    first, *_ = places(3)
    said: list[str] = []
    meeting = Meeting(first, arrival_seconds=0.5, say=said.append)
    with pytest.raises(LostError, match="of 3 posts, 1, 2 did not come within 0 s"):
        meeting.call("/runs/a.json", 4001)
    assert said == [f"waits at 127.0.0.1:{first.port} for posts 1, 2 of 3, up to 0 s"]
    meeting.leave(seconds=0)


def test_a_post_that_falls_silent_is_lost() -> None:
    first, second = places(2)
    meeting, other = Meeting(first, lost_seconds=3.0), Meeting(second)
    call = meeting.call("/runs/a.json", 4001)
    meeting.report(call, "done")
    other.leave()  # no beat any more, and no outcome
    with pytest.raises(LostError, match="post 1 has not been heard of for 3 s"):
        meeting.settle(call)
    assert meeting.broken(call)
    meeting.leave(seconds=0)


def test_without_the_first_post_the_others_end() -> None:
    place = places(2)[1]
    with pytest.raises(LostError, match=rf"no meeting at 127\.0\.0\.1:{place.port}"):
        Meeting(place, arrival_seconds=0.5)


def test_a_process_that_is_alone_has_no_meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with joined(Machine(devices=4)) as meeting:
        assert meeting is None


def test_the_first_post_of_a_launcher_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = places(2)
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": first.host,
        "MASTER_PORT": str(first.port),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    follower = Follower(second, "done")
    with joined(Machine(devices=2)) as meeting:
        assert meeting is not None
        assert meeting.place.leads
    follower.join(20)
    assert follower.called == []
    assert follower.lost is None

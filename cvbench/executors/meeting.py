"""How the posts of several nodes agree: the first one calls the runs, all report, and a post that is lost is noticed.

Words in torch's `TCPStore`, a table in the first post's memory that all can read and write: like torch's own process
groups, for networks whose members trust each other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

from cvbench.executors.base import StoppedError
from cvbench.executors.place import Place, find_place
from cvbench.machine import Machine

#: how long the first post waits for the others to arrive, and they for it
ARRIVAL_SECONDS = 600.0
#: after such a silence a post counts as lost
LOST_SECONDS = 60.0
BEAT_SECONDS = 2.0
POLL_SECONDS = 0.2

Outcome = str  # "done", "stopped" because another post failed, or why its processes failed


class Call(NamedTuple):
    """A run to carry out: its number, its job file, and the port on the first post's host where its processes meet."""

    number: int
    job: str
    port: int


class LostError(StoppedError, ConnectionError):
    """A post does not answer: no failure of the run, and the end of the suite."""


@contextmanager
def joined(machine: Machine, say: Callable[[str], None] = lambda line: None) -> Iterator[Meeting | None]:
    """The meeting of the posts of this run; None where this process is alone. Raises as `find_place` and `Meeting`.

    say: told for whom this post waits.
    """
    place = find_place(machine)
    if place is None:
        yield None
        return
    meeting = Meeting(place, say=say)
    try:
        yield meeting
    except BaseException:
        meeting.leave(seconds=2.0)
        raise
    meeting.leave()


class Meeting:
    """This post's end. Raises LostError where the first post is not there within `arrival_seconds`."""

    def __init__(
        self,
        place: Place,
        arrival_seconds: float = ARRIVAL_SECONDS,
        lost_seconds: float = LOST_SECONDS,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

        self.place, self.arrival_seconds, self.lost_seconds = place, arrival_seconds, lost_seconds
        self._say = say
        hosts = place.leads and not place.hosted
        try:
            table = TCPStore(
                place.host,
                place.port,
                is_master=hosts,
                timeout=timedelta(seconds=arrival_seconds),
                wait_for_workers=False,
            )
        except Exception as error:
            raise LostError(f"no meeting at {place.host}:{place.port}: {error}") from error
        self._table = PrefixStore("cvbench", table)
        self._calls = 0
        self._left = threading.Event()
        self._beats: dict[int, tuple[int, float]] = {}
        threading.Thread(target=self._beat, daemon=True).start()

    @property
    def _patience(self) -> str:
        return f"up to {self.arrival_seconds:.0f} s"

    # What the first post does ----------------------------------------------------------------------------------------

    def call(self, job: str, port: int) -> Call:
        """Calls all posts to a run, when all are there. Raises LostError where one is not."""
        self._wait_for_all()
        self._calls += 1
        self._table.set(f"job/{self._calls}", f"{port} {job}")
        return Call(self._calls, job, port)

    def settle(self, call: Call) -> list[Outcome]:
        """Waits for all reports of a run and returns them by rank. Raises LostError where a post is lost meanwhile."""
        while (outcomes := self._outcomes(call)) is None:
            self._check_lost()
            time.sleep(POLL_SECONDS)
        return outcomes

    # What every post does --------------------------------------------------------------------------------------------

    def report(self, call: Call, outcome: Outcome) -> None:
        """Tells how the run went here."""
        self._table.set(f"outcome/{call.number}/{self.place.rank}", outcome)
        if outcome != "done":
            self._table.set(f"failed/{call.number}", "1")

    def broken(self, call: Call) -> bool:
        """Whether the run has failed somewhere, or a post is lost: nothing is left to wait for."""
        try:
            self._check_lost()
            return bool(self._table.check([f"failed/{call.number}"]))
        except (LostError, RuntimeError):
            return True

    def leave(self, seconds: float = LOST_SECONDS) -> None:
        """Ends this post's part. The first one tells the others, and stays up to `seconds` until they have heard it."""
        if self._left.is_set():
            return
        self._left.set()
        if not self.place.leads:
            return
        try:
            self._table.set(f"job/{self._calls + 1}", "end")
            deadline = time.monotonic() + seconds
            heard = [f"heard/{rank}" for rank in range(1, self.place.posts)]
            while time.monotonic() < deadline and not self._table.check(heard):
                time.sleep(POLL_SECONDS)
        except RuntimeError:
            return  # the launcher's table is gone, and the others with it

    # What the others do ----------------------------------------------------------------------------------------------

    def calls(self) -> Iterator[Call]:
        """The runs, as the first post calls them, until it leaves. Raises LostError where it is gone."""
        for number in range(1, 1 << 62):
            told = self._wait_for(f"job/{number}")
            if told == "end":
                self._table.set(f"heard/{self.place.rank}", "1")
                return
            port, _, job = told.partition(" ")
            yield Call(number, job, int(port))

    def _wait_for(self, key: str) -> str:
        try:
            while not self._table.check([key]):
                self._check_lost()
                time.sleep(POLL_SECONDS)
            value: bytes = self._table.get(key)
            return value.decode()
        except RuntimeError as error:
            raise LostError("the first post is gone") from error

    # Who is there ----------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        try:
            while not self._left.wait(BEAT_SECONDS if self._beats_of(self.place.rank) else 0.0):
                self._table.add(f"beat/{self.place.rank}", 1)
        except RuntimeError:
            return  # who waits for the table meets the same error

    def _beats_of(self, rank: int) -> int:
        """How often a post has said that it is there."""
        key = f"beat/{rank}"
        return self._table.add(key, 0) if self._table.check([key]) else 0

    def _wait_for_all(self) -> None:
        deadline, told = time.monotonic() + self.arrival_seconds, False
        while missing := [rank for rank in range(self.place.posts) if not self._beats_of(rank)]:
            if time.monotonic() > deadline:
                shown = ", ".join(map(str, missing))
                raise LostError(
                    f"of {self.place.posts} posts, {shown} did not come within {self.arrival_seconds:.0f} s"
                )
            others = [str(rank) for rank in missing if rank != self.place.rank]
            if others and not told:
                whom = f"{', '.join(others)} of {self.place.posts}"
                self._say(f"waits at {self.place.host}:{self.place.port} for posts {whom}, {self._patience}")
                told = True
            time.sleep(POLL_SECONDS)
        self._check_lost()

    def _check_lost(self) -> None:
        """The first post watches the others, they watch it. A post that has not come yet is not lost."""
        now = time.monotonic()
        for rank in range(1, self.place.posts) if self.place.leads else (0,):
            beats = self._beats_of(rank)
            known, since = self._beats.get(rank, (0, now))
            self._beats[rank] = (beats, since if beats == known else now)
            if beats == known and beats and now - since > self.lost_seconds:
                raise LostError(f"post {rank} has not been heard of for {self.lost_seconds:.0f} s")

    def _outcomes(self, call: Call) -> list[Outcome] | None:
        keys = [f"outcome/{call.number}/{rank}" for rank in range(self.place.posts)]
        return [self._table.get(key).decode() for key in keys] if self._table.check(keys) else None

"""One run on several devices: processes that this post starts, and those of other posts where there are some."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from cvbench.executors.base import OnEvent, killed
from cvbench.executors.launch import Processes, command, surroundings
from cvbench.executors.meeting import Call, LostError, Meeting, Outcome
from cvbench.failure import Failure
from cvbench.logs import STACKS_SECONDS
from cvbench.machine import Machine
from cvbench.record import write_atomically
from cvbench.spec import RunSpec
from cvbench.telling import heard

#: a shared disk may show a new file a little later to other nodes
SHARED_DISK_SECONDS = 30.0
#: where a machine's disks are, which its own options say
_OWN_PLACES = ("data_root", "cache")
# What the first process of a run says when it begins, after torch is imported.
_BEGAN = "@began"


class Distributed:
    """Runs each run in processes of its own, `machine.devices` on each node. meeting: of the posts, where they are."""

    def __init__(self, environment: Mapping[str, str], meeting: Meeting | None = None) -> None:
        self.environment, self.meeting = environment, meeting
        self._processes = Processes()
        self._tries = 0

    def run(self, run: RunSpec, machine: Machine, folder: Path, tell: OnEvent) -> Failure | None:
        """Runs to the end and returns None, or why it failed. Raises LostError, which ends the suite."""
        self._tries += 1
        # Another name each time: a node that shares the disk may still see the file of the last try.
        name = "job.json" if self.meeting is None else f"job-try{self._tries}.json"
        job = _write_job(folder / name, run.model_dump(mode="json"), machine, folder)
        with self._limited(machine.time_limit) as limit:

            def follow(line: str) -> bool:
                if line.rstrip() == _BEGAN:
                    limit.begin()
                elif (event := heard(line, run)) is not None:
                    tell(event)
                else:
                    return False
                return True

            try:
                outcomes = self._together(job, machine, folder, follow)
            except LostError as lost:
                self._processes.stop()
                left = "what is not done stays missing, and the same command on all nodes goes on from there"
                raise LostError(f"{lost}; {left}") from lost
        if limit.late:
            return Failure.late(run, limit.seconds, _tail(folder / "processes.txt"))
        if set(outcomes) == {"done"} and (folder / "record.json").is_file():
            job.unlink()
            return None
        return _why(run, outcomes, folder)

    def _together(self, job: Path, machine: Machine, folder: Path, on_line: Callable[[str], bool]) -> list[Outcome]:
        """How the run went on every post, by rank."""
        log = folder / "processes.txt"
        if self.meeting is None:
            code = self._processes.run(*_launch(job, machine, None, 0, self.environment), log, on_line)
            return ["done" if code == 0 else str(code)]
        call = self.meeting.call(str(job.absolute()), free_port())
        try:
            outcome = _carry_out(self.meeting, call, self._processes, job, machine, self.environment, log, on_line)
        except Exception as error:  # a full disk, say: the others must not wait for this post
            self.meeting.report(call, str(error) or type(error).__name__)
            self.meeting.settle(call)
            raise
        self.meeting.report(call, outcome)
        return self.meeting.settle(call)

    @contextlib.contextmanager
    def _limited(self, seconds: float | None) -> Iterator[_Limit]:
        limit = _Limit(seconds, self._processes.stop)
        try:
            yield limit
        finally:
            limit.end()

    def stop(self) -> None:
        """Ends all processes of the run that are this post's, for good; the others' end as they miss them."""
        self._processes.close()


def follow(meeting: Meeting, machine: Machine) -> int:
    """A post that is not the first: starts its processes of each run that the first one calls, until that leaves.

    Says nothing and writes only logs. Returns an exit code: 1 where the first post was lost.
    """
    processes = Processes()
    try:
        for call in meeting.calls():
            meeting.report(call, _take_part(meeting, call, processes, machine))
    except LostError:
        return 1
    finally:
        processes.stop()
    return 0


def _take_part(meeting: Meeting, call: Call, processes: Processes, machine: Machine) -> Outcome:
    """How the run went here; also what stopped it before it began."""
    folder, rank = Path(call.job).parent, meeting.place.rank
    try:
        given = json.loads(_shared(Path(call.job)))
        # As the first post has it, except where this machine's disks are.
        same = Machine.model_validate_json(json.dumps(given["machine"]))
        own = same.model_copy(update={name: getattr(machine, name) for name in _OWN_PLACES})
        if (own.devices, own.nodes) != (machine.devices, machine.nodes):
            here, there = f"{machine.nodes} x {machine.devices}", f"{own.nodes} x {own.devices}"
            raise ValueError(
                f"Expected the same nodes x devices on all nodes, but got {here} here and {there} on the first"
            )
        job = _write_job(folder / f"job-{rank}.json", given["spec"], own, folder)
        log, threads = folder / f"processes-{rank}.txt", {"OMP_NUM_THREADS": str(own.threads or 1)}
        outcome = _carry_out(meeting, call, processes, job, own, threads, log, lambda line: False)
    except (OSError, ValueError) as error:
        return str(error)
    if outcome == "done":
        for path in (job, log):
            path.unlink(missing_ok=True)
    return outcome


def _carry_out(
    meeting: Meeting,
    call: Call,
    processes: Processes,
    job: Path,
    machine: Machine,
    environment: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], bool],
) -> Outcome:
    """Runs this post's processes; they are ended where another post's fail, or would wait for ever for a lost one's."""
    with _watch(meeting, call, processes) as stopped:
        code = processes.run(*_launch(job, machine, meeting, call.port, environment), log, on_line)
    if stopped.is_set() and code:
        return "stopped"
    return "done" if code == 0 else str(code)


@contextlib.contextmanager
def _watch(meeting: Meeting, call: Call, processes: Processes) -> Iterator[threading.Event]:
    """Ends the processes where the run is broken elsewhere. Gives the event that says so."""
    finished, stopped = threading.Event(), threading.Event()

    def watch() -> None:
        while not finished.wait(0.5):
            if meeting.broken(call):
                stopped.set()
                processes.stop()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield stopped
    finally:
        finished.set()
        watcher.join()


def _launch(
    job: Path, machine: Machine, meeting: Meeting | None, port: int, environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    place = None if meeting is None else meeting.place
    return command(job, machine, place, port), surroundings(machine, place, port, environment, os.environ)


def _write_job(path: Path, spec: object, machine: Machine, folder: Path) -> Path:
    """What `python -m cvbench.harness` reads. launcher: who it ends with."""
    job = {"spec": spec, "machine": machine.model_dump(mode="json"), "folder": str(folder.absolute())}
    write_atomically(path, json.dumps(job | {"launcher": os.getpid()}))
    return path


def _shared(path: Path) -> str:
    """A file of the first post's, as soon as it is seen here. Raises ValueError where it does not come."""
    deadline = time.monotonic() + SHARED_DISK_SECONDS
    while not path.is_file():
        if time.monotonic() > deadline:
            raise ValueError(
                f"Expected the store on a disk that all nodes share, but this node does not see {path}; give --store "
                "a folder there"
            )
        time.sleep(0.2)
    return path.read_text(encoding="utf-8")


def free_port() -> int:
    """A port of this host that nobody uses now.

    Below those that systems hand out for outgoing connections: it takes seconds until a process listens there. OSError
    where there is none.
    """
    for port in random.SystemRandom().sample(range(15000, 32000), 100):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("", port))
            return port
    raise OSError("Expected a free port between 15000 and 32000, but a hundred tries found none")


class _Limit:
    """Of one try, from when it begins. late: whether it was reached and the processes were ended for it."""

    def __init__(self, seconds: float | None, stop: Callable[[], None]) -> None:
        self.seconds, self.late = seconds or 0.0, False
        self._stop = stop
        self._timer = None if seconds is None else threading.Timer(seconds + STACKS_SECONDS, self._reached)

    def begin(self) -> None:
        if self._timer is not None and self._timer.ident is None:  # a line of output may come twice
            self._timer.start()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _reached(self) -> None:
        self.late = True
        self._stop()


def _why(run: RunSpec, outcomes: list[Outcome], folder: Path) -> Failure:
    """Of a run that failed on one post or several. outcomes: by rank of the post."""
    failed = [(rank, outcome) for rank, outcome in enumerate(outcomes) if outcome not in ("done", "stopped")]
    logs = {rank: folder / (f"processes-{rank}.txt" if rank else "processes.txt") for rank, _ in failed}
    # A process that a signal ends leaves no file, and its peers, who lost it, do: so it comes first.
    for rank, outcome in failed:
        code = int(outcome) if outcome.startswith("-") and outcome[1:].isdecimal() else _first_signal(logs[rank])
        if code is not None:
            return killed(run, code, _tail(logs[rank]))
    # Each process that failed has left a file; the first to fail is the cause, others only lost their peer.
    for told in sorted(folder.glob("failure-rank*.json"), key=lambda path: path.stat().st_mtime_ns):
        return Failure.model_validate_json(told.read_bytes())
    # Where no process has left a word: by the first post's outcome that is not another's fault.
    rank, outcome = failed[0] if failed else (0, "0")
    if not outcome.isdecimal():
        return Failure(run_id=run.run_id, kind="ValueError", message=outcome, failed_at=datetime.now(UTC))
    return killed(run, int(outcome), _tail(folder / "processes.txt" if not failed else logs[rank]))


def _first_signal(path: Path) -> int | None:
    """The exit code (below 0) of the process that torchrun saw fail first, if a signal ended it; it leaves no file."""
    text = _text(path)
    found = re.search(r"exitcode\s*:\s*(-\d+)", text.rpartition("Root Cause (first observed failure)")[2])
    return int(found[1]) if found else None


def _tail(path: Path, lines: int = 40) -> str:
    return "\n".join(_text(path).splitlines()[-lines:])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

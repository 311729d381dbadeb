"""A worker process that lives for a whole suite, so that torch is imported once; and the other end of its pipe."""

from __future__ import annotations

import contextlib
import gc
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from cvbench.apart import environment_of_processes
from cvbench.events import Event
from cvbench.executors.base import OnEvent, killed
from cvbench.failure import Failure
from cvbench.logs import STACKS_SECONDS
from cvbench.machine import Machine
from cvbench.spec import RunSpec

_BEGAN, _LATE = "began", "late"
# How often a worker is looked at: children of it, forked by whatever a run loads, keep its pipe open when it has died.
LOOK_SECONDS = 1.0


class _GoneError(Exception):
    """The process has ended."""


class Worker:
    """One spawned process that runs what it is sent, one run after the other. It is started at the first run."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        # One thread runs, another may stop: what is alive is taken and replaced under the lock, in one piece.
        self._lock = threading.Lock()
        self._alive: tuple[BaseProcess, Connection] | None = None
        self._stopped = False

    def run(self, run: RunSpec, machine: Machine, folder: Path, tell: OnEvent) -> Failure | None:
        """Runs to the end and returns None, or why it failed. A process that dies costs only this run."""
        process, pipe = self._started()
        try:
            with _errors_of_the_pipe():
                pipe.send((run, machine, folder))
            failure = _follow(process, pipe, run, machine.time_limit, tell)
        except _GoneError:
            self._retire(process, pipe, patience=5)
            return killed(run, process.exitcode)
        except BaseException:  # a signal that SLURM sends, say: the process must not outlive this
            self._retire(process, pipe, patience=0)
            raise
        if failure is not None and failure.kind in ("out_of_memory", "time_limit"):
            # The next run is to find all memory free, whatever an exception or a library still holds of it here.
            self._retire(process, pipe, patience=0)
        return failure

    def _retire(self, process: BaseProcess, pipe: Connection, patience: float) -> None:
        """Ends the process; the next run starts another."""
        _end(process, patience)
        pipe.close()
        with self._lock:
            self._alive = None

    def stop(self) -> None:
        """Ends the process, for good: it has nothing to save, since what is finished is on disk."""
        with self._lock:
            alive, self._alive, self._stopped = self._alive, None, True
        if alive is not None:
            _end(alive[0], patience=0)

    def _started(self) -> tuple[BaseProcess, Connection]:
        with self._lock:
            if self._stopped:
                raise RuntimeError("this worker has been stopped")
            if self._alive is None:
                self._alive = _spawn(self.environment)
            return self._alive


def _follow(
    process: BaseProcess, pipe: Connection, run: RunSpec, time_limit: float | None, tell: OnEvent
) -> Failure | None:
    """What the process says of the run, until that ends or is late. Raises _GoneError, and whatever `tell` raises."""
    deadline = math.inf  # begins with the run, not with the import of torch
    while (message := _next(process, pipe, deadline)) != _LATE:
        if message == _BEGAN:
            deadline = math.inf if time_limit is None else time.monotonic() + time_limit + STACKS_SECONDS
        elif isinstance(message, Event):
            tell(message)
        else:
            return message  # type: ignore[no-any-return]
    assert time_limit is not None
    return Failure.late(run, time_limit)


def _next(process: BaseProcess, pipe: Connection, deadline: float) -> Any:
    """What the process says next; `_LATE` when the deadline has passed. Raises _GoneError where it has ended."""
    with _errors_of_the_pipe():
        while not pipe.poll(min(LOOK_SECONDS, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                return _LATE
            if not process.is_alive() and not pipe.poll():
                raise _GoneError
        return pipe.recv()


@contextlib.contextmanager
def _errors_of_the_pipe() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise _GoneError from error


def _spawn(environment: Mapping[str, str]) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), name="cvbench-worker")
    # Set before the child begins: set_num_threads alone would leave a pool of OpenMP's of the wrong size.
    with environment_of_processes(environment):
        process.start()
    theirs.close()
    return process, ours


def _end(process: BaseProcess, patience: float = 5) -> None:
    """Waits `patience` seconds, then ends the process, by force if need be, with all that its runs have started."""
    try:
        if process.is_alive():
            process.join(patience)
        if process.is_alive():
            process.terminate()
            process.join(2)
    finally:  # at once after a second Ctrl-C
        if process.is_alive():
            process.kill()
            process.join()
        assert process.pid is not None
        # None of its group is left, most often; or it had not come so far as to have one.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _serve(pipe: Connection) -> None:
    """The worker's life: Ctrl-C is the parent's to handle, and a parent that dies takes the worker with it.

    It leads a group of processes, so that it can be ended with all that its runs start.
    """
    os.setpgid(0, 0)
    os.dup2(2, 1)  # stdout is the command's, whose `--json` is nothing else; what a run prints is for people
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # SLURM may send it to all of a job: the parent knows what to do
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _harness()  # with torch: a run's time begins after it

    while True:
        try:
            run, machine, folder = pipe.recv()
        except EOFError:
            return
        pipe.send(_BEGAN)
        pipe.send(run_here(run, machine, folder, pipe.send))


def run_here(run: RunSpec, machine: Machine, folder: Path, tell: OnEvent) -> Failure | None:
    """Does the run in this process, which leaves it as large as it was; returns None, or why it failed."""
    try:
        _harness()(run, machine, folder, on_event=tell)
    except Exception as error:  # a run that fails, whatever the reason, must not end the suite
        return Failure.of(run, error)
    finally:
        gc.collect()  # models and Trainers refer to each other in circles
    return None


@cache
def _harness() -> Callable[..., object]:
    """`harness.run`, imported once; what torch and Lightning consist of is not looked through for garbage."""
    from cvbench.harness import run

    gc.freeze()
    return run


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(os.getpid(), signal.SIGKILL)

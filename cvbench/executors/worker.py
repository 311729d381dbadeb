"""A worker process that lives for a whole suite, so that torch is imported once; and the other end of its pipe."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from cvbench.events import Event
from cvbench.executors.base import failure_of, killed
from cvbench.machine import Machine
from cvbench.spec import RunSpec
from cvbench.store import Failure


class Worker:
    """One spawned process that runs what it is sent, one run after the other. It is started at the first run."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def run(self, run: RunSpec, machine: Machine, folder: Path, tell: Callable[[Event], None]) -> Failure | None:
        """Runs to the end and returns None, or why it failed. A process that dies costs only this run."""
        pipe = self._started()
        try:
            pipe.send((run, machine, folder))
            while True:
                message = pipe.recv()
                if isinstance(message, Event):
                    tell(message)
                else:
                    return message  # type: ignore[no-any-return]
        except (EOFError, OSError):
            assert self._process is not None
            self._process.join(5)
            code = self._process.exitcode
            self.stop()
            return killed(run, code)

    def stop(self) -> None:
        """Ends the process: it has nothing to save, since what is finished is on disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.join(2)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _started(self) -> Connection:
        if self._pipe is None:
            # Read by OpenMP when the child loads torch; set_num_threads alone leaves a pool of the wrong size.
            os.environ["OMP_NUM_THREADS"] = str(self.threads)
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), name="cvbench-worker", daemon=False)
            self._process.start()
            theirs.close()
        return self._pipe


def _serve(pipe: Connection) -> None:
    """The worker's life: Ctrl-C is the parent's to handle, and a parent that dies takes the worker with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from cvbench.harness import run as run_in_harness

    while True:
        try:
            run, machine, folder = pipe.recv()
        except EOFError:
            return
        try:
            run_in_harness(run, machine, folder, on_event=pipe.send)
            pipe.send(None)
        except Exception as error:  # a run that fails, whatever the reason, must not end the suite
            pipe.send(failure_of(run, error))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

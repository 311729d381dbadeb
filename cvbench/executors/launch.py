"""The processes that one run has on this node: how they are started, listened to and ended."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from cvbench.executors.place import Place
from cvbench.machine import Machine
from cvbench.record import write_atomically
from cvbench.redaction import redacted

# What an outer launcher may have left; our children must not take it for their own.
_LAUNCHER = frozenset(
    {"RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "ROLE_NAME", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE",
     "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
)  # fmt: skip
# How often a child is looked at, whose end the pipe need not tell.
LOOK_SECONDS = 1.0
_TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def command(job: Path, machine: Machine, place: Place | None, port: int) -> list[str]:
    """What starts this node's processes of the run in `job`. port: on the first node, where all processes meet."""
    harness = ["-m", "cvbench.harness", str(job)]
    if place is None:
        return [*_TORCHRUN, "--standalone", f"--nproc-per-node={machine.devices}", *harness]
    if not place.a_node:
        return [sys.executable, *harness]
    return [*_TORCHRUN, f"--nnodes={machine.nodes}", f"--node-rank={place.rank}", f"--nproc-per-node={machine.devices}",
            f"--master-addr={place.host}", f"--master-port={port}", *harness]  # fmt: skip


def surroundings(
    machine: Machine, place: Place | None, port: int, own: Mapping[str, str], outer: Mapping[str, str]
) -> dict[str, str]:
    """The environment variables of `command`: `outer` without those of an outer launcher, and `own`; with the process's
    place where it is started directly.
    """
    kept = {
        key: v for key, v in outer.items() if key not in _LAUNCHER and not key.startswith(("TORCHELASTIC_", "PET_"))
    }
    kept |= {**own, "PYTHONUNBUFFERED": "1"}
    if place is None or place.a_node:
        return kept
    stands = {
        "RANK": place.rank,
        "LOCAL_RANK": place.local_rank,
        "GROUP_RANK": place.rank // machine.devices,
        "WORLD_SIZE": machine.world,
        "LOCAL_WORLD_SIZE": machine.devices,
        "MASTER_ADDR": place.host,
        "MASTER_PORT": port,
    }
    return kept | {key: str(value) for key, value in stands.items()}


class Processes:
    """A child in a session of its own, so that it can be ended with all that it has started."""

    def __init__(self) -> None:
        # One thread runs, another may stop or close.
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def run(
        self, arguments: list[str], environment: Mapping[str, str], log: Path, on_line: Callable[[str], bool]
    ) -> int:
        """Runs to the end; the exit code. Standard output goes to `on_line` by lines; errors, and the lines that
        `on_line` says it did not understand, redacted, to `log`.

        What the child leaves behind is ended. Raises RuntimeError after `close`.
        """
        try:
            with log.open("w", encoding="utf-8") as errors, self._started(arguments, environment, errors) as process:
                try:
                    for line in _lines(process):
                        if not on_line(line):
                            errors.write(line)
                            errors.flush()  # the child writes there as well
                    process.wait()
                finally:  # a signal that SLURM sends, say: the processes must not outlive this
                    self.stop()
        finally:
            with self._lock:
                self._process = None
            _redact(log)
        return process.returncode

    def stop(self) -> None:
        """Ends the child and all that it has started, whether or not it lives itself; nothing where none runs."""
        with self._lock:
            process = self._process
        if process is None:
            return
        _signal(process, signal.SIGTERM)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        finally:  # at once after a second Ctrl-C
            # The processes of the run see that torchrun is gone and end by themselves: `harness.main`.
            _signal(process, signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        """Ends what runs, and what another thread is about to run."""
        with self._lock:
            self._closed = True
        self.stop()

    def _started(self, arguments: list[str], environment: Mapping[str, str], errors: TextIO) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise RuntimeError("these processes have been stopped")
            self._process = subprocess.Popen(
                arguments, stdout=subprocess.PIPE, stderr=errors, env=environment, start_new_session=True
            )
            return self._process


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(process.pid, number)


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Its output, to the end of the pipe, or of the process: what it has started may keep the pipe open for ever."""
    assert process.stdout is not None
    rest, deadline = b"", math.inf
    with selectors.DefaultSelector() as pipe:
        pipe.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            over = process.poll() is not None  # asked first: what it said last is in the pipe by now
            if over and deadline == math.inf:
                deadline = time.monotonic() + LOOK_SECONDS
            if not pipe.select(0 if over else LOOK_SECONDS):
                if over:
                    break
                continue
            read = os.read(process.stdout.fileno(), 1 << 16)
            if not read:
                break
            *whole, rest = (rest + read).split(b"\n")
            yield from (line.decode(errors="replace") + "\n" for line in whole)
    if rest:
        yield rest.decode(errors="replace")


def _redact(path: Path) -> None:
    """What the processes wrote themselves, past all loggers."""
    with contextlib.suppress(OSError):  # a full disk
        write_atomically(path, redacted(path.read_text(encoding="utf-8", errors="replace")))

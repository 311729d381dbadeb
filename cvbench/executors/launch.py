"""The processes that one run has on this node: how they are started, listened to and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from cvbench.executors.place import Place
from cvbench.machine import Machine
from cvbench.record import write_atomically
from cvbench.redaction import redacted

# What an outer launcher may have left; our children must not take it for their own.
_LAUNCHER = frozenset(
    {"RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "ROLE_NAME", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE",
     "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
)  # fmt: skip
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
        self._process: subprocess.Popen[str] | None = None

    def run(
        self, arguments: list[str], environment: Mapping[str, str], log: Path, on_line: Callable[[str], None]
    ) -> int:
        """Runs to the end; the exit code. Standard output goes to `on_line` by lines; errors, redacted, to `log`."""
        try:
            with log.open("w", encoding="utf-8") as errors:
                process = subprocess.Popen(
                    arguments, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, start_new_session=True
                )
                self._process = process
                with process:  # closes the pipe
                    try:
                        for line in process.stdout or ():
                            on_line(line)
                    except BaseException:  # a signal that SLURM sends, say: the processes must not outlive this
                        self.stop()
                        raise
        finally:
            _redact(log)
        self._process = None
        return process.returncode

    def stop(self) -> None:
        """Ends the child and all that it has started; nothing where none is alive."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
            finally:  # at once after a second Ctrl-C
                if process.poll() is None:
                    # The processes of the run see that torchrun is gone and end by themselves: `harness.main`.
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def _redact(path: Path) -> None:
    """What the processes wrote themselves, past all loggers."""
    with contextlib.suppress(OSError):  # a full disk
        write_atomically(path, redacted(path.read_text(encoding="utf-8", errors="replace")))

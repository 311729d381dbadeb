"""One run on several devices: torchrun as a child, its events read from its standard output."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cvbench.events import Event
from cvbench.executors.base import killed
from cvbench.machine import Machine
from cvbench.record import write_atomically
from cvbench.redaction import redacted
from cvbench.spec import RunSpec
from cvbench.store import Failure

# What an outer launcher may have left; torchrun's children must not take it for their own.
_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")


class Distributed:
    """Runs each run in its own `torch.distributed.run`, `machine.devices` processes wide."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._process: subprocess.Popen[str] | None = None

    def run(self, run: RunSpec, machine: Machine, folder: Path, tell: Callable[[Event], None]) -> Failure | None:
        """Runs to the end and returns None, or why it failed."""
        job: dict[str, Any] = {
            "spec": run.model_dump(mode="json"),
            "machine": machine.model_dump(mode="json"),
            "folder": str(folder),
        }
        job["launcher"] = os.getpid()
        write_atomically(folder / "job.json", json.dumps(job))
        environment = {key: value for key, value in os.environ.items() if key not in _LAUNCHER}
        environment |= {"OMP_NUM_THREADS": str(self.threads), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={machine.devices}",
                   "-m", "cvbench.harness", str(folder / "job.json")]  # fmt: skip
        with (folder / "processes.txt").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, start_new_session=True
            )
            self._process = process
            with process:  # closes the pipe
                for line in process.stdout or ():
                    kind, _, text = line.partition(" ")
                    if kind == "@event":
                        tell(Event(**(json.loads(text) | {"run": run})))
            code = process.returncode
        _redact(folder / "processes.txt")
        self._process = None
        if code == 0 and (folder / "record.json").is_file():
            (folder / "job.json").unlink()
            return None
        # Each process that failed has left a file; the first to fail is the cause, others only lost their peer.
        for told in sorted(folder.glob("failure-rank*.json"), key=lambda path: path.stat().st_mtime_ns):
            return Failure.model_validate_json(told.read_bytes())
        return killed(run, code, _tail(folder / "processes.txt"))

    def stop(self) -> None:
        """Ends torchrun and all its processes."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                # The processes of the run see that torchrun is gone and end by themselves: `harness.main`.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _redact(path: Path) -> None:
    """What the processes wrote themselves, past all loggers."""
    with contextlib.suppress(OSError):  # a full disk
        write_atomically(path, redacted(path.read_text(encoding="utf-8", errors="replace")))


def _tail(path: Path, lines: int = 40) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

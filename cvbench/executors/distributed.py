"""One run on several devices: torchrun as a child, its events read from its standard output."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cvbench.events import Event
from cvbench.executors.base import OnEvent, killed
from cvbench.failure import Failure
from cvbench.logs import STACKS_SECONDS
from cvbench.machine import Machine
from cvbench.record import write_atomically
from cvbench.spec import RunSpec

# What an outer launcher may have left; torchrun's children must not take it for their own.
_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
# What the first process of a run says when it begins, after torch is imported.
_BEGAN = "@began"


class Distributed:
    """Runs each run in its own `torch.distributed.run`, `machine.devices` processes wide."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._process: subprocess.Popen[str] | None = None

    def run(self, run: RunSpec, machine: Machine, folder: Path, tell: OnEvent) -> Failure | None:
        """Runs to the end and returns None, or why it failed."""
        job: dict[str, Any] = {
            "spec": run.model_dump(mode="json"),
            "machine": machine.model_dump(mode="json"),
            "folder": str(folder),
        }
        job["launcher"] = os.getpid()
        write_atomically(folder / "job.json", json.dumps(job))
        environment = {key: value for key, value in os.environ.items() if key not in _LAUNCHER}
        environment |= {**self.environment, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={machine.devices}",
                   "-m", "cvbench.harness", str(folder / "job.json")]  # fmt: skip
        with (folder / "processes.txt").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, start_new_session=True
            )
            self._process = process
            late = threading.Event()
            limit = threading.Timer((machine.time_limit or 0.0) + STACKS_SECONDS, self._end_late, [late])
            with process:  # closes the pipe
                try:
                    for line in process.stdout or ():
                        if line.startswith(_BEGAN) and machine.time_limit is not None:
                            limit.start()
                        elif (event := heard(line, run)) is not None:
                            tell(event)
                except BaseException:  # a signal that SLURM sends, say: the processes must not outlive this
                    limit.cancel()
                    self.stop()
                    raise
            code = process.returncode
        self._process = None
        limit.cancel()
        if late.is_set():
            return Failure.late(run, machine.time_limit or 0.0, _tail(folder / "processes.txt"))
        if code == 0 and (folder / "record.json").is_file():
            (folder / "job.json").unlink()
            return None
        if (signalled := _first_signal(folder / "processes.txt")) is not None:
            return killed(run, signalled, _tail(folder / "processes.txt"))
        # Each process that failed has left a file; the first to fail is the cause, others only lost their peer.
        for told in sorted(folder.glob("failure-rank*.json"), key=lambda path: path.stat().st_mtime_ns):
            return Failure.model_validate_json(told.read_bytes())
        return killed(run, code, _tail(folder / "processes.txt"))

    def _end_late(self, late: threading.Event) -> None:
        late.set()
        self.stop()

    def stop(self) -> None:
        """Ends torchrun and all its processes."""
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


def _first_signal(path: Path) -> int | None:
    """The exit code (below 0) of the process that torchrun saw fail first, if a signal ended it; it leaves no file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"exitcode\s*:\s*(-\d+)", text.rpartition("Root Cause (first observed failure)")[2])
    return int(found[1]) if found else None


def said(event: Event) -> str:
    """An event of a run as a line of a process's output, which `heard` reads."""
    return "@event " + json.dumps(
        event._asdict() | {"run": event.run.run_id, "metrics": dict(event.metrics), "failure": None}
    )


def heard(line: str, run: RunSpec) -> Event | None:
    """The event that a line of output tells; None where it is something else."""
    kind, _, text = line.partition(" ")
    return Event(**(json.loads(text) | {"run": run})) if kind == "@event" else None


def _tail(path: Path, lines: int = 40) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

"""Devices and the precisions that they have, asked of a child process that imports torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from cvbench.diagnosis.finding import Finding
from cvbench.machine import Machine
from cvbench.spec import Precision

PATIENCE_SECONDS = 120.0


class Probe:
    """The child process; it works while other checks go on."""

    def __init__(self) -> None:
        # The checkout that this process was started from is the one that its child has to look at.
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cvbench.diagnosis.probe"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    def findings(self, machine: Machine) -> Iterator[Finding]:
        """Waits for the child. One that fails is a problem: no run could import torch either."""
        try:
            out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.close()
            yield Finding(
                "warning", "torch", f"its import took more than {PATIENCE_SECONDS:.0f} s", "is the disk slow?"
            )
            return
        if self.process.returncode:
            last = (err.strip().splitlines() or [f"exit code {self.process.returncode}"])[-1]
            yield Finding("problem", "torch", f"cannot be imported: {last}", "install torch and torchvision anew")
            return
        yield from devices(json.loads(out), machine)

    def close(self) -> None:
        """Ends the child, whether it has answered or not."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def devices(found: dict[str, Any], machine: Machine) -> Iterator[Finding]:
    """What the probe saw, held against what the machine asks for."""
    there = {"cpu": os.cpu_count() or 1, "cuda": len(found["cuda"]), "mps": int(found["mps"])}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there["cpu"]
    gpus = ", ".join(found["cuda"]) or ("Apple's MPS" if found["mps"] else "none")
    yield Finding("ok", "devices", f"torch {found['torch']}, {cores} CPU cores, GPUs: {gpus}")
    wanted = machine.accelerator
    if machine.queued:  # runs go to other machines
        yield Finding("ok", "accelerator", f"{wanted}, of the cluster's nodes, which are not looked at")
    elif wanted != "auto" and not there[wanted]:
        yield Finding("problem", "accelerator", f"{wanted} is asked for, and there is none", "use --accelerator cpu")
    elif wanted != "cpu" and there["cuda"] and there["cuda"] < machine.devices:
        rule = f"{machine.devices} are asked for, and there are {there['cuda']}"
        yield Finding("problem", "devices", rule, "use fewer --devices")
    for accelerator, refused in found["refused"].items():
        has = ", ".join(name for name in get_args(Precision) if name not in refused)
        if not refused:
            yield Finding("ok", f"precision on {accelerator}", has)
        for precision, why in refused.items():
            reason = re.sub(r"^.*?recipe\.precision='[^']*': ", "", why)
            yield Finding("ok", f"precision on {accelerator}", f"{precision} would be refused: {reason}")

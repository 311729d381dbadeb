"""Programs and libraries that some parts need: trackers, executors, Java, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

from cvbench.diagnosis.finding import Finding
from cvbench.machine import Machine
from cvbench.metrics.meteor import unavailable

_SLURM = ("sbatch", "squeue", "scancel")


def programs(machine: Machine) -> Iterator[Finding]:
    """A line each; missing ones are no problem unless the machine asks for them."""
    for name in ("wandb", "tensorboard"):
        yield _tracker(name, asked=machine.tracker == name)
    yield _python_package("ray", "executor ray", "ray", asked=machine.executor == "ray")
    yield _python_package("submitit", "executor slurm", "slurm", asked=machine.executor == "slurm")
    yield _slurm(asked=machine.executor == "slurm" and machine.slurm.cluster == "slurm")
    reason = unavailable()
    yield (
        Finding("ok", "METEOR", "Java and its jar are there")
        if reason is None
        else Finding(
            "warning", "METEOR", f"{reason}, so captions are scored without it", "install Java and pycocoevalcap"
        )
    )
    browser = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
    # Boards are plain files that every browser opens, with the reader's own fonts.
    yield Finding("ok", "browser", f"{browser} is there" if browser else "no Chromium, which only developers need")


def _tracker(name: str, *, asked: bool) -> Finding:
    if find_spec(name) is None:
        remedy = f"pip install 'cvbench[{name}]'"
        if asked:  # the run goes on without it
            return Finding("warning", f"tracker {name}", "asked for, but not installed", remedy)
        return Finding("ok", f"tracker {name}", "not installed", f"if you need it: {remedy}")
    if name == "wandb" and (not os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE") == "offline"):
        return Finding("ok", "tracker wandb", "installed; offline (no WANDB_API_KEY, or WANDB_MODE=offline)")
    return Finding("ok", f"tracker {name}", "installed")


def _slurm(*, asked: bool) -> Finding:
    missing = [command for command in _SLURM if shutil.which(command) is None]
    if not missing:
        return Finding("ok", "SLURM", "sbatch, squeue and scancel are there")
    said, remedy = f"not on PATH: {', '.join(missing)}", "start on the cluster's login node"
    if asked:
        return Finding("problem", "SLURM", f"asked for, but {said}", f"{remedy}, or try with slurm: {{cluster: local}}")
    return Finding("ok", "SLURM", said, f"if you need it: {remedy}")


def _python_package(package: str, subject: str, extra: str, *, asked: bool) -> Finding:
    if find_spec(package) is None:
        said, remedy = f"{package} is not installed", f"pip install 'cvbench[{extra}]'"
        if asked:
            return Finding("problem", subject, f"asked for, but {said}", remedy)
        return Finding("ok", subject, said, f"if you need it: {remedy}")
    return Finding("ok", subject, f"{package} is installed")

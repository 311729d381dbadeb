"""What reads a task's files of predictions, by the task's name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cvbench import catalog


def scoring_of(task: str) -> Any:
    """The module that reads a task's predictions. Raises ValueError for a task without one, with the nearest name."""
    files = catalog.PACKAGE / "scoring"
    known = [entry.name for entry in catalog.entries("tasks") if (files / f"{entry.name}.py").is_file()]
    if task not in known:
        near = catalog.nearest(task, known)
        raise ValueError(f"Expected a task that can be scored ({', '.join(known)}), but got {task!r}{near}")
    return import_module(f"cvbench.scoring.{task}")

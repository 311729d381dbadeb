"""Models named on the command line, each followed by its options as key=value: shared by `profile` and `try`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cvbench.spec import ModelRef

# Options that would fetch published weights, which neither what a model costs nor what it returns depends on.
FETCHING = ("weights", "backbone_weights", "weights_backbone", "encoder_weights")


class NamedModel(NamedTuple):
    """A model as it was typed, as a run would name it, and the task that it is of."""

    label: str
    ref: ModelRef
    task: str


def named_models(given: Sequence[str], task: str | None) -> list[NamedModel]:
    """Reads `NAME key=value … NAME …`. task: None: what each model serves; of somebody's own, classification.

    Raises ValueError for unknown tasks, models, options and values, with the nearest.
    """
    from cvbench import catalog

    known = [entry.name for entry in catalog.entries("tasks")]
    if task is not None and task not in known:
        raise ValueError(f"--task: unknown task {task!r}{catalog.nearest(task, known)}")
    asked: list[tuple[str, list[str]]] = []
    for text in given:
        if not re.match(r"[A-Za-z_]\w*=", text):
            asked.append((text, []))
        elif not asked:
            raise ValueError(f"Expected a model before its options, but got {text!r}")
        else:
            asked[-1][1].append(text)
    return [_named(name, pairs, task) for name, pairs in asked]


def _named(name: str, pairs: list[str], task: str | None) -> NamedModel:
    from cvbench import catalog
    from cvbench.spec import ModelRef
    from cvbench.yamlfile import parse_value

    entry = catalog.find("models", name, task)
    given = {key: parse_value(value) for key, _, value in (pair.partition("=") for pair in pairs)}
    for key in FETCHING:
        if given.get(key) is not None:
            raise ValueError(f"{name}: Expected no {key}, but got {given[key]!r}: nothing is downloaded; leave it out")
    values, wrong = catalog.complete(entry, given)
    if wrong:
        raise ValueError("\n".join(wrong.values()))
    served = task or (entry.tasks[0] if entry.tasks else "classification")
    return NamedModel(" ".join([name, *pairs]), ModelRef(name=name, options=values, version=entry.version), served)


def checked_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    """`--input-size`, if it is one. Raises ValueError."""
    if size is not None and min(size) < 1:
        raise ValueError(f"--input-size: Expected a height and width above 0, but got {size[0]} {size[1]}")
    return size

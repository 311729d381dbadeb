"""The fields of a record that follow from evidence and truth alone: for the harness, rescoring and submissions."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from cvbench import catalog
from cvbench.arrays import Arrays


class Scored(NamedTuple):
    """Named as the fields of `Record` are; metrics and directions by name, without the split."""

    metrics: dict[str, float]
    directions: dict[str, str]
    per_class: dict[str, dict[str, float | None]]
    absent_metrics: dict[str, str]
    absent_classes: tuple[str, ...]


def scored(task: str, evidence: Arrays, truth: Arrays) -> Scored:
    """Every score of the test, those that only a test has included. Raises ValueError as `metrics/<task>.py: score`."""
    scores = import_module(f"cvbench.metrics.{task}")
    metrics, per_class = scores.score(evidence, truth), scores.per_class(evidence, truth)
    at_test: Callable[..., dict[str, float]] | None = getattr(scores, "at_test", None)
    metrics |= at_test(evidence, truth) if at_test is not None else {}
    absent: Callable[..., dict[str, str]] | None = getattr(scores, "absent", None)
    _, declared = catalog.metrics(task)
    return Scored(
        metrics=metrics,
        directions={name: declared[name][0] for name in metrics},
        per_class=per_class,
        absent_metrics=absent(metrics) if absent is not None else {},
        absent_classes=tuple(sorted({n for v in per_class.values() for n, value in v.items() if value is None})),
    )


def on_test(values: dict[str, Any]) -> dict[str, Any]:
    """`top1` -> `test/top1`."""
    return {f"test/{name}": value for name, value in values.items()}

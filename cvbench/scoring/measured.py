"""All that evidence and truth tell: what a record says of a tested model, wherever it was tested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cvbench.metrics.alignment import Arrays


class Measured(NamedTuple):
    """metrics: name -> value, those that take long included. per_class, absent: as in a record."""

    metrics: dict[str, float]
    per_class: dict[str, dict[str, float | None]]
    absent: dict[str, str]

    @property
    def absent_classes(self) -> tuple[str, ...]:
        """Classes without a value of some metric, sorted."""
        values = ((name, value) for column in self.per_class.values() for name, value in column.items())
        return tuple(sorted({name for name, value in values if value is None}))


def measure(scores: Any, evidence: Arrays, truth: Arrays, *, primary: str, dataset: str) -> Measured:
    """Everything that `scores`, a module of `cvbench.metrics`, says of this evidence.

    Raises ValueError as its `score`, and where nothing is there that `primary` is defined by.
    """
    found: dict[str, float] = scores.score(evidence, truth)
    at_test: Callable[..., dict[str, float]] | None = getattr(scores, "at_test", None)
    found |= at_test(evidence, truth) if at_test is not None else {}
    if primary not in found:
        raise ValueError(
            f"{dataset}: split 'test': Expected something that the primary metric {primary} is defined by, but there "
            f"is nothing; rank by one of {', '.join(found)}"
        )
    absent: Callable[..., dict[str, str]] | None = getattr(scores, "absent", None)
    return Measured(found, scores.per_class(evidence, truth), absent(found) if absent is not None else {})

"""Predictions and truth that must name the same samples."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from cvbench.data.base import Dataset, short_id


def same_names(expected: Sequence[str], given: Sequence[str], kind: str, truth: Path | str, predictions: Path) -> None:
    """Checks that both sides hold the same ids (or files), in whatever order. Raises ValueError."""
    missing, extra = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
    if missing:
        raise ValueError(
            f"{predictions}: expected a prediction for every {kind} of {truth}, but {len(missing)} are missing: "
            f"{_some(missing)}; a score is over all of them, predict these too"
        )
    if extra:
        close = difflib.get_close_matches(extra[0], expected, n=1)
        near = f" (nearest in the truth: {close[0]!r})" if close else ""
        raise ValueError(
            f"{predictions}: expected only what {truth} holds, but {len(extra)} more: {_some(extra)}{near}; remove them"
        )


def places_of(dataset: Dataset, given: Sequence[str], kind: str, predictions: Path) -> list[int]:
    """Which of the `given` names is each sample of the test split, in the split's order.

    Samples are named by their ids, or all of them by their `short_id`. Raises ValueError where a sample is missing, or
    a name is none of theirs.
    """
    ids = list(dataset.splits["test"].ids)
    short = [short_id(name) for name in ids]
    called = short if len(set(short)) == len(ids) and not set(given) & set(ids) else ids
    same_names(called, given, kind, predicted_split(dataset), predictions)
    place = {name: row for row, name in enumerate(given)}
    return [place[name] for name in called]


def predicted_split(dataset: Dataset) -> str:
    """How errors call what is predicted."""
    return f"the test split of {dataset.info.name}"


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""Predictions and truth that must name the same samples."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path


def same_names(expected: Sequence[str], given: Sequence[str], kind: str, truth: Path, predictions: Path) -> None:
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


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""Evidence and truth brought to one order by sample id, so that no score is ever computed on shifted rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

# What has one row a sample; everything else (`classes`, the split's `confusion`) is left as it is.
_PER_SPLIT = frozenset({"classes", "confusion"})


def aligned(evidence: Arrays, truth: Arrays) -> dict[str, NDArray[Any]]:
    """The evidence with its rows in the order of `truth["ids"]`.

    Raises:
        ValueError: no samples, an id that stands twice, a sample without evidence, or evidence of an unknown sample;
            a score is only defined where every sample is scored exactly once.
    """
    expected, given = np.asarray(truth["ids"]), np.asarray(evidence["ids"])
    if len(expected) == 0:
        raise ValueError("Expected at least one sample to score, but the truth has none")
    if np.array_equal(expected, given) and len(np.unique(expected)) == len(expected):
        return dict(evidence)
    for name, ids in (("truth", expected), ("evidence", given)):
        values, counts = np.unique(ids, return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"Expected every id once, but the {name} has {_some(values[counts > 1])} more than once")
    missing, unknown = np.setdiff1d(expected, given), np.setdiff1d(given, expected)
    if len(missing):
        raise ValueError(f"Expected evidence for all {len(expected)} samples, but it lacks {_some(missing)}")
    if len(unknown):
        raise ValueError(f"Expected evidence for the truth's {len(expected)} samples only, but got {_some(unknown)}")
    order = np.argsort(given)[np.argsort(np.argsort(expected))]
    return {key: value if key in _PER_SPLIT else value[order] for key, value in evidence.items()}


def _some(ids: NDArray[Any]) -> str:
    names = ", ".join(repr(str(name)) for name in ids[:3])
    return names if len(ids) <= 3 else f"{names} and {len(ids) - 3} more"

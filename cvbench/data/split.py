"""Fixed splits by the hash of a name: the same on every machine, unchanged when samples are added or removed."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import Sample, Split


def hashed(ids: Sequence[str], share: float, salt: str = "", groups: Sequence[str] | None = None) -> NDArray[np.bool_]:
    """True for the samples that a fixed share takes: the first 8 bytes of sha256(salt + id) / 2**64 < share.

    The share is met on average, not exactly: each name decides for itself, so a larger or smaller pack of the same
    data set keeps every decision. Another salt gives an independent draw (two splits from one list of ids).

    Args:
        ids: one stable name a sample.
        share: in [0, 1].
        groups: one name a sample, hashed in the id's stead, so that samples of one group stay together.

    Returns:
        bool (N,).

    Raises:
        ValueError: a share outside [0, 1], or groups of another length than ids.

    >>> hashed(["a", "b", "c", "d"], 0.5).tolist()
    [False, True, True, True]
    >>> hashed(["a", "b", "c", "d"], 0.5, groups=["x", "y", "x", "y"]).tolist()
    [True, False, True, False]
    """
    if not 0 <= share <= 1:
        raise ValueError(f"Expected `share` to be in [0, 1], but got {share}")
    if groups is not None and len(groups) != len(ids):
        raise ValueError(f"Expected one group for each of {len(ids)} samples, but got {len(groups)} groups")
    limit = int(share * 2**64)  # exact: scaling a float by a power of two does not round
    names = ids if groups is None else groups
    return np.fromiter((_position(salt + name) < limit for name in names), dtype=np.bool_, count=len(names))


class FixedSample(Split):
    """At most `most` samples of a split, always the same: those whose ids hash lowest, in the split's order."""

    def __init__(self, split: Split, most: int) -> None:
        lowest = sorted(range(len(split)), key=lambda index: _position("sample/" + split.ids[index]))[:most]
        self.split, self.rows = split, sorted(lowest)
        self.ids = [split.ids[row] for row in self.rows]

    def __getitem__(self, index: int) -> Sample:
        return self.split[self.rows[index]]

    def target(self, index: int) -> Any:
        return self.split.target(self.rows[index])


def _position(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big")

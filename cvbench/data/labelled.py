"""Two kinds of split for classification: arrays that are read at first use, and image files with one label each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import DataError, Sample, Split
from cvbench.data.files import read_image

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


class LazyArrays:
    """Images (N, H, W, C) and labels (N,) of one published file set: read once, at first use, for all its splits."""

    def __init__(self, read: Callable[[], Arrays]) -> None:
        self._read = read

    @cached_property
    def arrays(self) -> Arrays:
        return self._read()

    def __getstate__(self) -> dict[str, Any]:
        return {"_read": self._read}  # another process reads the files itself: that is cheaper than pickling pixels


class RowsSplit(Split):
    """The rows of `source` that belong to one role."""

    def __init__(self, source: LazyArrays, rows: NDArray[np.int64], ids: Sequence[str]) -> None:
        self.source, self.rows, self.ids = source, rows, ids

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.source.arrays[0][self.rows[index]], self.target(index))

    def target(self, index: int) -> int:
        return int(self.source.arrays[1][self.rows[index]])

    def bulk(self) -> Arrays:
        images, labels = self.source.arrays
        return images[self.rows], labels[self.rows]


def rows_split(source: LazyArrays, ids: Sequence[str], chosen: NDArray[np.bool_]) -> RowsSplit:
    """The rows where `chosen` is true; `ids` are those of all rows."""
    rows = np.flatnonzero(chosen)
    return RowsSplit(source, rows, [ids[row] for row in rows.tolist()])


class FilesSplit(Split):
    """Image files below `folder` with a class index each; a file is decoded to RGB when its sample is asked for."""

    def __init__(self, folder: Path, names: Sequence[str], labels: Sequence[int], ids: Sequence[str]) -> None:
        self.folder, self.names, self.labels, self.ids = folder, names, labels, ids

    def __getitem__(self, index: int) -> Sample:
        return Sample(read_image(self.folder / self.names[index]), self.labels[index])

    def target(self, index: int) -> int:
        return self.labels[index]

    def where(self, chosen: NDArray[np.bool_]) -> FilesSplit:
        """The samples where `chosen` is true, in the same order."""
        rows = np.flatnonzero(chosen).tolist()
        parts = ([column[row] for row in rows] for column in (self.names, self.labels, self.ids))
        return FilesSplit(self.folder, *parts)  # type: ignore[arg-type]


def not_empty(dataset: str, splits: dict[str, Split], remedy: str) -> dict[str, Split]:
    """Returns `splits` when each has samples and no id twice; else raises an error that names the split.

    Raises:
        DataError
    """
    for role, split in splits.items():
        if not len(split):
            raise DataError(f"The split {role} of {dataset} is empty. {remedy}")
        if len(set(split.ids)) != len(split.ids):
            twice, _ = Counter(split.ids).most_common(1)[0]
            raise DataError(f"The split {role} of {dataset} has {twice!r} more than once; rename or remove one of them")
    return splits

"""What CIFAR-10 and CIFAR-100 share: records of 32×32 RGB, from the official binary or python version.

The python version is a pickle, and unpickling runs what the file says. It is read here by a reader that knows only the
three names which those files use for their array, puts inert stand-ins in their place, and refuses everything else.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import DataError, Dataset, DatasetInfo
from cvbench.data.files import need
from cvbench.data.labelled import Arrays, LazyArrays, not_empty, rows_split
from cvbench.data.revision import revision
from cvbench.data.split import hashed

PIXELS = 3 * 32 * 32
VAL_SHARE = 0.1  # 5,000 of 50,000, as the ResNet paper holds out


class Version(NamedTuple):
    """One published packing: its folder, its files by official split, and how many label bytes precede a record."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_bytes: int = 0  # binary only
    label_key: bytes = b""  # python only


def cifar_dataset(
    root: Path,
    *,
    name: str,
    classes: tuple[str, ...],
    binary: Version,
    python: Version,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Dataset:
    """A `Dataset` of either official version below `root`, the binary one where both are there.

    Ids, order, pixels, labels and protocol are the same for both; the revision names the files, so it differs.

    Raises:
        DataError: neither is there, a file is missing, truncated or not of the format.
    """
    remedy = f"Fetch it with `cvbench data fetch {name}`."
    version = python if (root / python.folder).is_dir() and not (root / binary.folder).is_dir() else binary
    folder = need(root / version.folder, name, remedy, root=root)
    sources, ids = {}, {}
    for part, names in {"train": version.train, "test": version.test}.items():
        files = [need(folder / file, name, remedy) for file in names]
        if version is binary:
            count = sum(_count(file, version.label_bytes + PIXELS) for file in files)
            source = LazyArrays(partial(_joined, partial(_read_binary, version.label_bytes, len(classes)), files))
        else:  # a pickle has no header that tells its count: it is read at once
            source = LazyArrays(partial(_joined, partial(_read_python, version.label_key, len(classes)), files))
            count = len(source.arrays[1])
        sources[part], ids[part] = source, [f"{part}/{row:05d}" for row in range(count)]
    held_out = hashed(ids["train"], VAL_SHARE)
    splits = {
        "train": rows_split(sources["train"], ids["train"], ~held_out),
        "val": rows_split(sources["train"], ids["train"], held_out),
        "test": rows_split(sources["test"], ids["test"], np.ones(len(ids["test"]), np.bool_)),
    }
    not_empty(name, dict(splits), f"Delete {folder} and fetch it again with `cvbench data fetch {name}`.")
    info = DatasetInfo(
        name=name,
        task="classification",
        protocol={
            "classes": len(classes),
            "roles": {
                "train": "official train without val",
                "val": "1/10 of official train, by hash of the id",
                "test": "official test",
            },
        },
        revision=revision(root, [folder / file for file in (*version.train, *version.test)]),
        classes=classes,
        split_sizes={role: len(split) for role, split in splits.items()},
        licence="none stated; cite Krizhevsky 2009",
        redistributable=False,
        mean=mean,
        std=std,
        input_size=(32, 32),
    )
    return Dataset(info, splits)


def _joined(read: Callable[[Path], Arrays], files: list[Path]) -> Arrays:
    images, labels = zip(*(read(file) for file in files), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _count(path: Path, record: int) -> int:
    size = path.stat().st_size
    if size == 0 or size % record:
        raise DataError(
            f"{path}: expected records of {record} bytes, but its {size} bytes are no multiple of that: "
            "the file is truncated or damaged; delete its folder and fetch it again"
        )
    return size // record


def _read_binary(label_bytes: int, classes: int, path: Path) -> Arrays:
    """Label bytes (the last is the class), then 1024 red, 1024 green, 1024 blue, row by row."""
    count = _count(path, label_bytes + PIXELS)
    records = np.fromfile(path, np.uint8).reshape(count, label_bytes + PIXELS)
    return _arrays(path, records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64), classes)


def _read_python(label_key: bytes, classes: int, path: Path) -> Arrays:
    try:
        with open(path, "rb") as file:
            content = _Reader(file, encoding="bytes").load()
        state = content[b"data"].state  # (version, shape, dtype, Fortran order, bytes): numpy's __setstate__
        (count, width), fortran, pixels = state[1], state[3], state[4]
        labels = np.array(content[label_key], dtype=np.int64)
        if not (width == PIXELS and not fortran and len(pixels) == count * width and labels.shape == (count,)):
            raise ValueError(f"shape {(count, width)} in {len(pixels)} bytes, labels of shape {labels.shape}")
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataError(
            f"{path}: not the official python version of CIFAR, or damaged ({error}); nothing in it was run. "
            "Delete its folder and fetch the dataset again"
        ) from error
    return _arrays(path, np.frombuffer(pixels, np.uint8).reshape(count, PIXELS), labels, classes)


def _arrays(path: Path, pixels: NDArray[np.uint8], labels: NDArray[np.int64], classes: int) -> Arrays:
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(
            f"{path}: expected labels from 0 to {classes - 1}, but got {labels.min()} to {labels.max()}; fetch it again"
        )
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


class _Array:
    """Stands in for numpy's array while unpickling: takes its state and does nothing with it."""

    state: Any = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which CIFAR's files do not use: refused")
        return _Array

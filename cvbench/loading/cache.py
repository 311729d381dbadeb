"""Decode once: a split at its input size as uint8 memory maps, built once under a lock and shared by all runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Prepare = Callable[[int], tuple[NDArray[np.uint8], NDArray[Any]]]


class Ragged(NamedTuple):
    """N arrays of different lengths, one after the other: rows (R, ...), ends int64 (N,), where each one ends."""

    rows: NDArray[Any]
    ends: NDArray[np.int64]

    def at(self, index: NDArray[np.int64]) -> list[NDArray[Any]]:
        """The arrays at `index` (B,)."""
        starts = np.concatenate([[0], self.ends[:-1]])
        return [self.rows[starts[place] : self.ends[place]] for place in index.tolist()]


class Arrays(NamedTuple):
    """images: uint8 (N, H, W, C). targets: (N, ...), all of one shape, or ragged."""

    images: NDArray[np.uint8]
    targets: NDArray[Any] | Ragged


class UnequalTargetsError(Exception):
    """The prepared targets of a split differ in shape, so they cannot be one array."""


class CacheError(OSError):
    """The cache's folder cannot be used: no permission, no space. The data are not at fault."""


def cache_key(*facts: Any) -> str:
    """16 hex digits of what the cached pixels depend on: JSON values. Raises TypeError for anything else."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def cached(folder: Path, size: int, prepare: Prepare, *, ragged: bool = False) -> Arrays:
    """The arrays of `size` > 0 samples under `folder`, from disk or by calling `prepare(index)` for each.

    ragged: targets differ in their number of rows. Several processes may ask at once: one builds, the others wait for
    it. Leaves nothing half-built behind.

    Raises:
        CacheError: the folder cannot be written (a full disk, a read-only home) or read.
        UnequalTargetsError: see there. And whatever `prepare` raises.
    """
    # Renamed into place when whole, so its presence is enough; a finished cache may well be read-only.
    if not folder.is_dir():
        _build_once(folder, size, _build_ragged if ragged else _build, prepare)
    with _cache_errors(folder):
        images, targets = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "targets"))
        return Arrays(images, Ragged(targets, np.load(folder / "ends.npy")) if ragged else targets)


def _build_once(folder: Path, size: int, build: Callable[[Path, int, Prepare], None], prepare: Prepare) -> None:
    building = folder.with_suffix(".building")
    with _cache_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_suffix(".lock").open("a")
    with lock:
        with _cache_errors(folder):
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.is_dir():  # another process was first
                return
            shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
            building.mkdir()
        try:
            build(building, size, prepare)
            with _cache_errors(folder):
                building.rename(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _build(folder: Path, size: int, prepare: Prepare) -> None:
    image, target = prepare(0)
    shape = target.shape
    with (
        _rows(folder / "images.npy", size, image) as write_image,
        _rows(folder / "targets.npy", size, target) as write_target,
    ):
        for index in range(size):
            if index:
                image, target = prepare(index)
            if target.shape != shape:
                raise UnequalTargetsError
            write_image(image)
            write_target(target)


def _build_ragged(folder: Path, size: int, prepare: Prepare) -> None:
    image, target = prepare(0)
    rows = [target]  # numbers of things, not pixels: they fit into memory
    with _rows(folder / "images.npy", size, image) as write_image:
        for index in range(size):
            if index:
                image, target = prepare(index)
                rows.append(target)
            write_image(image)
    every = np.concatenate(rows)
    with _rows(folder / "targets.npy", len(every), every[0]) as write_row:
        for row in every:
            write_row(row)
    ends = np.cumsum([len(target) for target in rows])
    with _rows(folder / "ends.npy", size, ends[0]) as write_end:
        for end in ends:
            write_end(end)


@contextlib.contextmanager
def _rows(
    path: Path, size: int, first: NDArray[Any] | np.generic
) -> Iterator[Callable[[NDArray[Any] | np.generic], None]]:
    """Gives the function that writes the next of `size` rows like `first` into an .npy file.

    Not through a memory map: on a full disk that ends the process by a signal, where a write raises.
    """
    shape, dtype = first.shape, first.dtype

    def write(row: NDArray[Any] | np.generic) -> None:
        assert (row.dtype, row.shape) == (dtype, shape), f"expected {dtype} {shape}, but got {row.dtype} {row.shape}"
        with _cache_errors(path):
            file.write(row.tobytes())

    with _cache_errors(path):
        file = path.open("wb")
    try:
        header = {"shape": (size, *shape), "fortran_order": False, "descr": np.lib.format.dtype_to_descr(dtype)}
        with _cache_errors(path):
            np.lib.format.write_array_header_2_0(file, header)
        yield write
        with _cache_errors(path):
            file.flush()
            os.fsync(file.fileno())  # before the rename: a power failure must not leave a whole-looking cache
    finally:
        with contextlib.suppress(OSError):  # closing writes what is buffered; the error is on its way already
            file.close()


@contextlib.contextmanager
def _cache_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheError(error.errno, error.strerror, str(error.filename or path)) from error

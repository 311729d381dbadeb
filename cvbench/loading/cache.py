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


class Arrays(NamedTuple):
    """images: uint8 (N, H, W, C). targets: (N, ...), all of one shape."""

    images: NDArray[np.uint8]
    targets: NDArray[Any]


class UnequalTargetsError(Exception):
    """The prepared targets of a split differ in shape, so they cannot be one array."""


class CacheError(OSError):
    """The cache's folder cannot be used: no permission, no space. The data are not at fault."""


def cache_key(*facts: Any) -> str:
    """16 hex digits of what the cached pixels depend on: JSON values. Raises TypeError for anything else."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def cached(folder: Path, size: int, prepare: Prepare) -> Arrays:
    """The arrays of `size` > 0 samples under `folder`, from disk or by calling `prepare(index)` for each.

    Several processes may ask at once: one builds, the others wait for it. Leaves nothing half-built behind.

    Raises:
        CacheError: the folder cannot be written (a full disk, a read-only home) or read.
        UnequalTargetsError: see there. And whatever `prepare` raises.
    """
    # Renamed into place when whole, so its presence is enough; a finished cache may well be read-only.
    if not folder.is_dir():
        _build_once(folder, size, prepare)
    with _cache_errors(folder):
        return Arrays(np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "targets.npy", mmap_mode="r"))


def _build_once(folder: Path, size: int, prepare: Prepare) -> None:
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
            _build(building, size, prepare)
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


@contextlib.contextmanager
def _rows(path: Path, size: int, first: NDArray[Any]) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Gives the function that writes the next of `size` rows like `first` into an .npy file.

    Not through a memory map: on a full disk that ends the process by a signal, where a write raises.
    """
    shape, dtype = first.shape, first.dtype

    def write(row: NDArray[Any]) -> None:
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

"""Decode once: a split at its input size as uint8 memory maps, built once under a lock and shared by all runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

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
    with _cache_errors():
        return Arrays(np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "targets.npy", mmap_mode="r"))


def _build_once(folder: Path, size: int, prepare: Prepare) -> None:
    with _cache_errors():
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_suffix(".lock").open("a")
    with lock:
        with _cache_errors():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.is_dir():  # another process was first
                return
            building = folder.with_suffix(".building")
            shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
            building.mkdir()
        try:
            _build(building, size, prepare)
            with _cache_errors():
                building.rename(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _build(folder: Path, size: int, prepare: Prepare) -> None:
    first_image, first_target = sample = prepare(0)
    with _Rows(folder / "images.npy", size, first_image) as images, _Rows(folder / "targets.npy", size, first_target) as targets:
        for index in range(size):
            image, target = prepare(index) if index else sample
            if target.shape != first_target.shape:
                raise UnequalTargetsError
            images.write(image)
            targets.write(target)


class _Rows:
    """An .npy file of `size` rows like `first`, written one by one.

    Not through a memory map: on a full disk that ends the process by a signal, where a write raises.
    """

    def __init__(self, path: Path, size: int, first: NDArray[Any]) -> None:
        self.path, self.shape, self.dtype = path, (size, *first.shape), first.dtype
        self.file: BinaryIO | None = None

    def __enter__(self) -> _Rows:
        with _cache_errors():
            self.file = self.path.open("wb")
            header = {"shape": self.shape, "fortran_order": False, "descr": np.lib.format.dtype_to_descr(self.dtype)}
            np.lib.format.write_array_header_2_0(self.file, header)
        return self

    def write(self, row: NDArray[Any]) -> None:
        assert row.shape == self.shape[1:] and row.dtype == self.dtype and self.file is not None, "rows differ"
        with _cache_errors():
            self.file.write(np.ascontiguousarray(row).data)

    def __exit__(self, kind: object, *_: object) -> None:
        assert self.file is not None
        try:
            if kind is None:
                with _cache_errors():
                    self.file.flush()
                    os.fsync(self.file.fileno())  # before the rename: a power failure must not leave a whole-looking cache
        finally:
            with contextlib.suppress(OSError):
                self.file.close()


@contextlib.contextmanager
def _cache_errors() -> Any:
    try:
        yield
    except OSError as error:
        raise CacheError(error.errno, error.strerror, error.filename) from error

"""Decode once: a split at its input size as uint8 memory maps, built once under a lock and shared by all runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable
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


def cache_key(*facts: Any) -> str:
    """16 hex digits of what the cached pixels depend on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def cached(folder: Path, size: int, prepare: Prepare) -> Arrays:
    """The arrays of `size` samples under `folder`, from disk or by calling `prepare(index)` for each.

    Raises UnequalTargetsError, OSError (a full disk), and whatever `prepare` raises; leaves nothing half-built behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            building = folder.with_suffix(".building")
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            try:
                _build(building, size, prepare)
                building.rename(folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    return Arrays(np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "targets.npy", mmap_mode="r"))


def _build(folder: Path, size: int, prepare: Prepare) -> None:
    images = targets = None
    for index in range(size):
        image, target = prepare(index)
        if images is None or targets is None:
            images = _map(folder / "images.npy", (size, *image.shape), image.dtype)
            targets = _map(folder / "targets.npy", (size, *target.shape), target.dtype)
        if target.shape != targets.shape[1:]:
            raise UnequalTargetsError
        images[index], targets[index] = image, target
    for array in (images, targets):
        if array is not None:
            array.flush()


def _map(path: Path, shape: tuple[int, ...], dtype: Any) -> Any:
    # Opened with its final length but sparse; a full disk would kill the process by SIGBUS, so reserve it now.
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with path.open("r+b") as file:
        import os

        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array

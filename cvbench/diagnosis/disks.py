"""Folders that runs write into: permission, room, and locks that hold."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cvbench.diagnosis.finding import Finding
from cvbench.machine import Machine

# A run leaves its model (for a while twice), evidence and pictures: 50 MB for a small one, 1 GB for a large one.
LITTLE_BYTES, NONE_BYTES = 2 << 30, 64 << 20


def disks(store: Path, machine: Machine) -> Iterator[Finding]:
    """The store, the cache and the data root, a line each, and the store's locks."""
    yield _writable("store", store, "name another with --store", needed=True)
    yield _locks(store)
    # A cache that cannot be written costs speed only.
    yield _writable("cache", machine.cache, "name another with --cache", needed=False)
    room = _room(machine.cache)
    if room is not None and room < machine.cache_limit_bytes:
        yield Finding(
            "warning", "cache", f"room for {_size(room)}, while data sets of up to {_size(machine.cache_limit_bytes)} "
            "are cached", "a smaller --cache-limit, or another --cache",
        )  # fmt: skip
    yield _data_root(machine.data_root)


def _data_root(root: Path) -> Finding:
    remedy = "name it with --data-root or CVBENCH_DATA; embedded and generated data sets need none"
    if not root.is_dir():
        return Finding("warning", "data root", f"{root} is no folder", remedy)
    if not os.access(root, os.R_OK | os.X_OK):
        return Finding("problem", "data root", f"{root} cannot be read", remedy)
    return Finding("ok", "data root", f"{root.resolve()}, {_size(_room(root) or 0)} free")


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the first of those around it that is there: it decides what can be made below it."""
    whole = path.absolute()
    return next(folder for folder in (whole, *whole.parents) if folder.exists())


def _room(path: Path) -> int | None:
    try:
        return shutil.disk_usage(nearest_folder(path)).free
    except OSError:
        return None


def _writable(name: str, path: Path, remedy: str, *, needed: bool) -> Finding:
    folder = nearest_folder(path)
    try:
        with tempfile.NamedTemporaryFile(prefix=".cvbench-doctor-", dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = f"{folder} cannot be written: {error.strerror or error}"
        return Finding("problem" if needed else "warning", name, reason, remedy)
    room = _room(path) or 0
    if room < NONE_BYTES and needed:
        return Finding("problem", name, f"{folder}: no more than {_size(room)} free", remedy)
    if room < LITTLE_BYTES and needed:
        return Finding("warning", name, f"{folder}: {_size(room)} free, which large models may fill", remedy)
    return Finding("ok", name, f"{path.absolute()}, {_size(room)} free")


def _locks(store: Path) -> Finding:
    """A second taker must be refused: some network disks grant every lock, or none."""
    remedy = "keep the store on a local disk, or mount with locks (NFS 4, Lustre with -o flock)"
    try:
        with tempfile.NamedTemporaryFile(prefix=".cvbench-doctor-", dir=nearest_folder(store)) as first:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with open(first.name) as second, contextlib.suppress(BlockingIOError):
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return Finding("problem", "locks", "two takers hold one lock on the store's disk", remedy)
    except OSError as error:
        return Finding("problem", "locks", f"the store's disk gives none: {error.strerror or error}", remedy)
    return Finding("ok", "locks", "hold on the store's disk, at least on this machine")


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 1 << 30 else f"{number / 2**20:.0f} MiB"

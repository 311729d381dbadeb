"""Which copy of a dataset was used: a short hash of what was found on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from hashlib import file_digest, sha256
from pathlib import Path

from cvbench.data.base import DataError


def revision(root: Path | str, paths: Iterable[Path | str], annotations: Iterable[Path | str] = ()) -> str:
    """12 hex digits over the sorted relative paths and sizes of `paths` and the full content of `annotations`.

    Pixels are not read: a million images cost a million `stat` calls, a few seconds. (`cvbench data verify` reads
    everything.) Order, repetition and the place of `root` do not matter.

    Args:
        root: the folder that relative paths start from and that names are taken relative to.
        paths: image and mask files, absolute or relative to `root`.
        annotations: files that are small and decide what is read: label files, lists.

    Raises:
        DataError: a file is not there.
    """
    folder = os.path.abspath(root)
    try:
        sizes = {name: os.stat(full).st_size for name, full in _named(folder, paths)}
        contents = {name: _sha256(full) for name, full in _named(folder, annotations)}
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: no such file; the dataset is incomplete, copy or unpack it again") from None
    return revision_of(sizes, contents)


def revision_of(sizes: Mapping[str, int], contents: Mapping[str, str]) -> str:
    """The same hash from names, sizes in bytes and sha256 sums, for files that mean the same in several wrappings."""
    lines = [f"{name}\t{size}\n" for name, size in sizes.items()]
    digest = sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape"))
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\n{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:12]


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _named(folder: str, paths: Iterable[Path | str]) -> Iterable[tuple[str, str]]:
    """(name relative to `folder` with forward slashes, full path). Plain strings: Path objects cost 5 times as much."""
    prefix = folder.rstrip(os.sep) + os.sep
    for path in paths:
        text = os.fspath(path)
        full = text if text.startswith(prefix) else os.path.join(folder, text)
        name = full[len(prefix) :] if full.startswith(prefix) else os.path.relpath(full, folder)
        yield name.replace(os.sep, "/"), full

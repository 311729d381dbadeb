"""A stranger's evidence.npz, got and opened: looked at before anything is unpacked, and never unpickled."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cvbench.arrays import Arrays, read_arrays
from cvbench.auditing.fetching import EvidenceError, Fetch
from cvbench.record import EvidenceFile, Record

BESIDE = "evidence.npz"
MOST_MEMBERS = 64
# Unpacked bytes to those of --limit: counts of classes that hardly occur pack to a tenth.
EXPANSION = 20


def evidence_of(path: Path, record: Record, fetch: Fetch) -> Arrays | None:
    """What the record's scores follow from: from its URL, else beside it; None where it says nothing of any.

    Raises EvidenceError for a file that is not there, too large, or another than the record names.
    """
    named = record.evidence
    if named is None:
        return None
    data = fetch(named.url, named.size_bytes) if named.url is not None else _beside(path, named, fetch)
    if data is None:
        return None
    found = hashlib.sha256(data).hexdigest()
    if found != named.sha256:
        raise EvidenceError(f"Expected SHA-256 {named.sha256}, but got {found}: another file, or a damaged one")
    return opened(data, EXPANSION * fetch.most_bytes)


def _beside(path: Path, named: EvidenceFile, fetch: Fetch) -> bytes | None:
    file = path.parent / BESIDE
    if file.is_symlink():
        raise EvidenceError(f"{file}: Expected a file, but got a link")
    if not file.is_file():
        return None
    fetch.check_size(named.size_bytes)
    if file.stat().st_size != named.size_bytes:
        raise EvidenceError(f"{file}: Expected {named.size_bytes} bytes, but got {file.stat().st_size}")
    return file.read_bytes()


def opened(data: bytes, most_unpacked: int) -> Arrays:
    """The arrays of an npz. Raises EvidenceError where it is none, or would unpack to more than it should."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_members(archive, most_unpacked)
        arrays = read_arrays(io.BytesIO(data))
    except EvidenceError:
        raise
    except Exception as error:  # a stranger's bytes make zipfile and numpy raise nearly anything
        raise EvidenceError(
            f"Expected an npz, but reading it gave {type(error).__name__}: {str(error)!a:.200}"
        ) from None
    for name, array in arrays.items():
        if array.dtype == object and not all(isinstance(text, str) for text in array.tolist()):
            raise EvidenceError(f"Expected texts in {name!a:.40}, but got something else")
    return arrays


def _check_members(archive: zipfile.ZipFile, most_unpacked: int) -> None:
    """By the sizes that the archive declares, beyond which zipfile never reads, and by each array's header."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise EvidenceError(f"Expected at most {MOST_MEMBERS} arrays, but got {len(members)}")
    total = sum(member.file_size for member in members)
    if total > most_unpacked:
        raise EvidenceError(f"Expected at most {most_unpacked} bytes unpacked, but the archive declares {total}")
    if len({member.filename for member in members}) < len(members):
        raise EvidenceError("Expected arrays of different names, but got one twice")
    for member in members:
        with archive.open(member) as file:
            _check_header(file, member)


def _check_header(file: Any, member: zipfile.ZipInfo) -> None:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise EvidenceError(f"Expected an array in version 1 or 2 of npy, but got {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.kind not in "biufU" or not dtype.itemsize:
        raise EvidenceError(f"Expected numbers or text in {member.filename!a:.40}, but got {str(dtype)!a:.40}")
    if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
        raise EvidenceError(f"Expected {member.filename!a:.40} to be as large as its header says, but it is not")

"""Evidence and truth on disk: .npz files that hold numbers and text, and never a pickle."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

# Text is kept as its JSON in UTF-8: an array of numpy's own strings is as wide as its longest, so that one caption of
# ten thousand words would cost gigabytes.
_TEXT = ".json"
# Unpacked, of one file: 100 boxes, labels and scores for each of COCO's 40,670 test images are 0.1 GiB. A few kilobytes
# can unpack to anything.
MOST_BYTES = 4 << 30


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Writes an .npz that `numpy.load(allow_pickle=False)` reads, atomically. Arrays of objects: (N,), all str."""
    plain = {
        name + _TEXT if array.dtype == object else name: _encoded(array) if array.dtype == object else array
        for name, array in arrays.items()
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp.npz")
    try:
        np.savez_compressed(temporary, **plain)  # type: ignore[arg-type]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_arrays(path: Path) -> Arrays:
    """What `save_arrays` wrote. Raises ValueError that names the file where it is missing, damaged or holds objects."""
    try:
        # opened here, because numpy leaves the file of a broken archive open
        with path.open("rb") as file:
            return read_arrays(file)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path}: Expected arrays that the run has left, but reading them gave: {error}") from None


def read_arrays(file: BinaryIO) -> Arrays:
    """What `save_arrays` wrote, from an open file. Raises what reading it gives; never unpickles."""
    with np.load(file, allow_pickle=False) as arrays:
        if sum(member.file_size for member in arrays.zip.infolist()) > MOST_BYTES:
            raise ValueError(f"they unpack to more than {MOST_BYTES >> 30} GiB")
        return {
            name.removesuffix(_TEXT): texts(json.loads(array.tobytes())) if name.endswith(_TEXT) else array
            for name, array in arrays.items()
        }


def digest(arrays: Arrays) -> str:
    """SHA-256, in hex, of names, types, shapes and values: equal for equal arrays, however a file packs them."""
    whole = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        plain = _encoded(array) if array.dtype == object else np.ascontiguousarray(array)
        little = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
        whole.update(json.dumps([name, array.dtype == object, little.dtype.str, plain.shape]).encode())
        whole.update(little.tobytes())
    return whole.hexdigest()


def texts(several: list[str]) -> NDArray[np.object_]:
    """Strings of any length as an array (N,)."""
    array = np.empty(len(several), dtype=object)
    array[:] = several
    return array


def _encoded(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(array.tolist()).encode(), dtype=np.uint8)

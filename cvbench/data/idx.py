"""The idx format of MNIST and its descendants, raw or gzipped: http://yann.lecun.com/exdb/mnist/ describes it."""

from __future__ import annotations

import gzip
import zlib
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import DataError, Dataset, DatasetInfo
from cvbench.data.files import need
from cvbench.data.labelled import Arrays, LazyArrays, not_empty, rows_split
from cvbench.data.revision import revision_of
from cvbench.data.split import hashed

# About as many samples (5,000 of 60,000) as the published comparisons hold out.
VAL_SHARE = 1 / 12
PARTS = {"train": "train", "test": "t10k"}


def idx_dataset(
    root: Path,
    folder: str,
    *,
    name: str,
    classes: tuple[str, ...],
    licence: str,
    redistributable: bool,
    mean: float,
    std: float,
) -> Dataset:
    """A `Dataset` of the four files of MNIST's layout in `root / folder`; headers and labels are read, pixels later.

    Raises:
        DataError: a file is missing, truncated, or disagrees with its partner.
    """
    base = need(root / folder, name, f"Fetch it with `cvbench data fetch {name}`.", root=root)
    sources, ids, sizes, contents, shapes = {}, {}, {}, {}, {}
    for role, part in PARTS.items():
        images = _find(base, f"{part}-images-idx3-ubyte", name)
        labels = _find(base, f"{part}-labels-idx1-ubyte", name)
        shapes[role] = shape(images, 3)
        sources[role] = LazyArrays(partial(_read, images, labels))
        ids[role] = [f"{role}/{row:05d}" for row in range(shapes[role][0])]
        # Of the unpacked files: the same images gzipped otherwise, or not at all, are the same revision.
        sizes[f"{part}-images-idx3-ubyte"] = 16 + int(np.prod(shapes[role]))
        answers = _labels(labels, shapes[role][0], len(classes))
        contents[f"{part}-labels-idx1-ubyte"] = sha256(answers.tobytes()).hexdigest()
    if shapes["train"][1:] != shapes["test"][1:]:
        raise DataError(f"{base}: train images are {shapes['train'][1:]} pixels, test images {shapes['test'][1:]}")
    held_out = hashed(ids["train"], VAL_SHARE)
    splits = {
        "train": rows_split(sources["train"], ids["train"], ~held_out),
        "val": rows_split(sources["train"], ids["train"], held_out),
        "test": rows_split(sources["test"], ids["test"], np.ones(len(ids["test"]), np.bool_)),
    }
    not_empty(name, dict(splits), f"Delete {base} and fetch it again with `cvbench data fetch {name}`.")
    info = DatasetInfo(
        name=name,
        task="classification",
        protocol={
            "classes": len(classes),
            "roles": {
                "train": "official train without val",
                "val": "1/12 of official train, by hash of the id",
                "test": "official test",
            },
        },
        revision=revision_of(sizes, contents),
        classes=classes,
        split_sizes={role: len(split) for role, split in splits.items()},
        licence=licence,
        redistributable=redistributable,
        channels=1,
        mean=(mean,),
        std=(std,),
        input_size=shapes["train"][1:],  # type: ignore[arg-type]
    )
    return Dataset(info, splits)


def shape(path: Path, dimensions: int) -> tuple[int, ...]:
    """The dimensions that an idx file of unsigned bytes announces in its first bytes.

    Raises:
        DataError: too short, no gzip where the name says so, or another magic number than 0x08 0x0<dimensions>.
    """
    header = _bytes(path, 4 + 4 * dimensions)
    magic = 0x0800 + dimensions
    if len(header) < 4 + 4 * dimensions or int.from_bytes(header[:4], "big") != magic:
        raise DataError(
            f"{path}: expected an idx file of bytes with {dimensions} dimensions (magic number {magic}), "
            f"but it starts with {header[:4].hex() or 'nothing'}; delete it and fetch it again"
        )
    return tuple(int(size) for size in np.frombuffer(header, ">u4", dimensions, 4))


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of an idx file of unsigned bytes, raw or .gz.

    Raises:
        DataError: as `shape`, or fewer or more bytes than the header announces.
    """
    expected = shape(path, dimensions)
    content = _bytes(path, -1)[4 + 4 * dimensions :]
    if len(content) != int(np.prod(expected)):
        raise DataError(
            f"{path}: expected {int(np.prod(expected))} bytes for shape {expected}, but got {len(content)}: "
            "the file is truncated or damaged; delete it and fetch it again"
        )
    return np.frombuffer(content, np.uint8).reshape(expected)


def _read(images: Path, labels: Path) -> Arrays:
    pixels = read(images, 3)
    return pixels[..., None], read(labels, 1).astype(np.int64)


def _labels(path: Path, count: int, classes: int) -> NDArray[np.uint8]:
    labels = read(path, 1)
    if len(labels) != count:
        raise DataError(f"{path}: expected {count} labels, one an image, but got {len(labels)}; fetch both files again")
    if len(labels) and labels.max() >= classes:
        raise DataError(f"{path}: expected labels from 0 to {classes - 1}, but got {labels.max()}; fetch it again")
    return labels


def _find(folder: Path, name: str, dataset: str) -> Path:
    if (folder / name).exists():
        return folder / name
    return need(folder / f"{name}.gz", dataset, f"Fetch it with `cvbench data fetch {dataset}`.")


def _bytes(path: Path, count: int) -> bytes:
    """The first `count` unpacked bytes; -1: all."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            return file.read(count)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: truncated or damaged gzip file ({error}); delete it and fetch it again") from error

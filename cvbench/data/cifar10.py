"""Tiny photographs, 32×32 RGB: 50,000 train and 10,000 test images of 10 classes.

Year: 2009
Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009
Licence: none stated; cite Krizhevsky 2009
Tasks: classification

Layout: cifar-10-batches-bin/ (the official binary version; preferred, and what `cvbench data fetch` gets) or
cifar-10-batches-py/ (the official python version). `val` is a fixed tenth of the official train.
"""

from __future__ import annotations

from pathlib import Path

from cvbench.data.base import Dataset
from cvbench.data.cifar import Version, cifar_dataset

VERSION = 1
OFFICIAL_SIZES = [{"test": 10000}]
FOLDER = "."
FILES = {
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz": (
        "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    )
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BINARY = Version(
    "cifar-10-batches-bin",
    train=tuple(f"data_batch_{part}.bin" for part in range(1, 6)),
    test=("test_batch.bin",),
    label_bytes=1,
)
PYTHON = Version(
    "cifar-10-batches-py",
    train=tuple(f"data_batch_{part}" for part in range(1, 6)),
    test=("test_batch",),
    label_key=b"labels",
)


def build(root: Path) -> Dataset:
    """CIFAR-10 below `root`. Raises `DataError` where a file is missing or damaged."""
    return cifar_dataset(
        root,
        name="cifar10",
        classes=CLASSES,
        binary=BINARY,
        python=PYTHON,
        mean=(0.4914, 0.4822, 0.4465),  # of the official train images
        std=(0.2470, 0.2435, 0.2616),
    )

"""Pictures of clothing, 28×28 grey, a harder drop-in for MNIST: 60,000 train and 10,000 test images of 10 classes.

Year: 2017
Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017
Licence: MIT
Tasks: classification

Layout: FashionMNIST/raw/ with the four official idx files, raw or .gz. `val` is a fixed twelfth of the official train.
"""

from __future__ import annotations

from pathlib import Path

from cvbench.data.base import Dataset
from cvbench.data.idx import idx_dataset

VERSION = 1
OFFICIAL_SIZES = [{"test": 10000}]
FOLDER = "FashionMNIST/raw"
# The official host has no https: the sha256 sums are what protects the download.
FILES = {
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz": (
        "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
    ),
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz": (
        "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
    ),
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz": (
        "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
    ),
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz": (
        "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
    ),
}
CLASSES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def build(root: Path) -> Dataset:
    """Fashion-MNIST below `root`. Raises `DataError` where a file is missing or damaged."""
    return idx_dataset(
        root,
        FOLDER,
        name="fashion_mnist",
        classes=CLASSES,
        licence="MIT",
        redistributable=True,
        mean=0.2860,  # of the official train images
        std=0.3530,
    )

"""Tiny photographs, 32×32 RGB: 50,000 train and 10,000 test images of 100 (fine) classes.

Year: 2009
Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009
Licence: none stated; cite Krizhevsky 2009
Tasks: classification

Layout: cifar-100-binary/ (the official binary version; preferred, and what `cvbench data fetch` gets) or
cifar-100-python/ (the official python version). `val` is a fixed tenth of the official train.
"""

from __future__ import annotations

from pathlib import Path

from cvbench.data.base import Dataset
from cvbench.data.cifar import Version, cifar_dataset

VERSION = 1
OFFICIAL_SIZES = [{"test": 10000}]
FOLDER = "."
FILES = {
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz": (
        "sha256:58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
    )
}
# fmt: off
CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest",
    "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard",
    "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum",
    "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf",
    "woman", "worm",
)
# fmt: on
BINARY = Version("cifar-100-binary", train=("train.bin",), test=("test.bin",), label_bytes=2)  # coarse, then fine
PYTHON = Version("cifar-100-python", train=("train",), test=("test",), label_key=b"fine_labels")


def build(root: Path) -> Dataset:
    """CIFAR-100 below `root`. Raises `DataError` where a file is missing or damaged."""
    return cifar_dataset(
        root,
        name="cifar100",
        classes=CLASSES,
        binary=BINARY,
        python=PYTHON,
        mean=(0.5071, 0.4865, 0.4409),  # of the official train images
        std=(0.2673, 0.2564, 0.2762),
    )

"""Handwritten digits, 28×28 grey: 60,000 train and 10,000 test images of 10 classes.

Year: 1998
Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998
Licence: CC BY-SA 3.0
Tasks: classification

Layout: MNIST/raw/ with the four official idx files, raw or .gz. `val` is a fixed twelfth of the official train.
"""

from __future__ import annotations

from pathlib import Path

from cvbench.data.base import Dataset
from cvbench.data.idx import idx_dataset

VERSION = 1
OFFICIAL_SIZES = [{"test": 10000}]
# sha256 of the official files as tensorflow-datasets publishes them; three of the four were compared with real files.
FOLDER = "MNIST/raw"
FILES = {
    "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz": (
        "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz": (
        "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz": (
        "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz": (
        "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}


def build(root: Path) -> Dataset:
    """MNIST below `root`. Raises `DataError` where a file is missing or damaged."""
    return idx_dataset(
        root,
        FOLDER,
        name="mnist",
        classes=tuple("0123456789"),
        licence="CC BY-SA 3.0",
        redistributable=True,
        mean=0.1307,  # of the official train images, as published with PyTorch's MNIST example
        std=0.3081,
    )

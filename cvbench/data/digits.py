"""Handwritten digits, 8×8 grey, 1,797 real images that come with scikit-learn: nothing to download.

Year: 1998
Source: Alpaydin, Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository 1998
Licence: CC BY 4.0
Tasks: classification

The test set of the UCI original, the only part that scikit-learn carries; it has no split of its own. A quarter is
`test` and 15 % of the rest is `val`, both by the hash of the sample's id.
"""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from cvbench.data.base import DataError, Dataset, DatasetInfo
from cvbench.data.labelled import Arrays, LazyArrays, rows_split
from cvbench.data.revision import revision
from cvbench.data.split import hashed

VERSION = 1
EMBEDDED = True
COUNT = 1797
TEST_SHARE, VAL_SHARE = 0.25, 0.15
# Over all pixels of the train split, divided by 255: float64 mean and population standard deviation, 4 digits.
MEAN, STD = 0.3056, 0.3763


def build(root: Path) -> Dataset:
    """The digits of the installed scikit-learn; `root` is not used.

    Raises:
        DataError: scikit-learn is not installed, or its data file is missing or damaged.
    """
    file = _file()
    source = LazyArrays(partial(_read, file))
    ids = [f"digits/{row:04d}" for row in range(COUNT)]
    test = hashed(ids, TEST_SHARE, salt="test/")
    val = hashed(ids, VAL_SHARE, salt="val/") & ~test
    chosen = {"train": ~(test | val), "val": val, "test": test}
    splits = {role: rows_split(source, ids, rows) for role, rows in chosen.items()}
    info = DatasetInfo(
        name="digits",
        task="classification",
        protocol={
            "classes": 10,
            "roles": {
                "train": "the rest",
                "val": "15 % of what is not test, by hash of the id",
                "test": "25 %, by hash of the id",
            },
        },
        revision=revision(file.parent, [], annotations=[file]),
        classes=tuple("0123456789"),
        split_sizes={role: len(split) for role, split in splits.items()},
        licence="CC BY 4.0",
        redistributable=True,
        channels=1,
        mean=(MEAN,),
        std=(STD,),
        input_size=(8, 8),
    )
    return Dataset(info, splits)


def _file() -> Path:
    # Found without importing scikit-learn, which would cost a second.
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("The dataset digits comes with scikit-learn, which is not installed: pip install scikit-learn")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not file.exists():
        raise DataError(f"{file}: no such file, expected scikit-learn's digits there; install scikit-learn again")
    return file


def _read(file: Path) -> Arrays:
    """Images uint8 (1797, 8, 8, 1): the stored 0..16 as round(value * 255 / 16); labels int64 (1797,)."""
    try:
        with gzip.open(file, "rt") as lines:
            table = np.loadtxt(lines, delimiter=",").astype(np.int64)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{file}: damaged ({error}); install scikit-learn again") from error
    if table.shape != (COUNT, 65) or table.min() < 0 or table[:, :64].max() > 16 or table[:, 64].max() > 9:
        raise DataError(f"{file}: expected {COUNT} rows of 64 pixels in 0..16 and a label; install scikit-learn again")
    images = (table[:, :64] * 255 + 8) // 16
    return images.astype(np.uint8).reshape(COUNT, 8, 8, 1), table[:, 64]

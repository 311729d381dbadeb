"""What all splits share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cvbench.data.base import VOID, ArraySplit
from cvbench.data.camvid import build


def test_class_counts_of_labels_and_of_masks_without_void() -> None:
    images = np.zeros((3, 2, 2, 1), dtype=np.uint8)
    assert ArraySplit(["a", "b", "c"], images, np.array([1, 1, 3])).class_counts(4).tolist() == [0, 2, 0, 1]
    masks = np.array([[[0, 1], [1, VOID]], [[2, 2], [2, 2]], [[VOID, VOID], [0, 0]]], dtype=np.uint8)
    assert ArraySplit(["a", "b", "c"], images, masks).class_counts(3).tolist() == [3, 2, 4]


def test_class_counts_of_camvid_equal_a_plain_count(shared_data: Path) -> None:
    files = (shared_data / "camvid" / "valannot").glob("*.png")
    pixels = np.concatenate([np.asarray(Image.open(file)).ravel() for file in files])
    expected = [int((pixels == label).sum()) for label in range(11)]
    assert build(shared_data, classes=11).splits["val"].class_counts(11).tolist() == expected

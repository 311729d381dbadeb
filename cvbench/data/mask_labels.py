"""Decoding label images into class indices, with errors that name the file, the pixel, the label and the rule."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import DataError
from cvbench.data.files import read_image, read_mask

# Beside VOID (255) the mark of a label without a class: leaves 0..253 for classes.
_UNKNOWN = 254
MOST_CLASSES = 254


@dataclass(frozen=True)
class IndexLabels:
    """Decodes masks that store label numbers (grey or palette PNG).

    classes: label number -> class index, or VOID. Every other number is an error.
    rule: what the labels are, for the message: "0..10 are the classes, 11 is void".
    """

    classes: tuple[tuple[int, int], ...]
    rule: str

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """The mask in `path`, uint8 (H, W), class indices and VOID. Raises `DataError` that names an unknown label."""
        labels = read_mask(path)
        if labels.dtype == np.uint8:
            mask: NDArray[np.uint8] = self._table[labels]
        else:  # 16- or 32-bit files: numbers that no table of 256 holds are unknown too
            mask = np.where((labels >= 0) & (labels < 256), self._table[labels & 255], np.uint8(_UNKNOWN))
        unknown = mask == _UNKNOWN
        if unknown.any():
            row, column = np.argwhere(unknown)[0].tolist()
            raise DataError(
                f"{path}: label {labels[row, column]} at row {row}, column {column} has no class: {self.rule}. "
                "Correct the mask, or the dataset's classes or void label"
            )
        return mask

    @property
    def _table(self) -> NDArray[np.uint8]:
        table = np.full(256, _UNKNOWN, dtype=np.uint8)
        for label, index in self.classes:
            table[label] = index
        return table


@dataclass(frozen=True)
class ColourLabels:
    """Decodes masks that are painted in one colour a class.

    colours: RGB -> class index, or VOID. Every other colour is an error.
    source: where the colours are listed, for the message.
    """

    colours: tuple[tuple[tuple[int, int, int], int], ...]
    source: str

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """The mask in `path`, uint8 (H, W), class indices and VOID. Raises `DataError` that names an unknown colour."""
        pixels = read_image(path)
        red, green, blue = (pixels[:, :, channel].astype(np.int32) for channel in range(3))
        mask: NDArray[np.uint8] = _colour_table(self.colours)[red << 16 | green << 8 | blue] ^ np.uint8(_UNKNOWN)
        unknown = mask == _UNKNOWN
        if unknown.any():
            row, column = np.argwhere(unknown)[0].tolist()
            raise DataError(
                f"{path}: colour {tuple(pixels[row, column].tolist())} at row {row}, column {column} is none of the "
                f"{len(self.colours)} colours of {self.source}. Correct the mask (no smoothing, no JPEG) or the table"
            )
        return mask


@functools.cache
def _colour_table(colours: tuple[tuple[tuple[int, int, int], int], ...]) -> NDArray[np.uint8]:
    """24-bit colour -> class index xor the mark of an unknown colour: so zero means unknown, and of the 16 MB only
    the pages that hold a known colour are ever touched."""
    table = np.zeros(1 << 24, dtype=np.uint8)
    for (red, green, blue), index in colours:
        table[red << 16 | green << 8 | blue] = index ^ _UNKNOWN
    return table

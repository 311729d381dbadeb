"""Convolution kernels by name or by numbers, and what they make of an image. Numpy only."""

from __future__ import annotations

import difflib
import math
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LARGEST = 15  # numbers a side: a larger grid cannot be read


class Kernel(NamedTuple):
    """weights: float64 (k, k), k odd, row by row. says: what it does, in a line."""

    name: str
    weights: NDArray[np.float64]
    says: str

    @property
    def differs(self) -> bool:
        """Whether it measures differences (its numbers add up to 0 or less), so that signs matter and colour does not.

        Otherwise it gives an image again.
        """
        return float(self.weights.sum()) < 1e-6


def _kernel(name: str, rows: list[list[float]], says: str, divisor: float = 1.0) -> Kernel:
    return Kernel(name, np.array(rows, np.float64) / divisor, says)


KERNELS = {
    kernel.name: kernel
    for kernel in (
        _kernel(
            "sharpen", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]], "The pixel, plus how it differs from its neighbours."
        ),
        _kernel("edge", [[0, -1, 0], [-1, 4, -1], [0, -1, 0]], "How the pixel differs from its four neighbours."),
        _kernel(
            "strong-edge",
            [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
            "How it differs from all eight: corners count too.",
        ),
        _kernel("blur", [[1, 1, 1], [1, 1, 1], [1, 1, 1]], "The mean of nine pixels.", divisor=9),
        _kernel("gaussian", [[1, 2, 1], [2, 4, 2], [1, 2, 1]], "A mean in which near pixels count more.", divisor=16),
        _kernel("emboss", [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], "The image as a relief, lit from the upper left."),
        _kernel("sobel-x", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], "Brighter to the right: finds upright edges."),
        _kernel("sobel-y", [[-1, -2, -1], [0, 0, 0], [1, 2, 1]], "Brighter below: finds level edges."),
    )
}


def find_kernel(text: str) -> Kernel:
    """The kernel of that name, or of these numbers, row by row: "0,-1,0,-1,5,-1,0,-1,0", fractions as 1/9.

    Raises ValueError: an unknown name (with the nearest), no numbers, or not k x k of them with k odd.
    """
    text = text.strip()
    if text in KERNELS:
        return KERNELS[text]
    if "," not in text and not re.match(r"[-+.\d]", text):
        near = difflib.get_close_matches(text, KERNELS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f'Expected a kernel of {", ".join(KERNELS)}, or numbers "0,1,0,…", but got {text!r}{hint}')
    numbers = [_number(part, text) for part in text.rstrip(", ").split(",")]
    side = math.isqrt(len(numbers))
    if side**2 != len(numbers) or side % 2 == 0 or side > LARGEST:
        raise ValueError(
            f"Expected k x k numbers with k odd, so that one is in the middle (9, 25, 49, … at most {LARGEST**2}), "
            f"but got {len(numbers)}: {text!r}"
        )
    weights = np.array(numbers).reshape(side, side)
    return Kernel("your own", weights, f"{side} x {side} numbers that add up to {weights.sum():.3g}.")


def _number(part: str, text: str) -> float:
    top, slash, bottom = part.partition("/")
    try:
        value = float(top) / (float(bottom) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"Expected finite numbers such as -1, 0.5 or 1/9, but got {part.strip()!r} in {text!r}")
    return value


def correlate(image: NDArray[np.floating], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a convolutional layer computes with one filter (correlation: the kernel is not flipped).

    image: (H, W), or (H, W, C) of which each channel is taken by itself. weights: (k, k), k odd. Returns float64 of the
    image's shape: out[y, x] = sum over i, j of weights[i, j] * image[y + i - k // 2, x + j - k // 2], where pixels
    outside the image are 0 (zero padding, stride 1).
    """
    side = len(weights)
    height, width = image.shape[:2]
    margin = ((side // 2, side // 2), (side // 2, side // 2), *[(0, 0)] * (image.ndim - 2))
    padded = np.pad(image.astype(np.float64), margin)
    total = np.zeros(image.shape)
    for (row, column), weight in np.ndenumerate(weights):
        total += weight * padded[row : row + height, column : column + width]
    return total

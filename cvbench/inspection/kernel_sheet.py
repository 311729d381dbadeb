"""An image under kernels, drawn: the image, each kernel as a grid of numbers, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cvbench.data.drawing import INK, PAPER, below, beside, scaled, sheet, written
from cvbench.data.files import read_image
from cvbench.data.shading import ABOVE, BELOW, signed
from cvbench.inspection.kernels import Kernel, correlate

_SIDE = (
    400  # pixels of a tile's picture; a larger image shrinks first, else a 3 x 3 kernel would change nothing visible
)
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's grey
RULE = (
    "Each pixel of a result is the sum of the kernel's numbers times the pixels that lie under them, the kernel's "
    "middle on that pixel. It is not flipped: the correlation that convolutional layers compute, stride 1. Pixels "
    "outside the image count as 0 (zero padding), which is why results have a frame."
)


def draw_kernels(image: Path, kernels: Sequence[Kernel]) -> tuple[Image.Image, dict[str, Any]]:
    """A sheet and its facts. Raises DataError for an image that cannot be read."""
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    if max(height, width) > _SIDE:
        pixels = np.asarray(scaled(pixels, _SIDE, smoothly=True))
    size = f"{width} x {height} pixels"
    if pixels.shape[:2] != (height, width):
        size += f", shrunk to {pixels.shape[1]} x {pixels.shape[0]} first"
    picture = scaled(pixels, _SIDE)
    tiles = [below(picture, written(["The image", size + ". Values 0 (black) to 255 (white)."], _SIDE))]
    results = []
    for kernel in kernels:
        result = applied(pixels, kernel)
        low, high = float(result.min()), float(result.max())
        text = written([kernel.name, kernel.says, _shown(kernel, low, high)], _SIDE - _GRID - 8)
        tiles.append(below(scaled(_pixels(result), _SIDE), beside(_grid(kernel), text)))
        results.append({"kernel": kernel.name, "weights": kernel.weights.tolist(), "lowest": low, "highest": high})
    columns = min(len(tiles), 3)
    foot = written([RULE], columns * (_SIDE + 8) - 8)
    facts = {"image": str(image), "size": list(pixels.shape[:2]), "results": results}
    return sheet(tiles, title=f"{image.name} under convolution kernels", foot=foot), facts


def applied(pixels: NDArray[np.uint8], kernel: Kernel) -> NDArray[np.float64]:
    """uint8 (H, W, 3) to float64 (H, W, 3), each channel by itself; from grey, (H, W), where it differs."""
    return correlate(pixels @ _LUMA if kernel.differs else pixels.astype(np.float64), kernel.weights)


def _pixels(result: NDArray[np.float64]) -> NDArray[np.uint8]:
    return signed(result, 255) if result.ndim == 2 else result.clip(0, 255).round().astype(np.uint8)


def _shown(kernel: Kernel, low: float, high: float) -> str:
    span = f"Values {low:.0f} to {high:.0f}"
    if kernel.differs:
        return f"On grey. {span}; shown: 0 black, +255 orange, -255 blue."
    return f"On red, green, blue. {span}; shown: 0 to 255, cut."


_GRID = 120  # pixels of a drawn kernel


def _grid(kernel: Kernel) -> Image.Image:
    """The kernel's numbers in squares, positive ones on orange, negative ones on blue."""
    side, most = len(kernel.weights), float(np.abs(kernel.weights).max()) or 1.0
    cell = _GRID // side
    drawn = Image.new("RGB", (_GRID + 8, _GRID + 6), PAPER)
    draw = ImageDraw.Draw(drawn)
    for (row, column), weight in np.ndenumerate(kernel.weights):
        ground, share = ABOVE if weight > 0 else BELOW, abs(weight) / most
        tint = tuple(round(255 + 0.8 * share * (value - 255)) for value in ground)
        x, y = 2 + column * cell, 3 + row * cell
        draw.rectangle((x, y, x + cell, y + cell), fill=tint, outline=INK)
        text = _number(float(weight))
        font = ImageFont.load_default(max(5.0, min(15.0, 1.5 * cell / max(2, len(text)))))
        draw.text((x + cell / 2, y + cell / 2), text, fill=INK, font=font, anchor="mm")
    return drawn


def _number(weight: float) -> str:
    """As short as it is exact, 1/9 as a fraction; else two digits."""
    short, fraction = f"{weight:.2g}", Fraction(weight).limit_denominator(100)
    return str(fraction) if float(short) != weight and abs(float(fraction) - weight) < 1e-9 else short

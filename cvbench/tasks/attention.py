"""Where a captioner looked for each of its words, laid upon the image as it is on disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from cvbench.data.drawing import below, scaled, sheet, written
from cvbench.data.shading import overlaid
from cvbench.loading.geometry import Geometry

SIDE, IN_A_ROW = 120, 5  # pixels of a tile's longer side; tiles


def attention_sheet(
    original: NDArray[np.uint8], words: Sequence[str], attention: Tensor, geometry: Geometry
) -> Image.Image:
    """A tile a word: the image under the places that were looked at for it, the brighter the more.

    All words share one scale, from nothing to the most that any place got: what was spread evenly stays dark.

    Args:
        original: uint8 (H, W, C), as it is on disk. attention: float (T, h, w), not negative, T at least the words,
            over the model's input. geometry: how the image came to that input.
    """
    pixels = np.asarray(scaled(original, SIDE, smoothly=True))
    maps = [on_image(places, original.shape[:2], pixels.shape[:2], geometry) for places in attention[: len(words)]]
    most = max(max(float(places.max()) for places in maps), 1e-12)
    tiles = [
        below(written([word], pixels.shape[1], 11), Image.fromarray(overlaid(pixels, places / most)))
        for word, places in zip(words, maps, strict=True)
    ]
    return sheet(tiles, width=IN_A_ROW * (pixels.shape[1] + 16), title="where it looked for each word")


def on_image(places: Tensor, size: tuple[int, ...], shown: tuple[int, ...], geometry: Geometry) -> NDArray[np.float32]:
    """A map over the model's input, float (h, w), as one over the image, float32 of `shown` (H, W); 0 where the model
    saw nothing of it. size: (H, W) of the image on disk.
    """
    rows, columns = geometry.content or geometry.size
    over_input = _resized(places.float().cpu(), geometry.size)[:rows, :columns]
    down, across = shown[0] / size[0], shown[1] / size[1]
    left, top, right, bottom = geometry.box
    x0, x1, y0, y1 = (round(edge) for edge in (left * across, right * across, top * down, bottom * down))
    found = np.zeros(shown, np.float32)
    found[y0:y1, x0:x1] = _resized(over_input, (max(1, y1 - y0), max(1, x1 - x0))).numpy()
    return found


def _resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(values[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]

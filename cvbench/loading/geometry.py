"""From an image of any size to the input size: which box of it is taken, and the resizing itself (Pillow)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cvbench.spec import Augment, Recipe

# Columns of `draws`: which uniform number decides what. Every sample gets all of them, whatever the recipe uses.
FLIP, SHIFT_X, SHIFT_Y, SCALE, RATIO, CROP_X, CROP_Y, ROTATE, BRIGHTNESS, CONTRAST, SATURATION = range(11)
DRAWS = 11


class Geometry(NamedTuple):
    """box: (left, top, right, bottom) in pixels of the source, resized to `content` (H, W), which lies at the top left
    of `size` (H, W); what it leaves free is black. content None: all of `size`.
    """

    box: tuple[float, float, float, float]
    size: tuple[int, int]
    content: tuple[int, int] | None = None


def fitted(height: float, width: float, size: tuple[int, int]) -> tuple[int, int]:
    """The largest (H, W) of the shape height x width that fits into `size`, rounded, at least one pixel a side."""
    scale = min(size[0] / height, size[1] / width)
    return min(size[0], max(1, round(height * scale))), min(size[1], max(1, round(width * scale)))


def evaluation_geometry(height: int, width: int, recipe: Recipe) -> Geometry:
    """The whole image, stretched or fitted in, or its centre (`crop`), at the input size.

    `crop` takes `crop_fraction` (of its side) of the largest centred box that has the input's shape. For a square input
    that is the usual evaluation: the shorter side is scaled to input / crop_fraction, then the centre is cut out.
    """
    size = recipe.input_size or (height, width)
    if recipe.resize != "crop":
        content = fitted(height, width, size) if recipe.resize == "fit" else None
        return Geometry((0.0, 0.0, float(width), float(height)), size, content)
    per_pixel = min(height / size[0], width / size[1]) * recipe.crop_fraction
    # The minimum is against rounding only.
    box_height, box_width = min(height, size[0] * per_pixel), min(width, size[1] * per_pixel)
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return Geometry((left, top, left + box_width, top + box_height), size)


def crop_boxes(draws: NDArray[np.float32], augment: Augment) -> NDArray[np.float64]:
    """Random crops as (left, top, width, height) relative to the image, float64 (N, 4); Szegedy 2015's area and ratio.

    Area is uniform, ratio log-uniform, place uniform among those inside. Where no scale above 1 is asked for, a side
    longer than the image is cut to it; else the crop hangs over the border, with all of the image's side inside.
    """
    low, high = augment.crop_scale or (1.0, 1.0)
    area = low + (high - low) * draws[:, SCALE].astype(np.float64)
    low, high = augment.crop_ratio or (1.0, 1.0)
    ratio = np.exp(math.log(low) + (math.log(high) - math.log(low)) * draws[:, RATIO].astype(np.float64))
    width, height = np.sqrt(area * ratio), np.sqrt(area / ratio)
    if augment.crop_scale is None or augment.crop_scale[1] <= 1.0:
        width, height = np.minimum(width, 1.0), np.minimum(height, 1.0)
    left = (1.0 - width) * draws[:, CROP_X]
    top = (1.0 - height) * draws[:, CROP_Y]
    return np.stack([left, top, width, height], axis=1)


def crops_while_decoding(recipe: Recipe, native: tuple[int, int] | None) -> bool:
    """Whether random crops are cut from the full-size image while it is decoded, because that has more detail.

    Not where the input has the images' own size (`native`, None where they differ): there the crop is as good on the
    device, from pixels that were decoded once. Nor where it may leave the image. A matter of recipe and data alone, so
    that no machine trains on other pixels than another.
    """
    inside = recipe.augment.crop_scale is not None and recipe.augment.crop_scale[1] <= 1.0
    return inside and (native is None or recipe.input_size not in (None, native))


def random_geometry(height: int, width: int, recipe: Recipe, draws: NDArray[np.float32]) -> Geometry:
    """A random crop of the full-size image, at the input size; `draws` (K,) of this sample."""
    left, top, box_width, box_height = crop_boxes(draws[None, :], recipe.augment)[0]
    box = (left * width, top * height, (left + box_width) * width, (top + box_height) * height)
    size = recipe.input_size or (height, width)
    return Geometry(box, size, fitted(box_height * height, box_width * width, size) if recipe.resize == "fit" else None)


def resize(image: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """uint8 (H, W, C) -> uint8 (h, w, C): bilinear with antialiasing; the same array where nothing changes."""
    height, width, channels = image.shape
    content = geometry.content or geometry.size
    if content == (height, width) and geometry.box == (0.0, 0.0, float(width), float(height)):
        resized = image
    else:
        picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
        resized = np.asarray(picture.resize(content[::-1], Image.Resampling.BILINEAR, box=geometry.box))
        resized = resized[:, :, None] if channels == 1 else resized
    if content == geometry.size:
        return resized
    canvas = np.zeros((*geometry.size, channels), np.uint8)
    canvas[: content[0], : content[1]] = resized
    return canvas

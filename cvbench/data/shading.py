"""Numbers as pictures: which colour stands for which value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cvbench.data.drawing import Colour

ABOVE: Colour = (255, 170, 60)  # orange: above 0
BELOW: Colour = (70, 150, 255)  # blue: below 0
_HEAT = np.array([(30, 20, 110), (150, 30, 130), (235, 60, 60), (255, 165, 40), (255, 250, 140)], np.float64)


def between(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Any shape: `low` is 0 (black), `high` 255 (white); mid grey where they are equal."""
    share = np.full(values.shape, 0.5) if high <= low else (values - low) / (high - low)
    return _levels(255 * share)


def about_zero(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Any shape: 0 is mid grey, plus and minus the largest absolute value are white and black."""
    full = float(np.abs(values).max())
    return between(values, -full, full)


def signed(values: NDArray[np.floating], full: float) -> NDArray[np.uint8]:
    """(H, W) to (H, W, 3): 0 is black, `full` and more orange, -`full` and less blue."""
    strength = (np.abs(values) / full).clip(0, 1)[..., None]
    colour = np.where(values[..., None] > 0, np.array(ABOVE), np.array(BELOW))
    return _levels(strength * colour)


def heat(shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(H, W) of 0 to 1 to (H, W, 3): from dark blue over red to light yellow, brighter all the way."""
    place = shares.clip(0, 1) * (len(_HEAT) - 1)
    channels = [np.interp(place, np.arange(len(_HEAT)), _HEAT[:, channel]) for channel in range(3)]
    return _levels(np.stack(channels, axis=-1))


def overlaid(image: NDArray[np.uint8], shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The image (H, W, 3) under `heat` of `shares` (H, W), half each, so that both are seen."""
    return _levels(0.5 * image + 0.5 * heat(shares))


def _levels(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = values.round().clip(0, 255).astype(np.uint8)
    return levels

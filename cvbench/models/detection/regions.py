"""Region proposals of the core install: stable blobs of colour among windows of a fixed grid. Nothing is learnt.

Blobs are the connected parts of what lies above, and of what lies below, each of `LEVELS` quantiles of three colour
channels (intensity, red - blue, green - magenta), as in Matas et al., "Robust wide baseline stereo from maximally
stable extremal regions", BMVC 2002: a box that many levels give is a thing rather than an accident of one of them, so
those with the most near-duplicates come first. What has no colour of its own is left to the windows.

Share of the boxes that some proposal meets with an IoU of 0.5, at the first 100 / 300 / 1,000 proposals, and CPU time
of one image, on 100 `streets` scenes of 96x128 and on the 100 images of the VOC pack with a longer side of 256 pixels:

    regions                       streets  .46 .64 .81   35 ms   VOC  .60 .79 .89   76 ms
    blobs alone                            .50 .66 .70   28 ms        .60 .72 .74   52 ms
    windows alone                          .11 .33 .61    3 ms        .57 .70 .82    5 ms
    selective search, fast                 .57 .57 .57   50 ms        .73 .84 .85  232 ms
    selective search, quality              .60 .65 .66  202 ms        .71 .83 .88  747 ms
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import ndimage

from cvbench.models.detection.boxes import stable_first, unique

VERSION = 1

LEVELS = 12
BLUR = 1.0  # pixels, of the Gaussian that takes noise away before the levels are cut
EVERY = 3  # each so many-th proposal is a window
# Windows: each scale is the one before over the square root of 2, from the shorter side of the image down to SMALLEST
# of it; three shapes of equal area; neighbours are half a window apart.
SMALLEST = 1 / 12
ASPECTS = (0.5, 1.0, 2.0)
STRIDE = 0.5

# A blob is connected within its own level, not with the next.
_WITHIN = np.stack([np.zeros((3, 3), int), ndimage.generate_binary_structure(2, 1), np.zeros((3, 3), int)])


def settings() -> dict[str, Any]:
    """What the boxes of an image depend on besides its pixels."""
    return {"version": VERSION, "scipy": scipy.__version__}


def regions(image: NDArray[np.uint8], min_side: float) -> NDArray[np.int64]:
    """Blobs and windows, each of the two best first; int64 (N, 4) xyxy, no side below `min_side` pixels.

    image: uint8 (H, W, C), C = 1 or 3.
    """
    found, grid = stable_first(blobs(image, min_side)), windows(image, min_side)
    places = np.arange(len(found))
    turns = np.concatenate([places + places // (EVERY - 1), EVERY * np.arange(len(grid)) + EVERY - 1])
    return unique(np.concatenate([found, grid])[np.argsort(turns, kind="stable")], min_side)


def blobs(image: NDArray[np.uint8], min_side: float) -> NDArray[np.int64]:
    """Boxes around connected parts above and below the levels, int64 (N, 4) xyxy, each once."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), (BLUR, BLUR, 0), truncate=2.5)
    channels = [smooth.mean(axis=2)]
    if image.shape[2] == 3:
        red, green, blue = np.moveaxis(smooth, 2, 0)
        channels += [red - blue, green - (red + blue) / 2]
    shares = np.linspace(0, 1, LEVELS + 2)[1:-1]
    masks = []
    for channel in channels:
        levels = np.quantile(channel[::2, ::2], shares)
        above = channel[None] > np.unique(levels)[:, None, None]
        masks += [above, ~above]
    labels, _ = ndimage.label(np.concatenate(masks), _WITHIN)
    boxes = [(x.start, y.start, x.stop, y.stop) for _, y, x in ndimage.find_objects(labels)]
    return unique(np.array(boxes, np.int64).reshape(-1, 4), min_side)


def windows(image: NDArray[np.uint8], min_side: float) -> NDArray[np.int64]:
    """Windows of all scales and shapes over the whole image, large before small; int64 (N, 4) xyxy."""
    height, width = image.shape[:2]
    side = shorter = float(min(height, width))
    scales = []
    while side >= max(SMALLEST * shorter, min_side):
        for aspect in ASPECTS:
            wide, high = min(side * math.sqrt(aspect), width), min(side / math.sqrt(aspect), height)
            x, y = (_places(whole, part) for whole, part in ((width, wide), (height, high)))
            left, top = (places.ravel() for places in np.meshgrid(x, y))
            scales.append(np.stack([left, top, left + wide, top + high], axis=1).round().astype(np.int64))
        side /= math.sqrt(2)
    return unique(np.concatenate(scales) if scales else np.zeros((0, 4), np.int64), min_side)


def _places(whole: float, part: float) -> NDArray[np.float64]:
    """Where windows of length `part` begin so that they cover `whole` evenly, at most STRIDE of a window apart."""
    return np.linspace(0.0, whole - part, math.ceil((whole - part) / (STRIDE * part)) + 1)

"""Where the frames of boxes and their names go in a picture: plain geometry, nothing is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Corners(NamedTuple):
    """A rectangle of whole pixels, half open."""

    left: int
    top: int
    right: int
    bottom: int


def cut(boxes_xyxy: NDArray[np.floating], size: tuple[int, int]) -> list[Corners]:
    """Boxes (N, 4) in whole pixels of a picture of `size` (width, height), cut at its border."""
    most = np.array([*size, *size])
    return [Corners(*box) for box in np.clip(np.round(boxes_xyxy), 0, most).astype(int).tolist()]


def name_places(boxes: Sequence[Corners], sizes: Sequence[tuple[int, int]], picture: tuple[int, int]) -> list[Corners]:
    """Where the names of boxes stand, each where it hides the least of those before it.

    The names of the largest boxes come first: one within a large frame has more places to go to than one on a small
    thing.

    Args:
        boxes: as `cut` gives them. sizes: (width, height) of each box's name. picture: (width, height).
    """
    places: dict[int, Corners] = {}
    for row in sorted(range(len(boxes)), key=lambda row: -common(boxes[row], boxes[row])):
        candidates = _candidates(boxes[row], *sizes[row], picture)
        places[row] = min(candidates, key=lambda at: sum(common(at, other) for other in places.values()))
    return [places[row] for row in range(len(boxes))]


def _candidates(box: Corners, wide: int, high: int, picture: tuple[int, int]) -> list[Corners]:
    """Above the box, below it, and within it beside its frame, at the left and at the right; the best first."""
    outside = [(x, y) for y in (box.top - high, box.bottom) for x in (box.left, box.right - wide)]
    within = [(x, y) for y in (box.top + 3, box.bottom - high - 3) for x in (box.left + 3, box.right - wide - 3)]
    lefts = max(0, picture[0] - wide)
    fitting = [(min(max(0, x), lefts), y) for x, y in outside + within if 0 <= y <= picture[1] - high]
    return [Corners(x, y, x + wide, y + high) for x, y in fitting or [(0, 0)]]


def common(one: Corners, other: Corners) -> int:
    """Pixels that two rectangles share.

    >>> common(Corners(0, 0, 4, 4), Corners(2, 1, 9, 3))
    4
    """
    wide = min(one.right, other.right) - max(one.left, other.left)
    high = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0, wide) * max(0, high)

"""What cannot be meant as a box, and what is odd about one: negative sizes, boxes beyond their image, empty ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.boxes import Boxes


def faults(xywh: NDArray[np.float64], sizes: NDArray[Any]) -> list[tuple[int, str]]:
    """The boxes that cannot be meant: (row, "expected X, but got Y; remedy"), in the order of the rows.

    A box that is partly outside, or has no area, can: published datasets have both.

    Args:
        xywh: float64 (N, 4), left, top, width, height in pixels.
        sizes: (N, 2) or (2,), height and width of each box's image in pixels; 0 where they are not known.
    """
    finite = np.asarray(np.isfinite(xywh).all(axis=1))
    placed = np.where(finite[:, None], xywh, 0.0)
    negative = placed[:, 2:].min(axis=1) < 0
    shape = np.broadcast_to(sizes, (len(xywh), 2))
    missed = _beside(placed[:, :2], placed[:, 2:], shape[:, ::-1]).any(axis=1)
    found = []
    for row in np.flatnonzero(~finite | negative | missed).tolist():
        height, width = shape[row].tolist()
        rule, remedy = f"a box that touches its image of {width}x{height} (width x height)", "correct or remove it"
        if not finite[row]:
            rule, remedy = "four finite numbers", "give its place, or remove it"
        elif negative[row]:
            rule, remedy = "a width and a height of 0 or more", "order its swapped corners, or remove it"
        numbers = ", ".join(f"{value:g}" for value in xywh[row].tolist())
        found.append((row, f"expected {rule}, but got left, top, width, height {numbers}; {remedy}"))
    return found


def _beside(start: NDArray[Any], length: NDArray[Any], side: NDArray[Any]) -> NDArray[np.bool_]:
    """Which spans share nothing with 0..side, where that is known; a span of no length may lie on its end."""
    end, flat = start + length, length == 0
    missed: NDArray[np.bool_] = np.where(flat, (end < 0) | (start > side), (end <= 0) | (start >= side))
    return missed & (side > 0)


def overhang(xywh: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """How far each box reaches beyond its image of `size` (H, W), in pixels at the worst side: float64 (N,)."""
    height, width = size
    right, bottom = xywh[:, 0] + xywh[:, 2] - width, xywh[:, 1] + xywh[:, 3] - height
    furthest: NDArray[np.float64] = np.max([-xywh[:, 0], -xywh[:, 1], right, bottom, np.zeros(len(xywh))], axis=0)
    return furthest


@dataclass
class BoxRemarks:
    """What is odd about the boxes of a dataset and no error: counted, with one example each."""

    outside: list[tuple[float, str]] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    def add(self, where: str, boxes: Boxes, size: tuple[int, int]) -> None:
        """where: names the sample. size: (H, W) of its image."""
        # Two decimals are how COCO rounds: less than that is no place beyond the border.
        self.outside += [(far, where) for far in overhang(boxes.xywh, size).tolist() if far > 0.01]
        self.empty += [where] * int((boxes.xywh[:, 2:] == 0).any(axis=1).sum())

    def sentences(self) -> tuple[str, ...]:
        """One sentence for each kind that was met."""
        told = []
        if self.outside:
            far, where = max(self.outside)
            told.append(f"boxes beyond their image's border: {len(self.outside)}, by up to {far:.2f} pixels in {where}")
        if self.empty:
            told.append(f"boxes of no area, which are not learnt: {len(self.empty)}, such as one in {self.empty[0]}")
        return tuple(told)

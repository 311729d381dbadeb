"""What region proposals do with their boxes: drop repeats, and put them into an order that deserves to be cut off."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou, nms

SAME = 0.8  # boxes of a higher IoU say nearly the same: the later one goes to the end
STABLE = 0.7  # boxes of a higher IoU vouch for each other


def unique(boxes: NDArray[np.int64], min_side: float) -> NDArray[np.int64]:
    """The boxes int64 (N, 4) xyxy of at least `min_side` pixels a side, each once, in the order in which they come."""
    large = boxes[((boxes[:, 2:] - boxes[:, :2]) >= max(min_side, 1)).all(axis=1)]
    _, first = np.unique(large, axis=0, return_index=True)
    return large[np.sort(first)]


def shuffled(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """An order that looks random and is a function of the set alone; near-duplicates of earlier boxes come last."""
    return _unlike_first(boxes, _drawn(boxes))


def stable_first(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those with the most near-duplicates first, then as if drawn; near-duplicates of earlier boxes come last."""
    places = torch.from_numpy(boxes.astype(np.float32))
    votes = (box_iou(places, places) > STABLE).sum(dim=1).numpy()
    return _unlike_first(boxes, votes + _drawn(boxes))


def _unlike_first(boxes: NDArray[np.int64], priority: NDArray[np.float64]) -> NDArray[np.int64]:
    order = np.lexsort((*boxes.T, -priority))
    places = torch.from_numpy(boxes[order].astype(np.float32))
    # Ranks as scores: float32 holds whole numbers exactly, and none are equal.
    first = nms(places, -torch.arange(len(order), dtype=torch.float32), SAME).numpy()
    best: NDArray[np.int64] = boxes[order[np.concatenate([first, np.setdiff1d(np.arange(len(order)), first)])]]
    return best


def _drawn(boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    """A number in [0, 1) for each box, mixed from its corners (the finaliser of MurmurHash3)."""
    factors = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5], np.uint64)
    mixed = (boxes.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(factor)
    drawn: NDArray[np.float64] = (mixed ^ (mixed >> np.uint64(33))).astype(np.float64) / 2.0**64
    return drawn

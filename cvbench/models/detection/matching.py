"""Regions and the things in an image: which belongs to which, which are trained on, how a region becomes a box."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.ops import box_iou

from cvbench.models.detection.detector import Target

FOREGROUND = 0.25  # of the regions of a training step, at most
GROWTH = math.log(1000 / 16)  # of the logarithm of a box's side, at most: as torchvision has it


def nearest(regions: Tensor, things: Tensor) -> tuple[Tensor, Tensor]:
    """Each region's largest IoU with one of the things, and which; 0 and 0 where there is none.

    regions (N, 4), things (T, 4): float xyxy. Returns float (N,) and int64 (N,).
    """
    if not len(things):
        return regions.new_zeros(len(regions)), torch.zeros(len(regions), dtype=torch.int64, device=regions.device)
    best, owner = box_iou(regions, things).max(dim=1)
    return best, owner


def labels_of(target: Target, owner: Tensor) -> Tensor:
    """The labels of those things, int64 (N,); 0 where the image has none. owner: as `nearest` gives it."""
    return target["labels"][owner] if len(target["labels"]) else torch.zeros_like(owner)


def sample(positive: Tensor, count: int) -> Tensor:
    """Indices of `count` regions at most, drawn at random: up to a quarter positive ones, the rest background.

    positive: bool (N,). Returns int64 (M,), the positive ones first.
    """
    right, wrong = (mask.nonzero()[:, 0] for mask in (positive, ~positive))
    right = right[torch.randperm(len(right), device=right.device)[: max(1, round(FOREGROUND * count))]]
    wrong = wrong[torch.randperm(len(wrong), device=wrong.device)[: count - len(right)]]
    return torch.cat([right, wrong])


def moved(boxes: Tensor, shifts: Tensor) -> Tensor:
    """Boxes (N, 4) xyxy corrected by (N, 4) predictions of `rcnn_fit.box_targets`."""
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    centres = centres + shifts[:, :2] * sizes
    # A wild prediction must not become infinity.
    halves = sizes * shifts[:, 2:].clamp(max=GROWTH).exp() / 2
    return torch.cat([centres - halves, centres + halves], dim=1)

"""R-CNN's crops: each region warped to one square size, with some of its surroundings around it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def warp(images: Tensor, boxes: list[Tensor], size: int, context: int) -> Tensor:
    """Every box of every image as a square crop, whatever its shape: (R, C, size, size), image after image.

    Girshick et al. 2014, appendix A, "warp with context padding": the box fills the crop but for a border of `context`
    pixels of the crop, which shows what surrounds it. What lies outside the image is 0, the mean of normalised images.
    Between pixels it is bilinear; where a pixel of the crop covers several of the image it is their mean (the published
    code takes one of them).

    images: float (B, C, H, W), normalised. boxes: of each image, float (N, 4) xyxy in its pixels.
    Runs on the images' device, without gradients. A pixel of the crop is outside where its centre is.
    """
    owners = torch.arange(len(boxes)).repeat_interleave(torch.tensor([len(places) for places in boxes]))
    places = with_context(torch.cat(boxes), size, context)
    rows = torch.cat([owners.to(images.device)[:, None].float(), places], dim=1)
    # How many pixels of the image one of the crop covers, along the side where these are fewer.
    levels = ((places[:, 2:] - places[:, :2]) / size).amin(dim=1).clamp(min=1).log2().long()
    crops = _read(images.float(), rows, levels, size)
    height, width = images.shape[-2:]
    beyond = ((places[:, :2] < 0) | (places[:, 2:] > places.new_tensor([width, height]))).any(dim=1).nonzero()[:, 0]
    if len(beyond):
        across, down = (_inside(places[beyond], axis, size, end) for axis, end in ((0, width), (1, height)))
        crops[beyond] *= (down[:, :, None] & across[:, None, :])[:, None]
    return crops


def _read(images: Tensor, rows: Tensor, levels: Tensor, size: int) -> Tensor:
    """The means of the pixels that each pixel of a crop covers. rows: (R, 5), index of the image and xyxy.

    Large regions are read from a copy halved `levels` times: the same at a cost that does not grow with the region.
    """
    crops: Tensor | None = None
    for level in range(int(levels.max()) + 1 if len(levels) else 0):
        if level:
            images = F.avg_pool2d(images, 2, ceil_mode=True)
        chosen = (levels == level).nonzero()[:, 0]
        if not len(chosen):
            continue
        scaled = torch.cat([rows[chosen, :1], rows[chosen, 1:] / 2**level], dim=1)
        # The operator itself: in deterministic mode torchvision's wrapper takes a slow way on CUDA, which only the
        # gradient needs.
        read: Tensor = torch.ops.torchvision.roi_align(images, scaled, 1.0, size, size, -1, True)
        if len(chosen) == len(rows):
            return read
        crops = images.new_empty(len(rows), *read.shape[1:]) if crops is None else crops
        crops[chosen] = read
    return images.new_empty(0, images.shape[1], size, size) if crops is None else crops


def _inside(places: Tensor, axis: int, size: int, end: int) -> Tensor:
    """Which of a crop's columns (axis 0) or rows (axis 1) have their centre within 0..end, bool (R, size)."""
    first, last = places[:, axis, None], places[:, axis + 2, None]
    centres = first + (last - first) * ((torch.arange(size, device=places.device) + 0.5) / size)
    return (centres >= 0) & (centres <= end)


def with_context(boxes: Tensor, size: int, context: int) -> Tensor:
    """Boxes (N, 4) xyxy grown about their centres: the old ones fill all but `context` of `size` pixels a side."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = half * (size / (size - 2 * context))
    return torch.cat([centre - half, centre + half], dim=1)

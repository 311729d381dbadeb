"""Augmentation of whole batches on their device, each sample by its own drawn parameters."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812  (the name everybody uses)
from torch import Tensor

from cvbench.data.base import VOID
from cvbench.loading import geometry
from cvbench.spec import Augment

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's and torchvision's greyscale


class Augmenter:
    """Applies a recipe's `augment` to images and, where there are any, to the masks that move with them.

    crop: False where the decoding worker has already cut the random crops.
    """

    def __init__(self, augment: Augment, *, crop: bool = True) -> None:
        self.augment = augment
        self.crop = crop and (augment.crop_scale is not None or augment.crop_ratio is not None)

    def __call__(self, images: Tensor, masks: Tensor | None, draws: Tensor) -> tuple[Tensor, Tensor | None]:
        """images uint8 or float (B, C, H, W), masks uint8 (B, H, W), draws float32 (B, K) -> float32 images in [0, 1], masks.

        Pixels that move in from outside are 0 in images and void in masks.
        """
        if self.crop or self.augment.rotate:
            images, masks = _affine(to_float(images), masks, self._matrices(images, draws))
        else:
            if self.augment.flip:
                mirrored = draws[:, geometry.FLIP] < 0.5
                images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
                masks = None if masks is None else torch.where(mirrored[:, None, None], masks.flip(-1), masks)
            if self.augment.shift:
                images, masks = _shift(images, masks, draws, self.augment.shift)
            images = to_float(images)
        if self.augment.colour:
            images = _jitter(images, draws, self.augment.colour)
        return images, masks

    def _matrices(self, images: Tensor, draws: Tensor) -> Tensor:
        """Where each output pixel comes from, in [-1, 1] coordinates: float32 (B, 2, 3), as `affine_grid` wants it."""
        height, width = images.shape[-2:]
        # Drawn numbers are few; the host computes them in float64, so that CPU and GPU crop the same boxes.
        host = draws.detach().cpu().numpy()
        boxes = torch.from_numpy(geometry.crop_boxes(host, self.augment))
        if not self.crop:
            boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64).expand(len(draws), 4)
        left, top, box_width, box_height = boxes.unbind(1)
        drawn = draws.detach().cpu().double()
        mirror = torch.ones(len(draws), dtype=torch.float64)
        if self.augment.flip:
            mirror = torch.where(drawn[:, geometry.FLIP] < 0.5, -1.0, 1.0).double()
        angle = (2 * drawn[:, geometry.ROTATE] - 1) * math.radians(self.augment.rotate)
        cos, sin, aspect = angle.cos(), angle.sin(), width / height
        x = 2 * left + box_width - 1 + (2 * drawn[:, geometry.SHIFT_X] - 1) * 2 * self.augment.shift / width
        y = 2 * top + box_height - 1 + (2 * drawn[:, geometry.SHIFT_Y] - 1) * 2 * self.augment.shift / height
        # Rotation happens in pixels, which are not square in [-1, 1] coordinates: hence the aspect.
        first = torch.stack([mirror * box_width * cos, -box_height * sin / aspect, x], dim=1)
        second = torch.stack([mirror * box_width * sin * aspect, box_height * cos, y], dim=1)
        return torch.stack([first, second], dim=1).float().to(draws.device)


def to_float(images: Tensor) -> Tensor:
    """uint8 0..255 -> float32 in [0, 1]; floats pass."""
    return images if images.is_floating_point() else images.float().div_(255)


def _affine(images: Tensor, masks: Tensor | None, matrices: Tensor) -> tuple[Tensor, Tensor | None]:
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if masks is None:
        return moved, None
    # Shifted by VOID, so that the zeros from outside come back as void.
    shifted = masks[:, None].float() - VOID
    sampled = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return moved, (sampled[:, 0] + VOID).round().to(torch.uint8)


def _shift(images: Tensor, masks: Tensor | None, draws: Tensor, most: int) -> tuple[Tensor, Tensor | None]:
    """Moves each sample by whole pixels from -most..most."""
    height, width = images.shape[-2:]
    span = 2 * most + 1
    dx = (draws[:, geometry.SHIFT_X] * span).long().clamp_(max=span - 1)
    dy = (draws[:, geometry.SHIFT_Y] * span).long().clamp_(max=span - 1)
    rows = torch.arange(height, device=images.device)[None, :] + dy[:, None]
    columns = torch.arange(width, device=images.device)[None, :] + dx[:, None]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    # Index in the padded picture; channels last, so that one gather moves whole pixels.
    padded = F.pad(images, (most, most, most, most)).permute(0, 2, 3, 1)
    images = padded[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if masks is not None:
        masks = F.pad(masks, (most, most, most, most), value=VOID)[batch, rows[:, :, None], columns[:, None, :]]
    return images, masks


def _jitter(images: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation, each by a factor from [1 - strength, 1 + strength]."""

    def factor(column: int) -> Tensor:
        return (1 + strength * (2 * draws[:, column] - 1))[:, None, None, None]

    images = images * factor(geometry.BRIGHTNESS)
    if images.shape[1] == 3:
        weights = images.new_tensor(_GREY)[None, :, None, None]
        grey = (images * weights).sum(dim=1, keepdim=True)
        images = grey + (images - grey) * factor(geometry.SATURATION)
        middle = grey.mean(dim=(2, 3), keepdim=True)
    else:
        middle = images.mean(dim=(2, 3), keepdim=True)
    return (middle + (images - middle) * factor(geometry.CONTRAST)).clamp_(0.0, 1.0)

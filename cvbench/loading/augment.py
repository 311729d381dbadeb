"""Augmentation of whole batches on their device, each sample by its own drawn parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cvbench.data.base import VOID
from cvbench.loading import geometry
from cvbench.spec import Augment

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's and torchvision's greyscale


class Augmenter:
    """Applies a recipe's `augment` to images, and to the masks or boxes that move with them.

    crop: False where the random crops were already cut while decoding.
    """

    def __init__(self, augment: Augment, *, crop: bool = True) -> None:
        self.augment = augment
        self.crop = crop and (augment.crop_scale is not None or augment.crop_ratio is not None)

    def __call__(self, images: Tensor, masks: Tensor | None, draws: Tensor) -> tuple[Tensor, Tensor | None]:
        """Augmented float32 images in [0, 1], and masks.

        Pixels that move in from outside are 0 in images and void in masks.

        Args:
            images: uint8, or float in [0, 1], (B, C, H, W). masks: uint8 (B, H, W).
            draws: float32 (B, `geometry.DRAWS`) in [0, 1), best on the host: a few numbers are worked out there in
                float64, so that every device gets the same parameters and none has to be waited for.
        """
        drawn = draws.cpu().double()
        if self.crop or self.augment.rotate:
            images, masks = _affine(
                to_float(images), masks, self._matrices(images.shape[-2:], drawn).float().to(images.device)
            )
        else:
            if self.augment.flip:
                images, masks = _flip(images, masks, drawn[:, geometry.FLIP] < 0.5)
            if self.augment.shift:
                images, masks = _shift(images, masks, drawn, self.augment.shift)
            images = to_float(images)
        if self.augment.colour:
            images = _jitter(images, drawn, self.augment.colour)
        return images, masks

    def boxes(self, boxes: Tensor, owner: Tensor, draws: Tensor, size: tuple[int, int]) -> Tensor:
        """Where boxes are after their images were augmented: float64 (N, 4) xyxy in pixels, not cut at the border.

        A turned box becomes the upright one around it.

        Args:
            boxes: float64 (N, 4) xyxy, on the host. owner: int64 (N,), the row of `draws` that moved each one's image.
            draws: as given with the images. size: (H, W) of the images.
        """
        drawn = draws.cpu().double()
        width = size[1]
        if self.crop or self.augment.rotate:
            return _affine_boxes(boxes, self._matrices(size, drawn)[owner], size)
        if self.augment.flip:
            mirrored = (drawn[:, geometry.FLIP] < 0.5)[owner]
            flipped = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)
            boxes = torch.where(mirrored[:, None], flipped, boxes)
        if self.augment.shift:
            down, right = _shifts(drawn, self.augment.shift)
            moved = self.augment.shift - torch.stack([right, down], dim=1)[owner]
            boxes = boxes + moved.repeat(1, 2)
        return boxes

    def _matrices(self, size: Sequence[int], drawn: Tensor) -> Tensor:
        """Where each output pixel comes from, in [-1, 1] coordinates: float64 (B, 2, 3), as `affine_grid` wants it.

        An output pixel is mirrored, scaled into the crop's box, turned about the box's centre and shifted.
        """
        height, width = size
        if self.crop:
            boxes = torch.from_numpy(geometry.crop_boxes(drawn.numpy(), self.augment))
        else:
            boxes = drawn.new_tensor([[0.0, 0.0, 1.0, 1.0]]).expand(len(drawn), 4)
        left, top, box_width, box_height = boxes.unbind(1)
        mirror = torch.ones_like(left)
        if self.augment.flip:
            mirror = torch.where(drawn[:, geometry.FLIP] < 0.5, -1.0, mirror)
        angle = (2 * drawn[:, geometry.ROTATE] - 1) * math.radians(self.augment.rotate)
        cos, sin, aspect = angle.cos(), angle.sin(), width / height
        x = 2 * left + box_width - 1 + (2 * drawn[:, geometry.SHIFT_X] - 1) * 2 * self.augment.shift / width
        y = 2 * top + box_height - 1 + (2 * drawn[:, geometry.SHIFT_Y] - 1) * 2 * self.augment.shift / height
        # Rotation happens in pixels, which are not square in [-1, 1] coordinates: hence the aspect.
        first = torch.stack([mirror * box_width * cos, -box_height * sin / aspect, x], dim=1)
        second = torch.stack([mirror * box_width * sin * aspect, box_height * cos, y], dim=1)
        return torch.stack([first, second], dim=1)


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


def _affine_boxes(boxes: Tensor, matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Upright boxes around what `matrices` (N, 2, 3), each box's own, make of them: they say where pixels come from."""
    unit = boxes.new_tensor([size[1], size[0]]) / 2  # pixels to [-1, 1]
    corners = boxes[:, [0, 1, 2, 1, 0, 3, 2, 3]].view(-1, 4, 2) / unit - 1
    source = corners - matrices[:, None, :, 2]
    moved = (torch.linalg.solve(matrices[:, :, :2], source.transpose(1, 2)).transpose(1, 2) + 1) * unit
    return torch.cat([moved.amin(dim=1), moved.amax(dim=1)], dim=1)


def _flip(images: Tensor, masks: Tensor | None, mirrored: Tensor) -> tuple[Tensor, Tensor | None]:
    # Only those that are mirrored, on average half, are turned; then all are picked in order from both: whole rows are
    # copied fast, which a choice pixel by pixel is not.
    chosen = mirrored.nonzero()[:, 0]
    order = torch.arange(len(mirrored))
    order[chosen] = torch.arange(len(mirrored), len(mirrored) + len(chosen))
    rows, order = chosen.to(images.device), order.to(images.device)

    def flip(pixels: Tensor) -> Tensor:  # (B, H, W, ...)
        return torch.cat([pixels, pixels.index_select(0, rows).flip(2)]).index_select(0, order)

    return flip(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), None if masks is None else flip(masks)


def _shift(images: Tensor, masks: Tensor | None, drawn: Tensor, most: int) -> tuple[Tensor, Tensor | None]:
    """Moves each sample by whole pixels from -most..most."""
    choices = 2 * most + 1
    down, right = (places.to(images.device) for places in _shifts(drawn, most))
    batch = torch.arange(len(images), device=images.device)

    def shift(pixels: Tensor, value: int) -> Tensor:  # (B, H, W, C)
        _, height, width, channels = pixels.shape
        padded = F.pad(pixels, (0, 0, most, most, most, most), value=value).contiguous()
        each, row, column, channel = padded.stride()
        # Every place at which a window of the picture's size fits: a view, from which one index takes whole windows.
        windows = padded.as_strided(
            (len(pixels), choices, choices, height, width, channels), (each, row, column, row, column, channel)
        )
        return windows[batch, down, right]

    moved = shift(images.permute(0, 2, 3, 1), 0).permute(0, 3, 1, 2)
    return moved, None if masks is None else shift(masks[..., None], VOID)[..., 0]


def _shifts(drawn: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Row and column of the padded image at which each sample's window begins, int64 (B,) from 0..2 * most."""
    down, right = (drawn[:, [geometry.SHIFT_Y, geometry.SHIFT_X]] * (2 * most + 1)).long().unbind(1)
    return down, right


def _jitter(images: Tensor, drawn: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation, each by a factor from [1 - strength, 1 + strength]."""
    columns = [geometry.BRIGHTNESS, geometry.SATURATION, geometry.CONTRAST]
    factors = (1 + strength * (2 * drawn[:, columns] - 1)).float().to(images.device)
    brightness, saturation, contrast = factors[:, :, None, None, None].unbind(1)
    images = images * brightness
    if images.shape[1] == 3:
        weights = images.new_tensor(_GREY)[None, :, None, None]
        grey = (images * weights).sum(dim=1, keepdim=True)
        images = grey + (images - grey) * saturation
        middle = grey.mean(dim=(2, 3), keepdim=True)
    else:
        middle = images.mean(dim=(2, 3), keepdim=True)
    return (middle + (images - middle) * contrast).clamp_(0.0, 1.0)

"""Histograms of oriented gradients under a linear classifier: manual features, nothing learned but the last layer.

Year: 2005
Source: Dalal, Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005

The features equal `skimage.feature.hog` (central differences, unsigned orientations without interpolation between bins,
cell means, L2-Hys blocks; of several channels each pixel takes the one of largest gradient), computed on the device for
a whole batch. They are taken of the images in [0, 1]: block normalisation makes mean and std superfluous. The
classifier is trained by gradient descent on the softmax loss, where the paper fits a linear SVM.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo

VERSION = 1

# Dalal and Triggs' and scikit-image's constants of L2-Hys: the clip, and the epsilon under both square roots.
CLIP = 0.2
EPSILON = 1e-5


def gradients(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Central differences (not halved), zero on the border, each pixel's from the channel whose gradient is largest.

    images: (B, C, H, W). Returns the differences along rows and columns and their magnitude, each (B, H, W).
    """
    rows = F.pad(images[:, :, 2:] - images[:, :, :-2], (0, 0, 1, 1))
    columns = F.pad(images[:, :, :, 2:] - images[:, :, :, :-2], (1, 1))
    magnitudes = torch.hypot(rows, columns)
    row, column, magnitude = rows[:, 0], columns[:, 0], magnitudes[:, 0]
    # Channel by channel is, on a CPU, much faster than argmax and gather. The first of equals stays, as in NumPy.
    for channel in range(1, images.shape[1]):
        stronger = magnitudes[:, channel] > magnitude
        row = torch.where(stronger, rows[:, channel], row)
        column = torch.where(stronger, columns[:, channel], column)
        magnitude = torch.where(stronger, magnitudes[:, channel], magnitude)
    return row, column, magnitude


def hog(images: Tensor, *, cell: int = 4, bins: int = 9, block: int = 2) -> Tensor:
    """Histogram-of-gradients features (B, F) of float images (B, C, H, W), C = 1 or more, values of any range.

    F = (H // cell - block + 1) * (W // cell - block + 1) * block² * bins, ordered as scikit-image orders them: block
    row, block column, cell row, cell column, bin. Equal to `skimage.feature.hog` within float32; where an
    orientation lies exactly on the edge of two bins (45 degrees with 8 bins; none but 0 with 9), rounding decides.
    """
    row, column, magnitude = gradients(images)
    angle = torch.atan2(row, column).mul(180 / math.pi).remainder(180)  # degrees, [0, 180)
    index = (angle * (bins / 180)).long().clamp_(max=bins - 1)
    votes = torch.zeros(images.shape[0], bins, *images.shape[2:], dtype=images.dtype, device=images.device)
    votes.scatter_(1, index[:, None], magnitude[:, None])
    cells = F.avg_pool2d(votes, cell)  # (B, bins, H // cell, W // cell); rows and columns that fill no cell are dropped
    blocks = cells.unfold(2, block, 1).unfold(3, block, 1)  # (B, bins, block rows, block columns, block, block)
    vectors = blocks.permute(0, 2, 3, 4, 5, 1).flatten(3)
    vectors = _unit(_unit(vectors).clamp(max=CLIP))
    return vectors.flatten(1)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / (vectors.square().sum(-1, keepdim=True) + EPSILON**2).sqrt()


class HogLinear(nn.Module):
    """`hog` under one linear layer. Images (B, C, H, W) in [0, 1] to logits (B, K)."""

    def __init__(self, features: int, classes: int, cell: int, bins: int, block: int) -> None:
        super().__init__()
        self.cell, self.bins, self.block = cell, bins, block
        self.linear = nn.Linear(features, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, images: Tensor) -> Tensor:
        # Nothing below the classifier learns, and orientations need more digits than half precision has.
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            features = hog(images.float(), cell=self.cell, bins=self.bins, block=self.block)
        return self.linear(features)  # type: ignore[no-any-return]


def build(info: DatasetInfo, *, cell: int = 4, bins: int = 9, block: int = 2) -> nn.Module:
    """Linear classifier on HOG features. cell: side in pixels; block: side in cells; bins: orientations in 180
    degrees.
    """
    if min(cell, bins, block) < 1:
        raise ValueError(f"Expected cell, bins and block of hog_linear to be positive, but got {cell}, {bins}, {block}")
    height, width = info.input_size or (0, 0)
    rows, columns = height // cell - block + 1, width // cell - block + 1
    if min(rows, columns) < 1:
        raise ValueError(
            f"hog_linear with blocks of {block} cells of {cell} pixels needs images of at least {block * cell} pixels "
            f"a side, but got {height}x{width}. Give the model a smaller `cell`, or the recipe a larger `input_size`."
        )
    return HogLinear(rows * columns * block**2 * bins, info.num_classes, cell, bins, block)

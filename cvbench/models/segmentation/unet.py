"""U-Net: a contracting path, an expanding path, and at every level the one's maps joined to the other's.

Year: 2015
Source: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015

Two 3×3 convolutions a level, 64 to 1024 maps, 2×2 max pooling down, 2×2 transposed convolutions up; 31.0M parameters.
What differs: convolutions are padded, so that logits have the images' size and skipped maps need no cropping (the paper
predicts 388×388 from 572×572), and followed by batch norm (`batch_norm: false` as published). Kaiming initialisation,
as in the paper, whose dropout rate is not given: `dropout` is 0 unless set.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models.initialise import kaiming
from cvbench.models.normalise import Normalised

VERSION = 1


class UNet(nn.Module):
    """Images (B, C, H, W), normalised, to logits (B, K, H, W), of half the sides (rounded up) if `stem_stride` is 2."""

    def __init__(
        self, channels: int, classes: int, width: int, depth: int, batch_norm: bool, stem_stride: int, dropout: float
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        self.down = nn.ModuleList()
        inputs = channels
        for level, outputs in enumerate(widths):
            self.down.append(_level(inputs, outputs, batch_norm, stride=1 if level else stem_stride))
            inputs = outputs
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.join = nn.ModuleList(_level(2 * w, w, batch_norm) for w in reversed(widths[:-1]))
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        skipped: list[Tensor] = []
        for level, layers in enumerate(self.down):
            # Rounded up, so that an odd side loses nothing; the transposed convolution's surplus is cut off again.
            images = layers(F.max_pool2d(images, 2, ceil_mode=True) if level else images)
            skipped.append(images)
        images = self.dropout(skipped.pop())
        for up, join in zip(self.up, self.join, strict=True):
            skip = skipped.pop()
            images = join(torch.cat([skip, up(images)[:, :, : skip.shape[2], : skip.shape[3]]], 1))
        return self.classifier(images)  # type: ignore[no-any-return]


def _level(inputs: int, outputs: int, batch_norm: bool, stride: int = 1) -> nn.Sequential:
    layers: list[nn.Module] = []
    for source, step in ((inputs, stride), (outputs, 1)):
        layers.append(nn.Conv2d(source, outputs, 3, stride=step, padding=1, bias=not batch_norm))
        layers += [nn.BatchNorm2d(outputs)] if batch_norm else []
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def build(
    info: DatasetInfo,
    *,
    width: int = 64,
    depth: int = 5,
    batch_norm: bool = True,
    stem_stride: Literal[1, 2] = 1,
    dropout: float = 0.0,
) -> nn.Module:
    """U-Net of any image size.

    width: maps of the first level, doubled at each next (paper: 64). depth: levels, the lowest included (paper: 5).
    stem_stride: 2 works, and predicts, at half the resolution, for about a quarter of the time. dropout: on the lowest
    level.
    """
    if depth < 2 or width < 1 or stem_stride not in (1, 2):
        raise ValueError(
            f"Expected unet to have depth >= 2, width >= 1 and stem_stride 1 or 2, "
            f"but got {depth}, {width} and {stem_stride}"
        )
    network = UNet(info.channels, info.num_classes, width, depth, batch_norm, stem_stride, dropout)
    kaiming(network)
    return Normalised(network, info)

"""ResNet for 32×32 images: three stages of plain residual blocks (16, 32, 64 maps), parameter-free shortcuts.

Year: 2015
Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv:1512.03385), section 4.2

Depth 6n + 2. Parameters and CIFAR-10 test error of the paper: 20: 0.27M, 8.75 %; 32: 0.46M, 7.51 %; 44: 0.66M, 7.17 %;
56: 0.85M, 6.97 %; 110: 1.7M, 6.43 %. Shortcuts are the paper's option A: identity, subsampled and padded with zero
maps where the stage changes. Kaiming initialisation, as in the paper.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models.initialise import kaiming
from cvbench.models.normalise import Normalised

VERSION = 1


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm, added to the block's input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.stride, self.new_maps = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        if self.stride > 1 or self.new_maps:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_maps))
        return F.relu(y + x, inplace=True)


def build(info: DatasetInfo, *, depth: Literal[20, 32, 44, 56, 110] = 20, width: int = 16) -> nn.Module:
    """CIFAR ResNet; any image size, made for 32×32. width: maps of the first stage, doubled twice (paper: 16)."""
    if depth not in (20, 32, 44, 56, 110):
        raise ValueError(f"Expected `depth` of resnet_cifar to be 20, 32, 44, 56 or 110, but got {depth}")
    blocks: list[nn.Module] = []
    inputs = width
    for stage in range(3):
        outputs = width * 2**stage
        for index in range((depth - 2) // 6):
            blocks.append(Block(inputs, outputs, stride=2 if stage and not index else 1))
            inputs = outputs
    network = nn.Sequential(
        nn.Conv2d(info.channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, info.num_classes),
    )
    kaiming(network)
    return Normalised(network, info)

"""SegNet: VGG-16's convolutions, and a mirrored decoder that unpools with the encoder's pooling indices.

Year: 2015
Source: Badrinarayanan et al., "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation", PAMI

Every convolution is 3×3 with batch norm and ReLU, 13 in the encoder and 13 in the decoder, of which the last is the
classifier; 29.4M parameters. CamVid, 11 classes, 360×480: class-mean IoU 55.6 in ENet's paper. Pooling rounds up, as
the authors' Caffe does, so that odd sides keep their border. Unpooling scatters into zeros: equal to `max_unpool2d`,
which PyTorch refuses in deterministic mode. Kaiming initialisation, as in the paper; the encoder starts from random
weights, where the paper takes VGG-16's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models.initialise import kaiming
from cvbench.models.normalise import Normalised

VERSION = 1

# VGG-16: how many times the first stage's width, and how many convolutions.
WIDTHS = (1, 2, 4, 8, 8)
CONVOLUTIONS = (2, 2, 3, 3, 3)


def unpool(values: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Puts each value of (B, C, h, w) where its maximum came from in (B, C, *size), zeros elsewhere.

    indices: int64 (B, C, h, w), flat within one map, as `max_pool2d(return_indices=True)` gives them.
    """
    batch, channels = values.shape[:2]
    maps = values.new_zeros(batch, channels, size[0] * size[1])
    return maps.scatter(2, indices.flatten(2), values.flatten(2)).view(batch, channels, *size)


class SegNet(nn.Module):
    """Images (B, C, H, W), normalised, to logits (B, K, H, W); any H, W of at least 2."""

    def __init__(self, channels: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        inputs = channels
        for stage in range(depth):
            outputs, count = width * WIDTHS[stage], CONVOLUTIONS[stage]
            self.encoder.append(
                nn.Sequential(_layer(inputs, outputs), *(_layer(outputs, outputs) for _ in range(count - 1)))
            )
            # The decoder's last convolution of a stage gives what the stage above it pooled.
            last = nn.Conv2d(outputs, classes, 3, padding=1) if stage == 0 else _layer(outputs, inputs)
            self.decoder.insert(0, nn.Sequential(*(_layer(outputs, outputs) for _ in range(count - 1)), last))
            inputs = outputs

    def forward(self, images: Tensor) -> Tensor:
        pooled: list[tuple[Tensor, tuple[int, int]]] = []
        for stage in self.encoder:
            maps = stage(images)
            images, indices = F.max_pool2d(maps, 2, ceil_mode=True, return_indices=True)
            pooled.append((indices, (maps.shape[2], maps.shape[3])))
        for stage, (indices, size) in zip(self.decoder, reversed(pooled), strict=True):
            images = stage(unpool(images, indices, size))
        return images


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def build(info: DatasetInfo, *, width: int = 64, depth: int = 5) -> nn.Module:
    """SegNet; logits of the images' size. width: maps of the first stage (paper: 64). depth: stages, 1 to 5 (paper:
    5).
    """
    if not 1 <= depth <= len(WIDTHS):
        raise ValueError(f"Expected `depth` of segnet to be 1 to {len(WIDTHS)}, but got {depth}")
    network = SegNet(info.channels, info.num_classes, width, depth)
    kaiming(network)
    return Normalised(network, info)

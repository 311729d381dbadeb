"""FCN: a classifier turned into convolutions, its class scores upsampled and joined with finer ones (32s, 16s, 8s).

Year: 2014
Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015 (arXiv:1411.4038)

`backbone: vgg16` is the published network: VGG-16 with fc6 and fc7 as convolutions (7×7 and 1×1, 4096 maps, dropout
0.5), score layers that start at zero on fc7, pool4 and pool3, upsampling that starts bilinear and is learned between
scores, and fixed bilinear at the end; 134M parameters. What differs: the first convolution does not pad by 100 (which
made fc6 fit any image); images are padded at the bottom and right to a multiple of 32, fc6 pads by 3, and the logits
are cropped. The scores on pool4 and pool3 are not scaled: that was for training the 8s net in one go with plain SGD at
rates of 1e-10. `backbone: small` is a light net with batch norm for trials and CPUs, and `torchvision/NAME` any
classifier whose feature maps can be found at strides 8, 16 and 32; their score layers sit on the last map of each
stride. Kaiming initialisation.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models import backbones, zoo
from cvbench.models.initialise import kaiming
from cvbench.models.normalise import Normalised

VERSION = 1

STRIDES = {32: (32,), 16: (32, 16), 8: (32, 16, 8)}


class Upsample(nn.ConvTranspose2d):
    """Doubles the sides of score maps: a transposed convolution that starts as bilinear interpolation, a filter a
    class.

    The published layer also connects different classes, through weights that start at zero and that the authors' code
    keeps there.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4, stride=2, padding=1, groups=channels, bias=False)
        with torch.no_grad():
            self.weight.copy_(bilinear_kernel(2).expand_as(self.weight))


def bilinear_kernel(factor: int) -> Tensor:
    """(2 * factor, 2 * factor) weights of a transposed convolution that upsamples bilinearly by an even `factor`.

    Away from the border equal to `F.interpolate(mode="bilinear", align_corners=False)`.
    """
    distance = (torch.arange(2 * factor) - (factor - 0.5)).abs()
    line = 1 - distance / factor
    return line[:, None] * line[None, :]


class Fcn(nn.Module):
    """Score layers on a backbone's maps. Images (B, C, H, W), normalised, to logits (B, K, H, W).

    backbone: returns its maps at strides 32, 16 and 8 under the keys "32", "16", "8". channels: of these maps by
    stride.
    """

    def __init__(self, backbone: nn.Module, channels: dict[int, int], classes: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.strides = strides
        self.scores = nn.ModuleDict({str(s): nn.Conv2d(channels[s], classes, 1) for s in strides})
        self.upsamples = nn.ModuleDict({str(s): Upsample(classes) for s in strides[1:]})
        for layer in self.scores.values():
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % 32, 0, -height % 32))
        maps = self.backbone(images)
        logits = self.scores["32"](maps["32"])
        for stride in self.strides[1:]:
            logits = self.upsamples[str(stride)](logits) + self.scores[str(stride)](maps[str(stride)])
        logits = F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)
        return logits[:, :, :height, :width]


def build(
    info: DatasetInfo,
    *,
    stride: Literal[32, 16, 8] = 8,
    backbone: str = "vgg16",
    backbone_weights: str | None = None,
    width: int = 32,
    dropout: float = 0.5,
) -> nn.Module:
    """FCN-32s, 16s or 8s; logits of the images' size, whatever that is.

    backbone: "vgg16" (as published), "small", or "torchvision/NAME". backbone_weights: published weights of
    torchvision's for it, such as IMAGENET1K_V1 (may be downloaded; with vgg16 they include fc6 and fc7). width: maps of
    the first stage of "small". dropout: after fc6 and fc7 of "vgg16".
    """
    if stride not in STRIDES:
        raise ValueError(f"Expected `stride` of fcn to be 32, 16 or 8, but got {stride}")
    strides = STRIDES[stride]
    mean = std = None
    network: nn.Module
    if backbone == "small":
        if backbone_weights is not None:
            raise ValueError("Expected no `backbone_weights` for backbone small: none are published")
        network, channels = backbones.Small(info.channels, width), backbones.small_channels(width)
        kaiming(network)
        wanted = info.channels
    else:
        name = backbone.removeprefix("torchvision/")
        known = backbone.startswith("torchvision/") or backbone == "vgg16"
        if not known:
            raise ValueError(f"Expected `backbone` of fcn to be vgg16, small or torchvision/NAME, but got {backbone!r}")
        zoo.known_torchvision("classification", name)
        weights: Any = zoo.torchvision_weights(name, backbone_weights)
        if weights is not None:
            mean, std = zoo.statistics(name, weights)
        if backbone == "vgg16":
            network, channels = backbones.vgg16(weights, dropout)
        else:
            network, channels = backbones.torchvision_maps(name, weights, strides)
        wanted = 3
    return Normalised(Fcn(network, channels, info.num_classes, strides), info, mean, std, channels=wanted)

"""Networks that turn a warped region into features: AlexNet as R-CNN's paper had it, or any backbone."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvbench.models.feature_maps import build_backbone


class Features(NamedTuple):
    """Of N regions. pooled: float (N, P), the last feature maps; deep: float (N, D), what classifies."""

    pooled: Tensor
    deep: Tensor


class AlexNetFeatures(nn.Module):
    """pool5 (9,216 values) and fc7 (4,096) of torchvision's AlexNet; crops of at least 63 pixels, published 227."""

    wants, pooled_size, deep_size = 3, 9216, 4096

    def __init__(self) -> None:
        from torchvision.models import AlexNet_Weights, alexnet

        super().__init__()
        self.body = alexnet(weights=None)
        self.body.classifier[-1] = nn.Identity()
        transforms = AlexNet_Weights.DEFAULT.transforms()
        self.mean, self.std = tuple(transforms.mean), tuple(transforms.std)

    def forward(self, crops: Tensor) -> Features:
        pooled = torch.flatten(self.body.avgpool(self.body.features(crops)), 1)
        return Features(pooled, self.body.classifier(pooled))


class BackboneFeatures(nn.Module):
    """The last map of a backbone, averaged to `pooled` x `pooled` places, and a hidden layer on it, or none."""

    def __init__(self, name: str, width: int, channels: int, pooled: int, hidden: int, freeze: int, freeze_norm: bool):
        super().__init__()
        backbone = build_backbone(
            name, strides=(32,), width=width, channels=channels, freeze=freeze, freeze_norm=freeze_norm
        )
        assert isinstance(backbone.out_channels, dict)
        self.backbone, self.pooled = backbone, pooled
        self.wants, self.mean, self.std = backbone.wants, backbone.mean, backbone.std
        self.pooled_size = backbone.out_channels["32"] * pooled**2
        self.deep_size = hidden or self.pooled_size
        self.hidden = nn.Sequential(nn.Linear(self.pooled_size, hidden), nn.ReLU(), nn.Dropout(0.5)) if hidden else None

    @property
    def body(self) -> nn.Module:
        return self.backbone.body

    def forward(self, crops: Tensor) -> Features:
        pooled = F.adaptive_avg_pool2d(self.backbone(crops)["32"], self.pooled).flatten(1)
        return Features(pooled, pooled if self.hidden is None else self.hidden(pooled))

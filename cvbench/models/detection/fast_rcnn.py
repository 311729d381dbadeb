"""Fast R-CNN: the image goes through the network once; each proposed region is pooled from its feature map.

Year: 2015
Source: Girshick, "Fast R-CNN", ICCV 2015 (arXiv:1504.08083)

One network classifies regions and corrects their boxes, class by class, trained with one loss. The region head is
torchvision's `RoIHeads`, given proposals from outside; as published 64 regions an image, a quarter of them with an IoU
of at least 0.5 with a thing, and suppression at 0.3. Other than published, any region below 0.5 may be background (the
paper takes 0.1 to 0.5), and the layers of the head are not compressed.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_pool

from cvbench.data.base import DatasetInfo
from cvbench.models.detection.detector import MOST, Target
from cvbench.models.detection.proposal_detector import ProposalDetector
from cvbench.models.detection.proposals import Proposals, SourceName
from cvbench.models.feature_maps import Backbone, build_backbone

VERSION = 1

DIVISOR = 32  # images are padded with the mean colour to multiples of it, as backbones halve them five times


class FastRCNN(nn.Module):
    """Backbone, region pooling and torchvision's region head."""

    def __init__(self, backbone: Backbone, heads: nn.Module) -> None:
        super().__init__()
        self.backbone, self.heads = backbone, heads

    def forward(
        self, images: Tensor, regions: list[Tensor], targets: list[Target] | None = None
    ) -> dict[str, Tensor] | list[Target]:
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % DIVISOR, 0, -height % DIVISOR))
        found, losses = self.heads(self.backbone(padded), regions, [(height, width)] * len(images), targets)
        return found if targets is None else losses  # type: ignore[no-any-return]


class RegionPool(nn.Module):
    """RoI max pooling from one map: `pooled` x `pooled` values a region and channel, as published."""

    def __init__(self, stride: int, pooled: int) -> None:
        super().__init__()
        self.stride, self.pooled = stride, pooled

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], sizes: Any) -> Tensor:
        (only,) = features.values()
        pooled: Tensor = roi_pool(only.float().contiguous(), boxes, self.pooled, 1 / self.stride)  # autocast has none
        return pooled


def build(
    info: DatasetInfo,
    *,
    backbone: str = "small",
    width: int = 16,
    stride: int = 16,
    proposals: int = 2000,
    source: SourceName = "selective_search",
    regions_trained: int = 64,
    pooled: int = 7,
    hidden: int = 256,
    freeze: int = 0,
    freeze_norm: bool = False,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.3,
) -> nn.Module:
    """A Fast R-CNN for images of any size.

    backbone: `small` of `width`, torchvision/NAME or timm/NAME; its map at `stride` is pooled. proposals: regions an
    image at most, of `source` (see `proposals`). regions_trained: of each image in a training step. pooled: values a
    side of a pooled region. hidden: units of the two fully connected layers. freeze, freeze_norm: see `build_backbone`.
    score_threshold, nms_threshold: what is a detection, and how much two of a class may overlap.
    Raises ValueError: see `build_backbone` and `Proposals`.
    """
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.roi_heads import RoIHeads

    for key, value in {"regions_trained": regions_trained, "pooled": pooled}.items():
        if value < 1:
            raise ValueError(f"Expected `{key}` of fast_rcnn to be at least 1, but got {value}")
    body = build_backbone(
        backbone, strides=(stride,), width=width, channels=info.channels, freeze=freeze, freeze_norm=freeze_norm
    )
    assert isinstance(body.out_channels, dict)
    heads = RoIHeads(
        box_roi_pool=RegionPool(stride, pooled),
        box_head=TwoMLPHead(body.out_channels[str(stride)] * pooled**2, hidden),
        box_predictor=FastRCNNPredictor(hidden, info.num_classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=regions_trained,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=score_threshold,
        nms_thresh=nms_threshold,
        detections_per_img=MOST,
    )
    return ProposalDetector(FastRCNN(body, heads), info, Proposals(source, proposals), body)

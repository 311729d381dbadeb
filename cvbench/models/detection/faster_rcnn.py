"""Faster R-CNN: a network proposes regions on its own feature maps, and a second head says what each one is.

Year: 2015
Source: Ren, He, Girshick & Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
    NeurIPS 2015 (arXiv:1506.01497); its pyramid: Lin et al., CVPR 2017 (arXiv:1612.03144)

torchvision's Faster R-CNN with a feature pyramid. The defaults train on two cores at about 100 pixels: a light backbone
from random weights, 32 maps, 50 proposals an image of which 32 are trained on, pooled to 5 x 5 (published, with a
pyramid: ResNet-50, strides 4 to 64, 256 maps, 1,000 proposals, 512, 7 x 7, anchors of 8 strides).
`torchvision/fasterrcnn_resnet50_fpn` is the published size.
"""

from __future__ import annotations

from torch import nn

from cvbench.data.base import DatasetInfo
from cvbench.models.detection.detector import detector_on
from cvbench.models.feature_maps import build_backbone

VERSION = 1


def build(
    info: DatasetInfo,
    *,
    backbone: str = "small",
    backbone_weights: str | None = None,
    width: int = 16,
    strides: tuple[int, ...] = (8, 16, 32),
    pyramid_channels: int = 32,
    anchor_scale: float = 2.0,
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0),
    proposals: int = 50,
    regions: int = 32,
    pooled: int = 5,
    hidden: int = 128,
    freeze: int = 0,
    freeze_norm: bool = False,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.5,
) -> nn.Module:
    """Faster R-CNN on a feature pyramid; torchvision's contract of detectors.

    backbone: "small", "torchvision/NAME" or "timm/NAME". backbone_weights: published weights of it, by torchvision's
    name or timm's tag; may be downloaded. width: maps of the first stage of "small". strides: of the feature maps that
    detect. pyramid_channels: maps of the pyramid. anchor_scale: side of an anchor, in strides. aspect_ratios: heights
    over widths of anchors. proposals: that reach the second head, an image. regions: of an image that either head is
    trained on. pooled: cells a side that a region is pooled to. hidden: units of the second head's two layers. freeze,
    freeze_norm: see `build_backbone`. score_threshold: what scores less is not told. nms_threshold: intersection over
    union above which the less sure of two boxes goes.
    Raises ValueError as `build_backbone`.
    """
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
    from torchvision.ops import MultiScaleRoIAlign

    body = build_backbone(
        backbone,
        strides=strides,
        width=width,
        pyramid_channels=pyramid_channels,
        channels=info.channels,
        weights=backbone_weights,
        freeze=freeze,
        freeze_norm=freeze_norm,
    )
    anchors = AnchorGenerator(tuple((anchor_scale * stride,) for stride in strides), (aspect_ratios,) * len(strides))
    network = FasterRCNN(
        body,
        rpn_anchor_generator=anchors,
        rpn_pre_nms_top_n_train=4 * proposals,
        rpn_pre_nms_top_n_test=4 * proposals,
        rpn_post_nms_top_n_train=proposals,
        rpn_post_nms_top_n_test=proposals,
        rpn_batch_size_per_image=regions,
        box_roi_pool=MultiScaleRoIAlign([str(stride) for stride in strides], pooled, sampling_ratio=2),
        box_head=TwoMLPHead(pyramid_channels * pooled**2, hidden),
        box_predictor=FastRCNNPredictor(hidden, info.num_classes + 1),
        box_batch_size_per_image=regions,
        box_score_thresh=score_threshold,
        box_nms_thresh=nms_threshold,
    )
    return detector_on(network, info, body)

"""SSD: default boxes of several sizes on feature maps of several strides, told apart in one pass; no pyramid.

Year: 2015
Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016 (arXiv:1512.02325)

torchvision's SSD (hard negatives three to one, smooth L1 loss) on the backbone's own maps. The defaults train on two
cores at about 100 pixels: a light backbone from random weights and three maps (published: VGG-16 and six, of which four
are convolutions of its own). Default boxes are shares of the picture, so they have its shape.
`torchvision/ssd300_vgg16` is the published size.
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
    scales: tuple[float, ...] = (0.12, 0.3, 0.5, 0.8),
    aspect_ratios: tuple[float, ...] = (2.0,),
    freeze: int = 0,
    freeze_norm: bool = False,
    score_threshold: float = 0.01,
    nms_threshold: float = 0.45,
) -> nn.Module:
    """SSD on a backbone's maps; torchvision's contract of detectors.

    backbone: "small", "torchvision/NAME" or "timm/NAME". backbone_weights: published weights of it, by torchvision's
    name or timm's tag; may be downloaded. width: maps of the first stage of "small". strides: of the feature maps that
    detect. scales: side of the default boxes of each map, as a share of the picture's, and one more: between it and the
    next lies a second size. aspect_ratios: each adds a wide and a tall box. freeze, freeze_norm: see `build_backbone`.
    score_threshold: what scores less is not told. nms_threshold: intersection over union above which the less sure of
    two boxes goes.
    Raises ValueError: not one more of `scales` than of `strides`, and as `build_backbone`.
    """
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.ssd import SSD, SSDHead

    if len(scales) != len(strides) + 1:
        raise ValueError(f"Expected {len(strides) + 1} `scales` of ssd, one more than strides, but got {list(scales)}")
    body = build_backbone(
        backbone,
        strides=strides,
        width=width,
        channels=info.channels,
        weights=backbone_weights,
        freeze=freeze,
        freeze_norm=freeze_norm,
    )
    boxes = DefaultBoxGenerator([list(aspect_ratios) for _ in strides], scales=list(scales), steps=list(strides))
    classes = info.num_classes + 1
    assert isinstance(body.out_channels, dict)
    head = SSDHead(list(body.out_channels.values()), boxes.num_anchors_per_location(), classes)
    network = SSD(
        body,
        boxes,
        (1, 1),  # a size to resize to, which is not done here
        classes,
        head=head,
        score_thresh=score_threshold,
        nms_thresh=nms_threshold,
    )
    return detector_on(network, info, body)

"""RetinaNet: anchors at every cell of a feature pyramid, and a loss that gives easy ones little weight.

Year: 2017
Source: Lin, Goyal, Girshick, He & Dollár, "Focal Loss for Dense Object Detection", ICCV 2017 (arXiv:1708.02002)

torchvision's RetinaNet with what its second version adds: group normalisation in the heads and the generalised IoU
loss. The defaults train on two cores at about 100 pixels: a light backbone from random weights, 32 maps, one
convolution a head, anchors of 2 and 2.8 strides (published: ResNet-50, strides 8 to 128, 256, 4, and 4, 5 and 6.3
strides). `torchvision/retinanet_resnet50_fpn_v2` is the published size.
"""

from __future__ import annotations

from functools import partial

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
    convolutions: int = 1,
    anchor_scale: float = 2.0,
    octaves: int = 2,
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0),
    freeze: int = 0,
    freeze_norm: bool = False,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.5,
) -> nn.Module:
    """RetinaNet on a feature pyramid; torchvision's contract of detectors.

    backbone: "small", "torchvision/NAME" or "timm/NAME". backbone_weights: published weights of it, by torchvision's
    name or timm's tag; may be downloaded. width: maps of the first stage of "small". strides: of the feature maps that
    detect. pyramid_channels: maps of the pyramid and of the heads, a multiple of 32 (group normalisation).
    convolutions: of each head, 1 to 4. anchor_scale: side of the smallest anchor, in strides. octaves: sizes of anchors
    from there to twice that. aspect_ratios: heights over widths of anchors. freeze, freeze_norm: see `build_backbone`.
    score_threshold: what scores less is not told. nms_threshold: intersection over union above which the less sure of
    two boxes goes.
    Raises ValueError: `pyramid_channels` that cannot be grouped, and as `build_backbone`.
    """
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead

    if pyramid_channels % 32:
        raise ValueError(f"Expected `pyramid_channels` of retinanet to be a multiple of 32, but got {pyramid_channels}")
    if convolutions not in (1, 2, 3, 4):
        raise ValueError(f"Expected `convolutions` of retinanet to be 1 to 4, but got {convolutions}")
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
    norm = partial(nn.GroupNorm, 32)
    head = RetinaNetHead(pyramid_channels, octaves * len(aspect_ratios), info.num_classes, norm)
    for branch in (head.classification_head, head.regression_head):
        branch.conv = branch.conv[:convolutions]  # torchvision always builds 4
    head.regression_head._loss_type = "giou"  # as torchvision's second version sets it
    sizes = tuple(tuple(anchor_scale * stride * 2 ** (k / octaves) for k in range(octaves)) for stride in strides)
    network = RetinaNet(
        body,
        info.num_classes,
        anchor_generator=AnchorGenerator(sizes, (aspect_ratios,) * len(strides)),
        head=head,
        score_thresh=score_threshold,
        nms_thresh=nms_threshold,
    )
    # Every output is a class: there is no background.
    return detector_on(network, info, body, first_label=0)

"""FCOS: every cell of a feature pyramid says what it lies in and how far off that thing's sides are; no anchors.

Year: 2019
Source: Tian, Shen, Chen & He, "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019 (arXiv:1904.01355)

torchvision's FCOS: focal loss, generalised IoU loss, centre-ness, centre sampling. A level of the pyramid is for things
of 4 to 8 of its strides a side, the finest for smaller and the coarsest for larger ones too. The defaults train on two
cores at about 100 pixels: a light backbone from random weights, 32 maps, one convolution a head (published: ResNet-50,
strides 8 to 128, 256 and 4). `torchvision/fcos_resnet50_fpn` is the published size.
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
    convolutions: int = 1,
    freeze: int = 0,
    freeze_norm: bool = False,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.6,
) -> nn.Module:
    """FCOS on a feature pyramid; torchvision's contract of detectors.

    backbone: "small", "torchvision/NAME" or "timm/NAME". backbone_weights: published weights of it, by torchvision's
    name or timm's tag; may be downloaded. width: maps of the first stage of "small". strides: of the feature maps that
    detect. pyramid_channels: maps of the pyramid and of the heads, a multiple of 32 (group normalisation).
    convolutions: of each head. freeze, freeze_norm: see `build_backbone`. score_threshold: what scores less is not
    told. nms_threshold: intersection over union above which the less sure of two boxes goes.
    Raises ValueError: `pyramid_channels` that cannot be grouped, and as `build_backbone`.
    """
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.fcos import FCOS, FCOSHead

    if pyramid_channels % 32:
        raise ValueError(f"Expected `pyramid_channels` of fcos to be a multiple of 32, but got {pyramid_channels}")
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
    network = FCOS(
        body,
        info.num_classes,
        anchor_generator=AnchorGenerator(tuple((stride,) for stride in strides), ((1.0,),) * len(strides)),
        head=FCOSHead(pyramid_channels, 1, info.num_classes, convolutions),
        score_thresh=score_threshold,
        nms_thresh=nms_threshold,
    )
    # Every output is a class: there is no background.
    return detector_on(network, info, body, first_label=0)

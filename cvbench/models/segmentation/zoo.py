"""Segmenters of torchvision and segmentation-models-pytorch by name: `torchvision/fcn_resnet50`, `smp/Unet-resnet18`.

Source: https://docs.pytorch.org/vision/stable/models.html, https://github.com/qubvel-org/segmentation_models.pytorch

torchvision's FCN, DeepLabv3 and LR-ASPP, and where the `zoo` extra is installed smp's architectures on smp's encoders,
with the dataset's classes. Nothing is downloaded, backbones neither, unless weights are named; then the model
normalises with their mean and std. torchvision's FCN and DeepLabv3 train with their auxiliary classifier, weighted 0.5,
as in its references.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models import zoo
from cvbench.models.fit import check_fit
from cvbench.models.normalise import Normalised, Output
from cvbench.models.outputs import WithAuxiliary

VERSION = 1

AUXILIARY_WEIGHT = 0.5  # torchvision/references/segmentation/train.py
REMEDY = "Give the recipe a larger `input_size`, or choose another model."


class TorchvisionSegmenter(Normalised):
    """A torchvision segmenter whose auxiliary classifier runs in training only. Logits have the images' size."""

    def forward(self, images: Tensor) -> Output:
        network: Any = self.network
        features = network.backbone(self.normalise(images))
        # LR-ASPP's head reads two feature maps, the others one.
        logits = network.classifier(features.get("out", features))
        logits = _resize(logits, images)
        auxiliary = getattr(network, "aux_classifier", None)
        if auxiliary is None or not self.training:
            return logits
        return WithAuxiliary(logits, (_resize(auxiliary(features["aux"]), images),), AUXILIARY_WEIGHT)


class PaddedSegmenter(Normalised):
    """A network whose input sides have to be multiples of `divisor`: padded with the mean colour, logits cropped."""

    divisor: int = 1

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = F.pad(self.normalise(images), (0, -width % self.divisor, 0, -height % self.divisor))
        return self.network(padded)[:, :, :height, :width]  # type: ignore[no-any-return]


def _resize(logits: Tensor, images: Tensor) -> Tensor:
    return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)


def build(
    info: DatasetInfo,
    name: str,
    weights: str | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options: Any,
) -> nn.Module:
    """The model `name` ("torchvision/NAME" or "smp/ARCH-ENCODER") for the dataset; logits (B, K, H, W).

    weights: None (random), or published weights: torchvision's of the whole model (COCO_WITH_VOC_LABELS_V1), smp's of
    the encoder (imagenet). mean, std: what the network expects, where that is neither its weights' nor the dataset's.
    options: go to the library's own builder; torchvision: `aux_loss: false` leaves the auxiliary classifier away,
    `weights_backbone: IMAGENET1K_V1` asks for a pretrained backbone.
    Raises ValueError: unknown name, weights or option, a missing package, or images too small for the model.
    """
    library, _, model_name = name.partition("/")
    builders = {"torchvision": _torchvision, "smp": _smp}
    if library not in builders or not model_name:
        raise ValueError(f"Expected a segmenter torchvision/NAME or smp/ARCH-ENCODER, but got {name!r}")
    model = builders[library](info, model_name, weights, mean, std, options)
    check_fit(model, info, name, REMEDY)
    return model


def _torchvision(
    info: DatasetInfo,
    name: str,
    weights: str | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    options: dict[str, Any],
) -> Normalised:
    from torchvision.models import get_model

    zoo.known_torchvision("segmentation", name)
    published = zoo.torchvision_weights(name, weights)
    classes = info.num_classes if published is None else len(published.meta["categories"])
    if not name.startswith("lraspp"):
        options = {"aux_loss": True, **options}
    backbone_name = "mobilenet_v3_large" if "mobilenet" in name else name.rpartition("_")[2]
    backbone = zoo.torchvision_weights(backbone_name, options.pop("weights_backbone", None))
    aux_loss = options.get("aux_loss", False)
    if published is not None and "aux_loss" in options:
        options = {**options, "aux_loss": True}  # the published weights include the auxiliary classifier's
    network: Any = zoo.construct(
        f"torchvision/{name}",
        partial(get_model, name, weights=published, weights_backbone=backbone, num_classes=classes),
        options,
        next((str(w.url) for w in (published, backbone) if w is not None), ""),
    )
    if not aux_loss and hasattr(network, "aux_classifier"):
        network.aux_classifier = None
    replaced = zoo.replace_heads(network, classes, info.num_classes)
    if (pretrained := published or backbone) is not None:
        own_mean, own_std = zoo.statistics(name if published else backbone_name, pretrained)
        mean, std = mean or own_mean, std or own_std
    model = TorchvisionSegmenter(network, info, mean, std, channels=3)
    model.reinitialised = replaced
    model.training_only = ("aux_classifier.",)
    return model


def _smp(
    info: DatasetInfo,
    name: str,
    weights: str | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    options: dict[str, Any],
) -> Normalised:
    smp = zoo.extra("segmentation_models_pytorch")
    architecture, _, encoder = name.partition("-")
    architectures = {cls.__name__.lower(): cls.__name__ for cls in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if architecture.lower() not in architectures or not encoder:
        near = zoo.nearest(architecture, list(architectures.values()))
        choices = ", ".join(architectures.values())
        raise ValueError(f"Expected smp/ARCH-ENCODER with ARCH one of {choices}, but got smp/{name}.{near}")
    encoders = smp.encoders.get_encoder_names()
    # "tu-NAME" is smp's way to take any encoder of timm; only timm knows these names.
    if encoder not in encoders and not encoder.startswith("tu-"):
        raise ValueError(f"smp has no encoder {encoder!r}.{zoo.nearest(encoder, encoders)}")
    channels = info.channels if info.channels not in (1, 3) else 3
    build_smp = partial(
        smp.create_model,
        architecture,
        encoder,
        # timm's encoders carry the weights' name in their own: smp wants yes or no.
        encoder_weights=True if weights is not None and encoder.startswith("tu-") else weights,
        in_channels=channels,
        classes=info.num_classes,
    )
    network: Any = zoo.construct(f"smp/{name}", build_smp, options, "https://huggingface.co/smp-hub")
    if weights is not None:
        own = smp.encoders.get_preprocessing_params(encoder, weights)
        mean, std = mean or own["mean"], std or own["std"]
    model = PaddedSegmenter(network, info, mean, std, channels=channels)
    if getattr(network, "requires_divisible_input_shape", True):
        model.divisor = network.encoder.output_stride
    return model

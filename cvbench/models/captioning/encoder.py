"""What captioners see an image by: the last feature map of any classifier, with or without weights, frozen or not."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models import zoo
from cvbench.models.backbones import NoMapError, Small
from cvbench.models.captioning.cut import Cut
from cvbench.models.feature_maps import Backbone, build_backbone
from cvbench.models.normalise import Normalised

STRIDES = (2, 4, 8, 16, 32)
OWN = Path(__file__).parents[1] / "classification"


class Encoder(nn.Module):
    """Normalised images (B, wants, H, W) to one feature map (B, channels, h, w).

    body: the classifier's network, whose tensors have the names of its published weights. wants, mean, std: channels
    and statistics of the images that it takes; None: the dataset's. frozen: it gets no gradients and stays in eval
    mode, so that batch norm keeps its statistics and dropout does nothing.
    """

    def __init__(self, source: Backbone | Cut, channels: int, frozen: bool) -> None:
        super().__init__()
        self.source, self.channels, self.frozen = source, channels, frozen
        self.wants, self.mean, self.std = source.wants, source.mean, source.std
        if frozen:
            self.requires_grad_(False)

    @property
    def body(self) -> nn.Module:
        return self.source.body

    def forward(self, images: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            found = self.source(images)
        return found if isinstance(found, Tensor) else next(iter(found.values()))

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.source.eval()
        return self


def build_encoder(
    name: str,
    info: DatasetInfo,
    *,
    stride: int,
    width: int,
    weights: str | None,
    options: Mapping[str, Any] | None,
    frozen: bool,
) -> Encoder:
    """The encoder `name`: "small", "torchvision/NAME", "timm/NAME", or a classifier of `cvbench.models.classification`.

    stride: pixels between places of the map, of "small" and of networks that have a map there; transformers and our own
    classifiers give the last map, or tokens in a grid, that they have. width: maps of the first stage of "small".
    weights: published weights of torchvision's (IMAGENET1K_V1) or timm's (a tag, DEFAULT); may be downloaded. options:
    of the classifier itself, such as {adaptive: true} for zfnet; with them it gives its last map.
    Raises ValueError: unknown name, weights or options, or a network without places, such as mlp.
    """
    if stride not in STRIDES:
        raise ValueError(f"Expected `stride` to be one of {', '.join(map(str, STRIDES))}, but got {stride}")
    library, _, inner = name.partition("/")
    if name == "small":
        if options:
            raise ValueError(f"Expected no `encoder_options` for the encoder small, but got {dict(options)}")
        return _of_backbone(name, info, stride, width, weights, frozen)
    if library in ("torchvision", "timm") and inner:
        if not options and (encoder := _of_library(name, info, stride, weights, frozen)) is not None:
            return encoder
        from cvbench.models.classification import zoo as classifiers

        classifier = classifiers.build(_classes(info), name, weights, **(options or {}))
    else:
        if weights is not None:
            raise ValueError(f"Expected no `encoder_weights` for the encoder {name}: none are published")
        classifier = _own(name, info, options or {})
    assert isinstance(classifier, Normalised)
    mean, std = _statistics(library, inner, weights, classifier)
    cut = Cut(classifier.network, classifier.network_channels, info.input_size or (224, 224), name, mean, std)
    return Encoder(cut, cut.channels, frozen)


def _of_backbone(name: str, info: DatasetInfo, stride: int, width: int, weights: str | None, frozen: bool) -> Encoder:
    backbone = build_backbone(name, strides=(stride,), width=width, channels=info.channels, weights=weights)
    assert isinstance(backbone.out_channels, dict)
    if isinstance(backbone.body, Small):
        del backbone.body.stages[int(math.log2(stride)) :]  # what lies behind the map is neither computed nor kept
    return Encoder(backbone, backbone.out_channels[str(stride)], frozen)


def _of_library(name: str, info: DatasetInfo, stride: int, weights: str | None, frozen: bool) -> Encoder | None:
    """A library's convolutional network; None where it has no map at this stride, as transformers have none."""
    library, _, inner = name.partition("/")
    if library == "torchvision":
        zoo.known_torchvision("classification", inner)
        zoo.torchvision_weights(inner, weights)
    else:
        zoo.timm_name(zoo.extra("timm"), inner, weights)
    try:
        return _of_backbone(name, info, stride, 0, weights, frozen)
    except NoMapError:
        return None


def _own(name: str, info: DatasetInfo, options: Mapping[str, Any]) -> nn.Module:
    names = sorted(file.stem for file in OWN.glob("*.py") if file.stem not in ("__init__", "zoo"))
    if name not in names:
        raise ValueError(
            f"Expected an encoder small, torchvision/NAME, timm/NAME or one of {', '.join(names)}, but got {name!r}."
            f"{zoo.nearest(name, names)}"
        )
    build = importlib.import_module(f"cvbench.models.classification.{name}").build
    classifier: nn.Module = zoo.construct(name, lambda **given: build(_classes(info), **given), options)
    if not isinstance(classifier, Normalised):
        raise ValueError(f"{name} has no feature map to describe an image by: take a convolutional network")
    return classifier


def _classes(info: DatasetInfo) -> DatasetInfo:
    """The dataset with two classes: classifiers need some, and what tells them apart is cut away."""
    return dataclasses.replace(info, classes=("one", "other"))


def _statistics(
    library: str, name: str, weights: str | None, classifier: Normalised
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Of the published weights, also without them: a file may bring them later, and they suit any photograph."""
    if library == "torchvision":
        from torchvision.models import get_model_weights

        return zoo.statistics(name, zoo.torchvision_weights(name, weights) or get_model_weights(name)["DEFAULT"])
    if library == "timm":
        card: Any = classifier.network.pretrained_cfg
        return tuple(card["mean"]), tuple(card["std"])
    return None, None

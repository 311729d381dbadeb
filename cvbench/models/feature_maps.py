"""Backbones: a classifier's feature maps by stride, with a feature pyramid on top where one is wanted.

A backbone is named `small` (the light net of `cvbench.models.backbones`), `torchvision/NAME` or `timm/NAME`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from cvbench.models import backbones, zoo
from cvbench.models.initialise import kaiming

DEEPEST = 32  # stride of the last map that classifiers have; a pyramid may go on from there


class Body(NamedTuple):
    """A classifier without its head, and what there is to know of it.

    network: normalised images to its maps, a dict by stride or a list in the order of `strides`. channels: number of
    maps by stride. wants: channels of its images. mean, std: of images in [0, 1], as its published weights expect
    them; None: nothing is published.
    """

    network: nn.Module
    strides: tuple[int, ...]
    channels: dict[int, int]
    wants: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


class Backbone(nn.Module):
    """Normalised images (B, wants, H, W) to feature maps by stride: {"8": (B, K, H / 8, W / 8), "16": …}.

    H and W: multiples of the largest stride (`NormalisedDetector` pads). body: the network alone, whose tensors have
    the names of its published weights. pyramid: torchvision's FeaturePyramidNetwork, or None.
    out_channels: maps by stride; with a pyramid one int, as torchvision's detectors want it. wants, mean, std: see
    `Body`.
    """

    out_channels: dict[str, int] | int

    def __init__(self, body: Body, strides: Sequence[int], pyramid_channels: int | None, freeze_norm: bool) -> None:
        super().__init__()
        self.body = body.network
        self.wants, self.mean, self.std = body.wants, body.mean, body.std
        self.freeze_norm = freeze_norm
        self.strides = tuple(strides)
        self._given = body.strides
        self.pyramid: nn.Module | None = None
        self.out_channels = {str(stride): body.channels[stride] for stride in strides if stride <= DEEPEST}
        if pyramid_channels is not None:
            from torchvision.ops import FeaturePyramidNetwork
            from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

            coarser = LastLevelMaxPool() if max(strides) > DEEPEST else None
            self.pyramid = FeaturePyramidNetwork(list(self.out_channels.values()), pyramid_channels, coarser)
            self.out_channels = pyramid_channels

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """All maps of the body by stride, without the pyramid; the last one of each stride."""
        maps = self.body(images)
        return maps if isinstance(maps, dict) else dict(zip(map(str, self._given), maps, strict=True))

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        maps = self.maps(images)
        chosen = OrderedDict((str(stride), maps[str(stride)]) for stride in self.strides if stride <= DEEPEST)
        if self.pyramid is None:
            return chosen
        return OrderedDict(zip(map(str, self.strides), self.pyramid(chosen).values(), strict=True))

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.freeze_norm:
            for layer in self.body.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
        return self


def build_backbone(
    name: str,
    *,
    strides: Sequence[int] = (8, 16, 32),
    width: int = 16,
    pyramid_channels: int | None = None,
    channels: int = 3,
    weights: str | None = None,
    freeze: int = 0,
    freeze_norm: bool = False,
) -> Backbone:
    """The backbone `name`: "small", "torchvision/NAME" or "timm/NAME".

    strides: of the maps that are returned, rising, 2 to 32; 64 too with a pyramid (its last map, every other pixel).
    width: maps of the first stage of "small". pyramid_channels: maps a stride of a feature pyramid on top (Lin et al.,
    arXiv:1612.03144); None: no pyramid. channels: of the images; libraries' networks want 3, and grey ones are
    repeated. weights: None (random), or published weights of torchvision's (IMAGENET1K_V1) or timm's (a tag, DEFAULT),
    which may be downloaded. freeze: layers up to and with the map of this stride are not trained, 0: all are; 4 is what
    torchvision does with pretrained ResNets. freeze_norm: batch norm of the body keeps its statistics, scale and shift
    in training too, as torchvision has it with pretrained backbones, where batches are tiny. Nothing is frozen by
    default, whether there are weights or not.
    Raises ValueError: unknown name, weights, or a network without maps at these strides.
    """
    allowed = (2, 4, 8, 16, 32) if pyramid_channels is None else (2, 4, 8, 16, 32, 64)
    if not strides or any(s not in allowed for s in strides) or list(strides) != sorted(set(strides)):
        raise ValueError(f"Expected `strides` to be rising, out of {allowed}, but got {tuple(strides)}")
    if freeze not in (0, *allowed[:5]):
        raise ValueError(f"Expected `freeze` to be 0 or a stride, 2, 4, 8, 16 or 32, but got {freeze}")
    needed = tuple(sorted({s for s in (*strides, freeze) if 0 < s <= DEEPEST}))
    library, _, network_name = name.partition("/")
    if name == "small":
        if weights is not None:
            raise ValueError("Expected no weights for backbone small: none are published")
        body = _small(channels, width)
    elif library == "torchvision" and network_name:
        body = _torchvision(network_name, weights, needed)
    elif library == "timm" and network_name:
        body = _timm(network_name, weights, needed, channels)
    else:
        raise ValueError(f"Expected a backbone small, torchvision/NAME or timm/NAME, but got {name!r}")
    backbone = Backbone(body, strides, pyramid_channels, freeze_norm)
    if freeze:
        _stop(backbone, _reached(backbone, (freeze,)))
    # What lies behind the last map that is used gets no gradients, which DDP would wait for.
    _stop(backbone, set(backbone.body.parameters()) - _reached(backbone, [s for s in strides if s <= DEEPEST]))
    if freeze_norm:
        for layer in backbone.body.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.requires_grad_(False)
    return backbone.train()


def _small(channels: int, width: int) -> Body:
    network = backbones.Small(channels, width)
    kaiming(network)
    maps = {2: width, 4: width, **backbones.small_channels(width)}
    return Body(network, tuple(maps), maps, channels)


def _torchvision(name: str, weights: str | None, strides: tuple[int, ...]) -> Body:
    from torchvision.models import get_model_weights

    zoo.known_torchvision("classification", name)
    published = zoo.torchvision_weights(name, weights)
    network, channels = backbones.torchvision_maps(name, published, strides)
    # The published statistics also without weights: a file may bring them later, and they suit any photograph.
    mean, std = zoo.statistics(name, published or get_model_weights(name)["DEFAULT"])
    return Body(network, strides, channels, 3, mean, std)


def _timm(name: str, weights: str | None, needed: tuple[int, ...], channels: int) -> Body:
    timm = zoo.extra("timm")
    full_name = zoo.timm_name(timm, name, weights)
    wants = channels if channels not in (1, 3) else 3
    network: Any = zoo.construct(
        f"timm/{name}",
        partial(timm.create_model, full_name, pretrained=weights is not None, features_only=True, in_chans=wants),
        {},
        "https://huggingface.co/timm",
    )
    strides, maps = tuple(network.feature_info.reduction()), network.feature_info.channels()
    body = Body(network, strides, dict(zip(strides, maps, strict=True)), wants)
    if not _has_maps(body, needed):
        raise backbones.NoMapError(
            f"timm/{name} does not give the feature maps at strides {', '.join(map(str, needed))} that are needed "
            f"(it has {', '.join(map(str, strides))}). Take a convolutional network, such as timm/resnet18."
        )
    card = network.pretrained_cfg
    return body._replace(mean=tuple(card["mean"]), std=tuple(card["std"]))


def _has_maps(body: Body, strides: tuple[int, ...]) -> bool:
    """Whether the network gives a map (1, K, side / stride, side / stride) at each of these strides, once each."""
    if len(body.channels) < len(body.strides) or not set(strides) <= body.channels.keys():
        return False
    side = 2 * DEEPEST
    try:
        with torch.no_grad():
            maps = dict(zip(body.strides, body.network.eval()(torch.zeros(1, body.wants, side, side)), strict=True))
    except (RuntimeError, ValueError, AssertionError):  # transformers made for one size
        return False
    return all(maps[s].shape == (1, body.channels[s], side // s, side // s) for s in strides)


def _reached(backbone: Backbone, strides: Sequence[int]) -> set[nn.Parameter]:
    """The parameters that the body's maps of these strides depend on, found by asking for gradients."""
    wanted = [parameter for parameter in backbone.body.parameters() if parameter.requires_grad]
    maps = backbone.eval().maps(torch.zeros(1, backbone.wants, 2 * DEEPEST, 2 * DEEPEST))
    total = torch.stack([maps[str(stride)].sum() for stride in strides]).sum()
    if not total.requires_grad:  # all of it is frozen
        return set()
    gradients = torch.autograd.grad(total, wanted, allow_unused=True)
    return {p for p, gradient in zip(wanted, gradients, strict=True) if gradient is not None}


def _stop(backbone: Backbone, parameters: set[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.requires_grad_(False)

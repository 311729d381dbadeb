"""Detectors behind one border: images in [0, 1], boxes in their pixels, labels from 1, the 100 surest detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torchvision.models.detection.image_list import ImageList

from cvbench.data.base import DatasetInfo
from cvbench.models.feature_maps import DEEPEST, Backbone
from cvbench.models.normalise import Normalised

MOST = 100  # detections an image: as COCO scores them
SURE = 0.3  # the score from which on a detection is to be believed, where scores are probabilities
# Whose outputs boxes are made from, as torchvision's detectors and ours call them.
HEADS = ("head", "rpn.head", "roi_heads.box_predictor", "heads.box_predictor")

Target = dict[str, Tensor]


class Expecting(Protocol):
    """What a network expects of its images: `wants` channels, normalised with mean and std; None: the dataset's."""

    @property
    def wants(self) -> int: ...

    @property
    def mean(self) -> Sequence[float] | None: ...

    @property
    def std(self) -> Sequence[float] | None: ...


class NormalisedDetector(Normalised):
    """A network of torchvision's contract for detectors behind normalisation.

    forward(images, targets): images float (B, info.channels, H, W) in [0, 1]. In training mode, targets: B dicts of
    "boxes" float32 (N, 4) xyxy in pixels of the images and "labels" int64 (N,) in 1..C, N may be 0; returns a dict of
    scalar losses. In eval mode returns B dicts "boxes" float32 (M, 4), "labels" int64 (M,) in 1..C and "scores" float32
    (M,), M <= 100, the surest first.

    network: called as network(normalised images (B, K, H, W), targets). Where it has a `transform`, as torchvision's
    detectors have, that is replaced by one that only pads: the recipe says how large images are, and we normalise.
    first_label: what the network calls the first class: 1 where its label 0 is background (softmax), 0 where every
    output is a class (sigmoid: FCOS, RetinaNet). divisor: images are padded with the mean colour, at the bottom and
    right, to a multiple of it.
    """

    def __init__(
        self,
        network: nn.Module,
        info: DatasetInfo,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channels: int | None = None,
        *,
        first_label: Literal[0, 1] = 1,
        divisor: int = 32,
    ) -> None:
        super().__init__(network, info, mean, std, channels)
        self.first_label = first_label
        if hasattr(network, "transform"):
            network.transform = PadOnly(divisor)
        modules = dict(network.named_modules())
        for path in HEADS:
            if path in modules:
                modules[path].register_forward_hook(_in_full)

    def forward(  # type: ignore[override]  # a detector returns losses or detections, no logits
        self, images: Tensor, targets: list[Target] | None = None
    ) -> dict[str, Tensor] | list[Target]:
        given = self.normalise(images)
        if self.training:
            if targets is None:
                raise ValueError("Expected targets in training mode, but got None; call .eval() to detect")
            shift = self.first_label - 1
            return self.network(given, [{**target, "labels": target["labels"] + shift} for target in targets])  # type: ignore[no-any-return]
        return [surest(found, 1 - self.first_label) for found in self.network(given)]

    @property
    def sure(self) -> float:
        """The score from which on a detection is to be believed."""
        return SURE


def detector_on(
    network: nn.Module, info: DatasetInfo, body: Backbone, *, first_label: Literal[0, 1] = 1
) -> NormalisedDetector:
    """`network` on the maps of `body`, which get what they expect: their mean and std, and sides that they divide."""
    divisor = max(DEEPEST, *body.strides)
    return NormalisedDetector(network, info, body.mean, body.std, body.wants, first_label=first_label, divisor=divisor)


def _in_full(_module: nn.Module, _given: Any, output: Any) -> Any:
    """What autocast made of a head's output, as float32: torchvision makes boxes in its type, and bfloat16 has steps of
    4 pixels beyond 512.
    """
    return tree_map(lambda value: value.float() if isinstance(value, Tensor) else value, output)


class PadOnly(nn.Module):
    """Stands where torchvision's detectors have their GeneralizedRCNNTransform: images arrive as one tensor, are padded
    to multiples of `divisor` with zeros, and boxes stay in their pixels.
    """

    def __init__(self, divisor: int) -> None:
        super().__init__()
        self.divisor = divisor

    def forward(self, images: Tensor, targets: list[Target] | None = None) -> tuple[ImageList, list[Target] | None]:
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % self.divisor, 0, -height % self.divisor))
        return ImageList(padded, [(height, width)] * len(images)), targets

    def postprocess(self, result: list[Target], image_shapes: Any, original_image_sizes: Any) -> list[Target]:
        return result


def surest(found: Target, shift: int = 0) -> Target:
    """The `MOST` detections of highest score, the surest first; `shift` is added to labels."""
    order = found["scores"].sort(descending=True, stable=True).indices[:MOST]
    return {"boxes": found["boxes"][order], "labels": found["labels"][order] + shift, "scores": found["scores"][order]}

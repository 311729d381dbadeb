"""Detectors that are told where to look: region proposals from the pixels, then a network that judges each one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image

from cvbench.data.base import DatasetInfo
from cvbench.models.detection.detector import Expecting, NormalisedDetector, Target, surest
from cvbench.models.detection.proposals import Proposals


class ProposalDetector(NormalisedDetector):
    """`network` behind normalisation and proposals; the contract of `NormalisedDetector`.

    network: called as network(normalised images (B, K, H, W), proposals, targets); proposals: of each image, float32
    (N, 4) xyxy in its pixels, N >= 1. body: what looks at the images.
    """

    def __init__(self, network: nn.Module, info: DatasetInfo, proposals: Proposals, body: Expecting) -> None:
        super().__init__(network, info, body.mean, body.std, body.wants)
        if info.channels not in (1, 3):
            raise ValueError(
                f"Expected images with 1 or 3 channels for region proposals, but {info.name} has {info.channels}"
            )
        self.proposals = proposals

    def use_cache(self, folder: Path | None) -> None:
        """Keeps proposals under `folder`; None keeps none, so that time taken includes finding them."""
        self.proposals.use_cache(folder)

    def forward(  # type: ignore[override]  # a detector returns losses or detections, no logits
        self, images: Tensor, targets: list[Target] | None = None
    ) -> dict[str, Tensor] | list[Target]:
        given = self.normalise(images)
        if self.training and targets is None:
            raise ValueError("Expected targets in training mode, but got None; call .eval() to detect")
        proposals = self.proposals(images)
        if self.training:
            return self.network(given, proposals, targets)  # type: ignore[no-any-return]
        size = (images.shape[2], images.shape[3])
        return [
            surest({**found, "boxes": clip_boxes_to_image(found["boxes"], size)})
            for found in self.network(given, proposals)
        ]

    @property
    def backbone(self) -> nn.Module:
        """Whose weights may come from a classifier."""
        return self.network.backbone  # type: ignore[return-value]


class FittedDetector(ProposalDetector):
    """One whose network also learns what gradient descent does not fit: it has `fit(batches, generator)`, where batches
    are (normalised images, proposals, targets) of the training split, as often as they are iterated, and `fitted`,
    whether that has been done: scores are then distances from the border of a class instead of probabilities.
    """

    @property
    def sure(self) -> float:
        return 0.0 if self.network.fitted else super().sure

    def finalise(self, loader: Iterable[tuple[Tensor, list[Target]]], generator: torch.Generator) -> None:
        """Fits the network once more, after training; loader: (images, targets) of the training split."""
        fit: Any = self.network.fit
        with torch.no_grad():
            fit(_Looked(self, loader), generator)


class _Looked:
    """(normalised images, proposals, targets), as often as it is iterated."""

    def __init__(self, model: ProposalDetector, loader: Iterable[tuple[Tensor, list[Target]]]) -> None:
        self.model, self.loader = model, loader

    def __iter__(self) -> Iterator[tuple[Tensor, list[Tensor], list[Target]]]:
        for images, targets in self.loader:
            yield self.model.normalise(images), self.model.proposals(images), targets

"""R-CNN: each proposed region is warped to one size, and a convolutional network classifies it by itself.

Year: 2014
Source: Girshick, Donahue, Darrell & Malik, "Rich feature hierarchies for accurate object detection and semantic
    segmentation", CVPR 2014 (arXiv:1311.2524)

The network is fine-tuned on warped regions; then, once, support vector machines with hard-negative mining replace its
classifier, and ridge regressions correct the boxes (`finalise`, see `rcnn_fit`). As published: selective search's 2,000
regions, crops of 227 pixels with 16 of context, `torchvision/alexnet`, a quarter of the regions of a step with an IoU
of at least 0.5 with a thing, machines on fc7, regressions on pool5, suppression at 0.3. Other than published, the
length of features is averaged over the things themselves, and the 16 pixels of context do not shrink with the crop.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import batched_nms

from cvbench.data.base import DatasetInfo
from cvbench.models.detection.detector import MOST, Target
from cvbench.models.detection.matching import labels_of, moved, nearest, sample
from cvbench.models.detection.proposal_detector import FittedDetector
from cvbench.models.detection.proposals import Proposals, SourceName
from cvbench.models.detection.rcnn_fit import (
    NEAR,
    NEGATIVE_BELOW,
    Machine,
    Reservoir,
    box_regression,
    box_targets,
)
from cvbench.models.detection.region_features import AlexNetFeatures, BackboneFeatures, Features
from cvbench.models.detection.warp import warp

VERSION = 1

CONTEXT = 16  # pixels of a crop on each side that show what surrounds the region, as published
AT_ONCE = 128  # crops in one pass: 2,000 of 227 pixels would be 1.2 GB
NORM = 20.0  # mean length of features, to which C and the ridge are tuned
SVM_SCORE = -1.1  # detections below are left out; the published code finds such a limit for each class

Batches = Iterable[tuple[Tensor, list[Tensor], list[Target]]]

_log = logging.getLogger(__name__)


class RCNN(nn.Module):
    """Features of warped regions, a softmax classifier for training, and what `fit` adds in its buffers."""

    svm_weight: Tensor
    svm_bias: Tensor
    svm_known: Tensor
    box_weight: Tensor
    box_bias: Tensor
    scales: Tensor

    def __init__(
        self,
        features: AlexNetFeatures | BackboneFeatures,
        num_classes: int,
        crop_size: int,
        regions_trained: int,
        score_threshold: float,
        nms_threshold: float,
    ) -> None:
        super().__init__()
        self.features, self.num_classes, self.crop_size = features, num_classes, crop_size
        self.regions_trained, self.score_threshold = regions_trained, score_threshold
        self.nms_threshold = nms_threshold
        deep, pooled = features.deep_size, features.pooled_size
        self.classifier = nn.Linear(deep, num_classes + 1)
        for name, shape in {
            "svm_weight": (num_classes, deep),
            "svm_bias": (num_classes,),
            "box_weight": (num_classes, 4, pooled),
            "box_bias": (num_classes, 4),
            "scales": (2,),  # of deep and of pooled features, to the mean length NORM
        }.items():
            self.register_buffer(name, torch.zeros(shape))
        # Which classes have a machine; none before `fit`, and then the softmax speaks.
        self.register_buffer("svm_known", torch.zeros(num_classes, dtype=torch.bool))

    @property
    def backbone(self) -> nn.Module:
        return self.features

    @property
    def fitted(self) -> bool:
        """Whether scores are the machines' signed distances; before `fit` they are the softmax's probabilities."""
        return bool(self.svm_known.any())

    def forward(
        self, images: Tensor, regions: list[Tensor], targets: list[Target] | None = None
    ) -> dict[str, Tensor] | list[Target]:
        if targets is not None:
            return self.losses(images, regions, targets)
        seen = self._features(images, regions)
        with torch.autocast(images.device.type, enabled=False):  # in float32, as the machines were fitted
            return [
                self._detect(places, Features(*parts))
                for places, *parts in zip(regions, *(_split(part.float(), regions) for part in seen), strict=True)
            ]

    def losses(self, images: Tensor, regions: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Cross-entropy over sampled regions, with the things themselves among them."""
        chosen, labels = [], []
        for places, target in zip(regions, targets, strict=True):
            every = torch.cat([target["boxes"], places])
            best, owner = nearest(every, target["boxes"])
            label = torch.where(best >= 0.5, labels_of(target, owner), 0)
            picked = sample(label > 0, self.regions_trained)
            chosen.append(every[picked])
            labels.append(label[picked])
        deep = self.features(self._crops(images, chosen)).deep
        return {"classification": F.cross_entropy(self.classifier(deep).float(), torch.cat(labels))}

    def _detect(self, regions: Tensor, seen: Features) -> Target:
        """One image's detections: every class of every region that is likely enough, suppressed class by class."""
        if self.fitted:
            scores = seen.deep * self.scales[0] @ self.svm_weight.T + self.svm_bias
            scores = scores.masked_fill(~self.svm_known, SVM_SCORE)
            likely = scores > SVM_SCORE
        else:
            scores = self.classifier(seen.deep).softmax(dim=1)[:, 1:]
            likely = scores > self.score_threshold
        region, label = likely.nonzero(as_tuple=True)
        boxes, found = regions[region], scores[region, label]
        kept = batched_nms(boxes, found, label, self.nms_threshold)[:MOST]  # the surest come first
        region, label = region[kept], label[kept]
        boxes = boxes[kept]
        if self.fitted:
            shifts = (self.box_weight[label] @ (seen.pooled[region] * self.scales[1])[:, :, None])[..., 0]
            boxes = moved(boxes, shifts + self.box_bias[label])
        return {"boxes": boxes, "labels": label + 1, "scores": found[kept]}

    def _features(self, images: Tensor, regions: list[Tensor]) -> Features:
        """Of all regions of all images, `AT_ONCE` at a time."""
        parts: list[Features] = []
        for image, places in zip(images, regions, strict=True):
            parts += [self.features(self._crops(image[None], [some])) for some in torch.split(places, AT_ONCE)]
        return Features(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _crops(self, images: Tensor, regions: list[Tensor]) -> Tensor:
        """Warped regions in the memory layout of their images: channels-last doubles the speed of small networks."""
        crops = warp(images, regions, self.crop_size, CONTEXT)
        last = images.is_contiguous(memory_format=torch.channels_last)
        return crops.contiguous(memory_format=torch.channels_last) if last else crops

    def fit(self, batches: Batches, generator: torch.Generator) -> None:
        """Support vector machines and box regressions from the training split, streamed twice.

        Deterministic. Classes without a thing to learn from are never detected; boxes of those without regions near
        enough are left as proposed. Memory holds the deep features of all things of the split (see `_things`); the rest
        is bounded.
        """
        things, scales = self._things(batches)
        self.scales.copy_(torch.from_numpy(scales))
        machines = [Machine(features) for features in things]
        drawn = int(torch.randint(2**31, (), generator=generator))
        near = [Reservoir(np.random.default_rng([drawn, label])) for label in range(len(machines))]
        for regions, target, seen in self._seen(batches):
            for label, machine in enumerate(machines):
                own = target["boxes"][target["labels"] == label + 1]
                best, owner = nearest(regions, own)
                machine.see(_array(seen.deep[best < NEGATIVE_BELOW] * self.scales[0]))
                close = best >= NEAR
                if close.any():
                    goals = box_targets(_array(regions[close]), _array(own[owner[close]]))
                    near[label].add(_array(seen.pooled[close] * self.scales[1]), goals)
        for label, machine in enumerate(machines):
            self._keep(label, machine, near[label])
        _log.info("R-CNN: machines of %d of %d classes fitted", int(self.svm_known.sum()), self.num_classes)

    def _keep(self, label: int, machine: Machine, near: Reservoir) -> None:
        fitted = machine.fit()
        if fitted is not None:
            self.svm_weight[label] = torch.from_numpy(fitted.weight)
            self.svm_bias[label] = float(fitted.bias)
            self.svm_known[label] = True
        if near.rows:
            features, goals = near.rows
            weight, bias = box_regression(features, goals)
            self.box_weight[label], self.box_bias[label] = torch.from_numpy(weight), torch.from_numpy(bias)

    def _things(self, batches: Batches) -> tuple[list[NDArray[np.float32]], NDArray[np.float64]]:
        """Scaled deep features of each class's things, and what scales deep and pooled features, float64 (2,).

        All things are held, whatever their number: 16 KB each with AlexNet, 1.6 GB for 100,000 of them.
        """
        found: list[list[NDArray[np.float32]]] = [[] for _ in range(self.num_classes)]
        lengths, count = np.zeros(2), 0
        for images, _, targets in batches:
            boxes = [target["boxes"] for target in targets]
            if not sum(map(len, boxes)):
                continue
            seen = self._features(images, boxes)
            lengths += [float(part.norm(dim=1).sum()) for part in (seen.deep, seen.pooled)]
            count += len(seen.deep)
            labels = torch.cat([target["labels"] for target in targets])
            for label in range(self.num_classes):
                found[label].append(_array(seen.deep[labels == label + 1]))
        scales = NORM / np.maximum(lengths / max(1, count), 1e-12)
        empty = np.zeros((0, self.features.deep_size), np.float32)
        return [np.concatenate([empty, *features]) * np.float32(scales[0]) for features in found], scales

    def _seen(self, batches: Batches) -> Iterator[tuple[Tensor, Target, Features]]:
        """Regions, target and features of each image."""
        for images, regions, targets in batches:
            for image, places, target in zip(images, regions, targets, strict=True):
                yield places, target, self._features(image[None], [places])


def _split(part: Tensor, regions: list[Tensor]) -> Any:
    return torch.split(part, [len(places) for places in regions])


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.float().cpu().numpy()


def build(
    info: DatasetInfo,
    *,
    backbone: str = "torchvision/alexnet",
    width: int = 16,
    proposals: int = 2000,
    source: SourceName = "selective_search",
    crop_size: int = 227,
    regions_trained: int = 64,
    pooled: int = 1,
    hidden: int = 0,
    freeze: int = 0,
    freeze_norm: bool = False,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.3,
) -> nn.Module:
    """An R-CNN for images of any size.

    backbone: torchvision/alexnet as published; else `small` of `width`, torchvision/NAME or timm/NAME, whose last map
    is averaged to `pooled` x `pooled` places, followed by a layer of `hidden` units (0: none). proposals: regions an
    image at most, of `source` (see `proposals`). crop_size: pixels a side of a warped region. regions_trained: of each
    image in a training step. freeze, freeze_norm: see `build_backbone`; not for alexnet. score_threshold: of the
    softmax, before the support vector machines are fitted. nms_threshold: IoU that two detections of a class may have.
    Raises ValueError: see `build_backbone` and `Proposals`; a crop size of nothing but context.
    """
    if crop_size <= 2 * CONTEXT:
        raise ValueError(f"Expected `crop_size` above {2 * CONTEXT}, twice the context, but got {crop_size}")
    for key, value in {"regions_trained": regions_trained, "pooled": pooled}.items():
        if value < 1:
            raise ValueError(f"Expected `{key}` of rcnn to be at least 1, but got {value}")
    if backbone == "torchvision/alexnet" and crop_size < 63:
        raise ValueError(f"Expected `crop_size` of at least 63 for torchvision/alexnet, but got {crop_size}")
    features: AlexNetFeatures | BackboneFeatures
    if backbone == "torchvision/alexnet":
        if freeze or freeze_norm:
            raise ValueError("Expected no `freeze` and no `freeze_norm` for torchvision/alexnet; take another backbone")
        features = AlexNetFeatures()
    else:
        features = BackboneFeatures(backbone, width, info.channels, pooled, hidden, freeze, freeze_norm)
    network = RCNN(features, info.num_classes, crop_size, regions_trained, score_threshold, nms_threshold)
    return FittedDetector(network, info, Proposals(source, proposals), features)

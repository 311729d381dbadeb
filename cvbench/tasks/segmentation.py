"""Segmentation: one class a pixel, scored at the labels' own size.

Year: 2015
Source: Long, Shelhamer & Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cvbench.data.base import VOID, short_id
from cvbench.data.drawing import below, beside, colourise, legend, mask_pair, palette, scaled
from cvbench.loading.batches import SegmentationBatch
from cvbench.loading.targets import Masks
from cvbench.metrics import segmentation as scores
from cvbench.tasks.base import Description, Predictions, Task
from cvbench.tasks.evidence import Evidence
from cvbench.tasks.kernels import argmax_classes, segmentation_counts

VERSION = 1


class SegmentationTask(Task):
    """Cross-entropy over pixels, void left out; logits (B, num_classes, h, w) are resized to the size of the masks."""

    targets = Masks
    scores = scores

    def criterion(self, logits: Tensor, batch: SegmentationBatch) -> Tensor:
        if self.accumulation is not None and not bool((batch.masks != VOID).any()):
            return logits.float().sum() * 0.0  # a part where all is void teaches nothing; its mean would be 0 / 0
        return F.cross_entropy(
            resize_logits(logits.float(), batch.masks.shape[-2:]),
            batch.masks.long(),
            weight=self.class_weights,
            ignore_index=VOID,
            label_smoothing=self.recipe.label_smoothing,
        )

    def counted(self, batch: SegmentationBatch) -> Tensor:
        known = batch.masks != VOID
        pixels = known.sum() if self.class_weights is None else self.class_weights[batch.masks[known].long()].sum()
        return pixels.float() / batch.masks[0].numel()

    def model_targets(self, batch: SegmentationBatch) -> Tensor:
        return batch.masks

    def new_evidence(self) -> Evidence:
        classes = self.info.num_classes
        return Evidence(("intersection", "truth", "prediction"), {"confusion": (classes, classes + 1)})

    def predict(self, images: Tensor, sizes: Tensor) -> list[Tensor]:
        """images float (B, C, H, W), sizes int64 (B, 2) -> a uint8 (h, w) label map of each image at its own size."""
        logits = self(images).float()
        return [
            argmax_classes(resize_logits(one[None], (height, width)))[0]
            for one, (height, width) in zip(logits, sizes.tolist(), strict=True)
        ]

    def evidence_of(self, batch: SegmentationBatch) -> dict[str, Tensor]:
        height, width = batch.masks.shape[-2:]
        sizes = batch.sizes.tolist()
        if all(size == [height, width] for size in sizes):
            prediction = argmax_classes(resize_logits(self(batch.images).float(), (height, width)))
        else:  # each at its own size; what lies outside is void in the truth and never counts
            prediction = torch.zeros_like(batch.masks)
            for padded, one in zip(prediction, self.predict(batch.images, batch.sizes), strict=True):
                padded[: one.shape[0], : one.shape[1]] = one
        intersection, truth, predicted, confusion = segmentation_counts(prediction, batch.masks, self.info.num_classes)
        return {"intersection": intersection, "truth": truth, "prediction": predicted, "confusion": confusion}

    def save_predictions(self, batch: SegmentationBatch, predictions: Predictions) -> None:
        """One label PNG a sample at its own size, named as its mask: `cvbench score segmentation` reads the folder."""
        for index, labels in zip(batch.index.tolist(), self.predict(batch.images, batch.sizes), strict=True):
            file = predictions.folder / f"{short_id(predictions.ids[index])}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels.to(torch.uint8).cpu().numpy()).save(file)

    def split_evidence(
        self, gathered: dict[str, NDArray[Any]], ids: NDArray[np.str_]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        names = ("intersection", "truth", "prediction", "confusion")
        evidence = {"ids": ids, **{name: gathered[name] for name in names}}
        return evidence, {"ids": ids, "pixels": gathered["truth"], "classes": np.asarray(self.info.classes)}

    def describe(
        self, images: Tensor, original: NDArray[np.uint8], truth: NDArray[np.uint8] | None = None
    ) -> Description:
        sizes = torch.tensor([original.shape[:2]])
        labels = self.predict(images, sizes)[0].to(torch.uint8).numpy()
        shares = np.bincount(labels.ravel(), minlength=self.info.num_classes) / labels.size
        found = {name: round(float(share), 6) for name, share in zip(self.info.classes, shares, strict=True) if share}
        colours = self.info.colours or palette(self.info.num_classes)
        picture = mask_pair(original, labels, colours, longest=480)
        seen = [index for index, share in enumerate(shares) if share]
        if truth is not None:
            seen = sorted({*seen, *np.unique(truth[truth != VOID]).tolist()})
            picture = beside(picture, Image.fromarray(np.asarray(scaled(colourise(truth, colours), longest=480))))
        names = [self.info.classes[index] for index in seen]
        foot = legend(names, [colours[index] for index in seen], max(picture.width, 480))
        return Description({"shares": found}, below(picture, foot), labels)


def resize_logits(logits: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Bilinear, corners not aligned: float (B, C, h, w) -> (B, C, *size).

    Always in planes (NCHW), whatever the model's layout: the two layouts round differently, and planes are what the
    argmax is fastest on.
    """
    logits = logits.contiguous()
    if logits.shape[-2:] == tuple(size):
        return logits
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


TASK = SegmentationTask

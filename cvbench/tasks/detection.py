"""Detection: boxes with a class and a score, scored in pixels of the images as they are on disk.

Year: 2014
Source: Girshick, Donahue, Darrell & Malik, "Rich feature hierarchies for accurate object detection", CVPR 2014
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cvbench.data.base import Split
from cvbench.data.boxes import Boxes
from cvbench.data.drawing import below, beside, boxed, framed, palette, scaled, written
from cvbench.loading.batches import DetectionBatch
from cvbench.loading.box_rows import COLUMNS, BoxRows, frame_of, to_disk
from cvbench.metrics import detection as scores
from cvbench.models.detection.detector import SURE, surest
from cvbench.tasks.base import Description, Task
from cvbench.tasks.evidence import Evidence

VERSION = 1

# What a picture shows: boxes of at least the score `SURE` (or the model's own `sure`), so many at most; where none
# has it, the first few all the same, since a picture without boxes explains nothing.
DRAWN, SHOWN_UNSURE = 20, 3
LONGEST = 480  # pixels of a picture's longer side


class DetectionTask(Task):
    """The model's own losses, summed; labels 0 are background for the model, classes begin at 1 there."""

    targets = BoxRows
    scores = scores

    def balance_classes(self, train: Split) -> None:
        raise ValueError(
            "Expected recipe.class_weights to be 'none' for detection, but got 'median_frequency': a detector's losses "
            "are its own; remove the key"
        )

    def loss(self, batch: DetectionBatch) -> Tensor:
        losses: dict[str, Tensor] = self.model(self.laid_out(batch.images), self.model_targets(batch))
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    def model_targets(self, batch: DetectionBatch) -> list[dict[str, Tensor]]:
        """What torchvision's detectors are trained on: boxes float32 (N, 4) xyxy in pixels of the input, labels int64
        (N,) from 1.
        """
        counts, device = batch.counts.tolist(), batch.images.device
        boxes, labels = torch.split(batch.boxes.to(device), counts), torch.split((batch.labels + 1).to(device), counts)
        return [{"boxes": places, "labels": names} for places, names in zip(boxes, labels, strict=True)]

    def new_evidence(self) -> Evidence:
        return Evidence((), several={"counts": ("boxes", "scores", "labels"), "truth_counts": ("truth",)})

    def evidence_of(self, batch: DetectionBatch) -> dict[str, Tensor]:
        # One image at a time: how a convolution rounds depends on how many images it is given, hence on the number of
        # processes; a class hardly ever shows that, but a box does.
        found = [checked(self(image[None])[0], self.info.num_classes) for image in batch.images]
        device = batch.images.device
        placed = [to_disk(one["boxes"].cpu(), frame) for one, frame in zip(found, batch.frames, strict=True)]
        return {
            "counts": torch.tensor([len(one["scores"]) for one in found], device=device),
            # float64 as integers of the same bits: not every device has it, and all of them carry integers
            "boxes": torch.cat(placed).view(torch.int64).to(device),
            "scores": torch.cat([one["scores"].float() for one in found]),
            "labels": torch.cat([one["labels"] for one in found]) - 1,
            "truth_counts": batch.truth_counts.to(device),
            "truth": batch.truth.view(torch.int64).to(device),
        }

    def split_evidence(
        self, gathered: dict[str, NDArray[Any]], ids: NDArray[np.str_]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        evidence = {
            "ids": ids,
            "counts": gathered["counts"],
            "boxes_xywh": gathered["boxes"].view(np.float64),
            "scores": gathered["scores"].astype(np.float64),
            "labels": gathered["labels"],
        }
        rows = dict(zip(COLUMNS, gathered["truth"].view(np.float64).T, strict=True))
        truth = {
            "ids": ids,
            "counts": gathered["truth_counts"],
            "boxes_xywh": np.stack([rows[name] for name in ("x", "y", "w", "h")], axis=1),
            "labels": rows["label"].astype(np.int64),
            "area": rows["area"],
            "crowd": rows["crowd"].astype(bool),
            "difficult": rows["difficult"].astype(bool),
            "classes": np.asarray(self.info.classes),
        }
        return evidence, truth

    def describe(self, images: Tensor, original: NDArray[np.uint8], truth: Boxes | None = None) -> Description:
        size = (original.shape[0], original.shape[1])
        frame = torch.from_numpy(frame_of(size, self.geometry(*size)))
        found = checked(self(images)[0], self.info.num_classes)
        boxes, sureness = to_disk(found["boxes"], frame).numpy(), found["scores"].tolist()
        labels = (found["labels"] - 1).tolist()
        names = [self.info.classes[label] for label in labels]
        told = [
            {"label": name, "score": round(score, 6), "box_xywh": [round(value, 2) for value in box]}
            for name, score, box in zip(names, sureness, boxes.tolist(), strict=True)
        ]
        count, rule = shown(found["scores"], getattr(self.model, "sure", SURE))
        texts = [f"{name} {score:.2f}" for name, score in zip(names, sureness, strict=True)]
        drawn = self._drawn(original, boxes[:count], labels[:count], texts[:count], truth)
        return Description({"boxes": told}, below(drawn, written([rule], drawn.width, 11)))

    def _drawn(
        self,
        original: NDArray[np.uint8],
        boxes_xywh: NDArray[np.float64],
        labels: list[int],
        texts: list[str],
        truth: Boxes | None,
    ) -> Image.Image:
        """The image with these boxes, and beside it with those of the truth, where that is known."""
        colours = self.info.colours or palette(self.info.num_classes)
        picture = scaled(original, LONGEST, smoothly=True)
        grown = picture.width / original.shape[1]
        corners = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1) * grown
        drawn = framed(picture, corners, texts, [colours[label] for label in labels])
        return drawn if truth is None else beside(drawn, boxed(original, truth, self.info.classes, colours, LONGEST))


def shown(scores: Tensor, threshold: float) -> tuple[int, str]:
    """How many of the detections a picture shows, the surest first, and the line below it that says so.

    scores: float (N,), falling.
    """
    reach = int((scores >= threshold).sum())
    if not reach:
        count = min(SHOWN_UNSURE, len(scores))
        return count, f"no box reaches a score of {threshold:g}; the {count} surest"
    count = min(DRAWN, reach)
    which = "those" if count == reach else f"the surest of {reach}"
    return count, f"{count} of {len(scores)} boxes, {which} with a score of {threshold:g} or more"


def checked(found: dict[str, Tensor], num_classes: int) -> dict[str, Tensor]:
    """One image's detections, the 100 surest of them.

    Raises ValueError for a score or a box that is not finite, corners in the wrong order, a label outside 1..C.
    """
    for name in ("scores", "boxes"):
        if not bool(torch.isfinite(found[name]).all()):
            raise ValueError(f"Expected finite {name}, but the model gave NaN or infinity: its weights are broken")
    if bool((found["boxes"][:, 2:] < found["boxes"][:, :2]).any()):
        raise ValueError("Expected boxes as left, top, right, bottom, but the model gave right < left or bottom < top")
    labels = found["labels"]
    if len(labels) and not 1 <= int(labels.min()) <= int(labels.max()) <= num_classes:
        wrong = int(labels.min()) if int(labels.min()) < 1 else int(labels.max())
        raise ValueError(f"Expected labels in 1..{num_classes}, 0 being background, but the model gave {wrong}")
    return surest({name: found[name].detach() for name in ("boxes", "labels", "scores")})


TASK = DetectionTask

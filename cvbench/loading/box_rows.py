"""`BoxRows`: the boxes of images as rows of numbers: from disk to the input size, and moved with augmented images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvbench.data.base import DataError, Split
from cvbench.data.boxes import Boxes
from cvbench.loading.augment import Augmenter
from cvbench.loading.batches import DetectionBatch
from cvbench.loading.geometry import Geometry
from cvbench.loading.targets import Targets

# A prepared target is float64 (1 + N, 8): what became of the image, then a row for each of its boxes.
#: size of the image on disk; the box of it that was taken; the size that this box has in the input
FRAME = ("height", "width", "left", "top", "right", "bottom", "content_height", "content_width")
#: a box in pixels of the image on disk, and what is known of it
COLUMNS = ("x", "y", "w", "h", "area", "label", "crowd", "difficult")

#: a box of which less than this share of its area is left in the picture is not learnt
VISIBLE = 0.25
#: nor is one that is narrower than this, in pixels of the input
NARROWEST = 1.0


class BoxRows(Targets):
    """Any number of boxes an image."""

    resizes = ("stretch", "fit")
    ragged = True
    on_host = ("boxes", "labels", "counts", "truth", "truth_counts", "frames", "draws")

    @staticmethod
    def check_split(split: Split, name: str) -> None:
        if not any(split.target(index).learnt.any() for index in range(len(split))):
            raise DataError(
                f"{name}: Expected at least one box that counts, but all are crowd, difficult or of no area; no score "
                "would be defined"
            )

    @staticmethod
    def misfit(target: Any, size: tuple[int, int]) -> str | None:
        return None if isinstance(target, Boxes) else f"Expected Boxes, but got {type(target).__name__}"

    @staticmethod
    def prepare(target: Any, size: tuple[int, int], geometry: Geometry, *, training: bool) -> NDArray[np.float64]:
        boxes: Boxes = target
        rows = np.empty((1 + len(boxes), len(COLUMNS)))
        rows[0] = frame_of(size, geometry)
        rows[1:, :4] = boxes.xywh
        for column, values in enumerate((boxes.area, boxes.labels, boxes.crowd, boxes.difficult), start=4):
            rows[1:, column] = values
        return rows

    @staticmethod
    def batch(
        images: Tensor, targets: Sequence[NDArray[Any]] | NDArray[Any], index: Tensor, draws: Tensor
    ) -> DetectionBatch:
        frames = torch.from_numpy(np.stack([rows[0] for rows in targets]))
        truth = torch.from_numpy(np.concatenate([rows[1:] for rows in targets]))
        counts = torch.tensor([len(rows) - 1 for rows in targets])
        owner = torch.arange(len(counts)).repeat_interleave(counts)
        left, top, right, bottom, high, wide = frames[owner, 2:].unbind(1)
        x, y, w, h = truth[:, :4].unbind(1)
        across, down = wide / (right - left), high / (bottom - top)
        boxes = torch.stack(
            [(x - left) * across, (y - top) * down, (x + w - left) * across, (y + h - top) * down], dim=1
        )
        learnt = (truth[:, 6:] == 0).all(dim=1)  # those of no area will be found too narrow
        return _learn(
            DetectionBatch(images, boxes, truth[:, 5].long(), counts, truth, counts, frames, index, draws),
            owner,
            torch.stack([wide, high], dim=1),
            learnt,
        )

    @staticmethod
    def augment(batch: DetectionBatch, augmenter: Augmenter) -> DetectionBatch:
        images, _ = augmenter(batch.images, None, batch.draws)
        height, width = batch.images.shape[-2:]
        owner = torch.arange(len(batch.counts)).repeat_interleave(batch.counts)
        moved = augmenter.boxes(batch.boxes.double(), owner, batch.draws, (height, width))
        border = moved.new_tensor([[width, height]]).expand(len(moved), 2)
        everything = torch.ones(len(moved), dtype=torch.bool)
        return _learn(batch._replace(images=images, boxes=moved), owner, border, everything)


def _learn(batch: DetectionBatch, owner: Tensor, border: Tensor, chosen: Tensor) -> DetectionBatch:
    """The batch with the boxes of it that are chosen and still seen, cut at their image's border.

    batch.boxes: float64 (N, 4). owner: int64 (N,), each one's image. border: float64 (N, 2), right and bottom end.
    """
    whole = batch.boxes
    cut = torch.minimum(whole.clamp(min=0.0), border.repeat(1, 2))
    sides, before = cut[:, 2:] - cut[:, :2], whole[:, 2:] - whole[:, :2]
    seen = (sides >= NARROWEST).all(dim=1) & (sides.prod(dim=1) >= VISIBLE * before.prod(dim=1))
    chosen = chosen & seen
    return batch._replace(
        boxes=cut[chosen].float(),
        labels=batch.labels[chosen],
        counts=torch.bincount(owner[chosen], minlength=len(batch.counts)),
    )


def frame_of(size: tuple[int, int], geometry: Geometry) -> NDArray[np.float64]:
    """What became of an image of `size` (H, W) on disk, float64 (8,), with columns as `FRAME`."""
    return np.array([*size, *geometry.box, *(geometry.content or geometry.size)], np.float64)


def to_disk(boxes: Tensor, frame: Tensor) -> Tensor:
    """Boxes (N, 4) xyxy in pixels of the input -> float64 (N, 4) xywh in those of the image on disk, cut at its border.

    frame: float64 (8,), of that image's batch.
    """
    height, width, left, top, right, bottom, high, wide = frame.tolist()
    scale = boxes.new_tensor([(right - left) / wide, (bottom - top) / high], dtype=torch.float64).repeat(2)
    placed = boxes.double() * scale + boxes.new_tensor([left, top, left, top], dtype=torch.float64)
    placed = torch.minimum(placed.clamp(min=0.0), placed.new_tensor([width, height, width, height]))
    return torch.cat([placed[:, :2], placed[:, 2:] - placed[:, :2]], dim=1)

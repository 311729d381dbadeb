"""What a training or evaluation step gets: one NamedTuple a task."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ClassificationBatch(NamedTuple):
    """B images and their class.

    images: uint8 (B, C, H, W) as it travels, float32 in [0, 1] on the device, channels-last in memory.
    labels: int64 (B,) class indices. index: int64 (B,) positions in the split.
    draws: float32 (B, K), on the host: uniform numbers that decide each sample's augmentation; K = 0 where nothing
    is augmented, as in evaluation.
    """

    images: Tensor
    labels: Tensor
    index: Tensor  # type: ignore[assignment]  # hides the method of tuples, which nobody calls on a batch
    draws: Tensor


class SegmentationBatch(NamedTuple):
    """B images and their masks.

    images: as in `ClassificationBatch`. masks: uint8 (B, H, W) class indices, 255 where ignored; at the input size in
    training, at the scoring size in evaluation, there padded with 255 to the largest of the batch.
    sizes: int64 (B, 2) height and width of each mask without its padding. index, draws: as above.
    """

    images: Tensor
    masks: Tensor
    sizes: Tensor
    index: Tensor  # type: ignore[assignment]  # hides the method of tuples, which nobody calls on a batch
    draws: Tensor


Batch = ClassificationBatch | SegmentationBatch

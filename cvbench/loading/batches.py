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


class DetectionBatch(NamedTuple):
    """B images and the things in them; where on the input image they are learnt, and where on disk they are scored.

    images: as in `ClassificationBatch`. All but images and index stay on the host.
    boxes: float32 (N, 4), what is learnt: left, top, right, bottom in pixels of the input, half open, image after
    image; no crowds, nothing difficult, cut at the image's border. labels: int64 (N,), 0..C-1. counts: int64 (B,),
    boxes of each image.
    truth: float64 (T, 8), every box as it is on disk, with columns as `box_rows.COLUMNS`. truth_counts: int64 (B,).
    frames: float64 (B, 8), how each image came to the input size, with columns as `box_rows.FRAME`.
    index, draws: as above.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    counts: Tensor
    truth: Tensor
    truth_counts: Tensor
    frames: Tensor
    index: Tensor  # type: ignore[assignment]  # hides the method of tuples, which nobody calls on a batch
    draws: Tensor


class CaptioningBatch(NamedTuple):
    """B images and what people wrote of them.

    images: as in `ClassificationBatch`. All but images and index stay on the host.
    text: uint8 (T,), the captions as `caption_text.written` has them, image after image. text_bytes: int64 (B,), the
    bytes of each image. index, draws: as above.
    """

    images: Tensor
    text: Tensor
    text_bytes: Tensor
    index: Tensor  # type: ignore[assignment]  # hides the method of tuples, which nobody calls on a batch
    draws: Tensor

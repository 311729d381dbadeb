"""Device kernels: from logits and labels to the small integer tensors that evidence is made of.

All of them are exact, give the same integers on every device and memory format, and work under
`torch.use_deterministic_algorithms(True)`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

VOID = 255
TOP_K = 5


class SegmentationCounts(NamedTuple):
    """Pixels whose truth is labelled; int64.

    intersection, truth, prediction: (B, C) per image and class. confusion: (C, C+1), the batch: rows truth, columns
    prediction, last column predicted void or anything else outside 0..C-1.
    """

    intersection: Tensor
    truth: Tensor
    prediction: Tensor
    confusion: Tensor


def argmax_classes(logits: Tensor) -> Tensor:
    """The most probable class of each pixel, uint8 (B, H, W); of equal logits the lower index, on every memory format.

    Args:
        logits: float (B, C, H, W), C at most 255: index 255 means void.

    Raises:
        ValueError: more than 255 classes, or a NaN among the logits.
    """
    logits = logits.detach()
    batch, num_classes, *size = logits.shape
    if num_classes > VOID:
        raise ValueError(f"Expected at most {VOID} classes, but the logits have {num_classes}; masks are uint8")
    if logits.device.type != "cpu" or not logits.is_contiguous():
        # channels_last has a pixel's classes side by side, where this reduction is the fastest (argmax(1) is slower).
        best, classes = logits.max(dim=1)
    else:
        # Plane by plane in uint8: about 20 times faster than argmax(1), which walks a pixel's classes in strides.
        best = logits[:, 0].clone()
        classes = torch.zeros(batch, *size, dtype=torch.uint8)
        for index in range(1, num_classes):
            plane = logits[:, index]
            better = plane > best  # strictly: a tie stays with the lower index
            torch.maximum(classes, better.view(torch.uint8).mul_(index), out=classes)
            torch.maximum(best, plane, out=best)
    if best.isnan().any():
        raise ValueError("Expected finite logits, but the model gave NaN: its weights or its input are broken")
    return classes.to(torch.uint8)


def segmentation_counts(prediction: Tensor, truth: Tensor, num_classes: int) -> SegmentationCounts:
    """Counts of (true, predicted) label pairs per image and class.

    Args:
        prediction: uint8 or int64 (B, H, W); anything outside 0..C-1 is void, hence wrong.
        truth: uint8 (B, H, W), 0..C-1, or 255 where ignored: there nothing counts.
        num_classes: C, at most 255.

    Raises:
        ValueError: shapes differ, more than 255 classes, the truth is not uint8, or holds a label that is neither in
            0..C-1 nor 255.
    """
    if num_classes > VOID:
        raise ValueError(f"Expected at most {VOID} classes, but got {num_classes}; masks are uint8")
    if prediction.shape != truth.shape or truth.dtype != torch.uint8:
        raise ValueError(
            f"Expected `prediction` and uint8 `truth` of one shape, but got {tuple(prediction.shape)} and "
            f"{tuple(truth.shape)} {truth.dtype}"
        )
    row = truth + 1  # wraps: 255 becomes row 0, and one maximum then finds labels out of range
    if row.numel() and (highest := int(row.max())) > num_classes:
        raise ValueError(f"Expected truth labels 0..{num_classes - 1} or {VOID}, but got {highest - 1}")
    side = num_classes + 1
    if prediction.dtype == torch.uint8:
        column = prediction.clamp(max=num_classes)
    else:
        column = prediction.masked_fill(prediction < 0, num_classes).clamp_(max=num_classes)
    pairs = row.to(_index_dtype(side * side)).mul_(side).add_(column.to(torch.uint8))
    matrices = _count_each(pairs, side * side).view(-1, side, side)[:, 1:]
    return SegmentationCounts(
        intersection=matrices[:, :, :num_classes].diagonal(dim1=1, dim2=2).contiguous(),
        truth=matrices.sum(dim=2),
        prediction=matrices[:, :, :num_classes].sum(dim=1),
        confusion=matrices.sum(dim=0),
    )


def _index_dtype(values: int) -> torch.dtype:
    # Memory traffic decides the speed, so the narrowest index that holds all pairs: one byte up to 15 classes.
    return torch.uint8 if values <= 256 else torch.int16 if values <= 2**15 else torch.int32


def _count_each(pairs: Tensor, values: int) -> Tensor:
    """How often each of 0..values-1 occurs in each image, int64 (B, values)."""
    if pairs.device.type == "cpu":
        counts = [torch.bincount(image.reshape(-1), minlength=values) for image in pairs]
        return torch.stack(counts) if counts else torch.zeros(0, values, dtype=torch.int64)
    # One launch for the batch. Without weights, bincount is deterministic on CUDA too: it adds integers.
    offset = torch.arange(len(pairs), device=pairs.device, dtype=torch.int32) * values
    flat = pairs.flatten(start_dim=1).to(torch.int32) + offset[:, None]
    return torch.bincount(flat.reshape(-1), minlength=len(pairs) * values).view(-1, values)


def classification_rows(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """One row of evidence a sample, ordered by logit in float32; of equal logits the lower class index comes first.

    Args:
        logits: float (B, C). labels: int (B,), 0..C-1.

    Returns:
        top: int32 (B, k), k = min(5, C), the most probable classes, best first.
        top_probability: float32 (B, k), their softmax probabilities in [0, 1].
        true_log_probability: float32 (B,), natural logarithm of the true class's probability, at most 0.
        true_rank: int32 (B,), 0..C-1, the number of classes before the true one in that order.

    Raises:
        ValueError: shapes do not fit, a label outside 0..C-1, or a NaN among the logits.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"Expected logits (B, C) and labels (B,), but got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    num_classes = logits.shape[1]
    logits, labels = logits.detach().float(), labels.long()
    broken = logits.isnan().any(dim=1)
    if broken.any():
        raise ValueError(f"Expected finite logits, but {int(broken.sum())} of {len(logits)} samples have NaN")
    outside = (labels < 0) | (labels >= num_classes)
    if outside.any():
        raise ValueError(f"Expected labels 0..{num_classes - 1}, but got {int(labels[outside][0])}")
    top = _stable_top(logits, min(TOP_K, num_classes))
    log_probability = logits.log_softmax(dim=1)
    true_logit = logits.gather(1, labels[:, None])
    before = torch.arange(num_classes, device=logits.device) < labels[:, None]
    rank = ((logits > true_logit) | ((logits == true_logit) & before)).sum(dim=1)
    return {
        "top": top.to(torch.int32),
        "top_probability": log_probability.gather(1, top).exp(),
        "true_log_probability": log_probability.gather(1, labels[:, None])[:, 0],
        "true_rank": rank.to(torch.int32),
    }


def _stable_top(logits: Tensor, k: int) -> Tensor:
    # topk leaves the order of ties open. A stable sort does not, but is 40 times as slow at 1,000 classes: only then.
    values, indices = logits.topk(min(k + 1, logits.shape[1]), dim=1)
    if (values[:, 1:] == values[:, :-1]).any():
        indices = logits.sort(dim=1, descending=True, stable=True).indices
    return indices[:, :k]

"""Segmentation scoring on the device: counting label pairs against torchmetrics, argmax against `argmax(1)`."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from cvbench.tasks.kernels import VOID, argmax_classes, segmentation_counts
from tests.speed.timing import Row, compare

BATCH, CLASSES, SIZE = 8, 12, (360, 480)


def street_like(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Prediction and truth, uint8 (B, H, W), in patches as masks are, 20 % of the pixels wrong and 5 % void.

    Neighbouring pixels of one class are the hard case for a histogram: every increment waits for the one before.
    """
    coarse = torch.randint(CLASSES, (BATCH, 1, 12, 16), generator=generator).float()
    truth = torch.nn.functional.interpolate(coarse, size=SIZE)[:, 0].to(torch.uint8)
    noise = torch.randint(CLASSES, truth.shape, generator=generator).to(torch.uint8)
    prediction = torch.where(torch.rand(truth.shape, generator=generator) < 0.2, noise, truth)
    return prediction, truth.masked_fill(torch.rand(truth.shape, generator=generator) < 0.05, VOID)


def measure() -> list[Row]:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    prediction, truth = street_like(generator)
    perfect = torch.where(truth == VOID, 0, truth)
    rows = [
        _confusion("confusion matrix, 20 % wrong", prediction, truth),
        _confusion("same, all correct", perfect, truth),
    ]
    logits = torch.randn(BATCH, CLASSES, *SIZE, generator=generator)
    nhwc = logits.contiguous(memory_format=torch.channels_last)
    for name, given, target in (("argmax, NCHW", logits, 10.0), ("argmax, channels_last: not slower", nhwc, 0.8)):
        assert torch.equal(argmax_classes(given).long(), given.argmax(1))
        rows.append(
            compare(name, lambda given=given: argmax_classes(given), lambda given=given: given.argmax(1), target)
        )
    return rows


def _confusion(name: str, prediction: Tensor, truth: Tensor) -> Row:
    """Against torchmetrics' default update, image by image, on the int64 labels that it is usually given."""
    metric = MulticlassConfusionMatrix(CLASSES, ignore_index=VOID)
    long_prediction, long_truth = prediction.long(), truth.long()
    metric.update(long_prediction, long_truth)
    assert torch.equal(segmentation_counts(prediction, truth, CLASSES).confusion[:, :CLASSES], metric.compute())

    def reference() -> None:
        for index in range(BATCH):
            metric.update(long_prediction[index : index + 1], long_truth[index : index + 1])

    return compare(name, lambda: segmentation_counts(prediction, truth, CLASSES), reference, target=25.0)

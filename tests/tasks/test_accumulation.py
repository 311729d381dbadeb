"""Batches taken in parts: the gradient is that of the whole batch, whatever each part's mean is over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.harness import run
from cvbench.language.vocabulary import PAD
from cvbench.loading.batches import ClassificationBatch, SegmentationBatch
from cvbench.spec import Recipe
from cvbench.tasks.base import Task
from cvbench.tasks.classification import ClassificationTask
from cvbench.tasks.losses import Losses, LossIsNotFiniteError
from cvbench.tasks.segmentation import SegmentationTask
from tests.tasks import test_captioning as captions
from tests.test_harness import machine, specs

VOID = 255


def info(task: str) -> DatasetInfo:
    return DatasetInfo(
        name="drawn",
        task=task,
        protocol={},
        revision="0123456789ab",
        classes=("a", "b", "c"),
        split_sizes={"test": 3},
        licence="CC0-1.0",
        redistributable=True,
        input_size=(4, 4),
    )


def gradient(task: Task, parts: Sequence[Any], batch: int) -> Tensor:
    """Of the model's one parameter after the parts of one step, each loss halved, thirded … as Lightning does."""
    task.accumulate(len(parts), batch)
    for place, part in enumerate(parts):
        (task.training_step(part, place) / len(parts)).backward()  # type: ignore[no-untyped-call]
    task.on_before_optimizer_step(None)
    (parameter,) = task.model.parameters()
    assert parameter.grad is not None
    return parameter.grad


@pytest.mark.parametrize("weights", [None, torch.tensor([0.2, 1.0, 5.0])])
def test_classification_of_unequal_parts_with_class_weights(weights: Tensor | None) -> None:
    images, labels = torch.rand(7, 1, 4, 4), torch.tensor([0, 0, 0, 0, 1, 2, 2])
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3, bias=False))
    task = ClassificationTask(model, info("classification"), Recipe(label_smoothing=0.1), total_steps=1)
    task.class_weights = weights
    parts = [
        ClassificationBatch(images[rows], labels[rows], torch.arange(rows.stop - rows.start), torch.zeros(0))
        for rows in (slice(0, 3), slice(3, 5), slice(5, 7))
    ]
    found = gradient(task, parts, batch=3)
    weight = model[1].weight.detach().clone().requires_grad_()
    F.cross_entropy(images.flatten(1) @ weight.T, labels, weight=weights, label_smoothing=0.1).backward()
    assert weight.grad is not None
    torch.testing.assert_close(found, weight.grad, rtol=1e-5, atol=1e-7)


def test_equal_parts_are_weighed_by_exactly_one() -> None:
    images, labels = torch.rand(6, 1, 4, 4), torch.arange(6) % 3
    halves = [ClassificationBatch(images[i : i + 3], labels[i : i + 3], labels[:3], torch.zeros(0)) for i in (0, 3)]
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3, bias=False))
    task = ClassificationTask(model, info("classification"), Recipe(), total_steps=1)
    found = gradient(task, halves, batch=3).clone()
    model[1].weight.grad = None
    for half in halves:
        (F.cross_entropy(model(half.images), half.labels) / 2).backward()  # type: ignore[no-untyped-call]
    assert torch.equal(found, model[1].weight.grad)


class Pixels(nn.Module):
    """Each pixel's logits from its own grey."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, -1.0, 2.0]))

    def forward(self, images: Tensor) -> Tensor:
        return images * self.weight[None, :, None, None]


@pytest.mark.parametrize("weights", [None, torch.tensor([0.2, 1.0, 5.0])])
def test_segmentation_counts_pixels_that_are_not_void(weights: Tensor | None) -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(6, 1, 4, 4, generator=draws)
    masks = torch.randint(0, 3, (6, 4, 4), generator=draws).to(torch.uint8)
    masks[0, :3] = masks[1] = VOID
    masks[4:] = VOID  # one part has nothing to say
    task = SegmentationTask(Pixels(), info("segmentation"), Recipe(), total_steps=1)
    task.class_weights = weights
    parts = [
        SegmentationBatch(images[i : i + 2], masks[i : i + 2], torch.zeros(2, 2), torch.arange(2), torch.zeros(0))
        for i in (0, 2, 4)
    ]
    found = gradient(task, parts, batch=2)
    task.losses.check(epoch=0)  # nor is the loss of that part 0 / 0
    weight = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    logits = (images * weight[None, :, None, None]).permute(0, 2, 3, 1)[masks != VOID]
    F.cross_entropy(logits, masks[masks != VOID].long(), weight=weights).backward()
    assert weight.grad is not None
    torch.testing.assert_close(found, weight.grad, rtol=1e-5, atol=1e-7)


class Unconditional(nn.Module):
    """The same logits for every word."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, len(captions.WORDS)))

    def forward(self, images: Tensor, rows: Tensor) -> Tensor:
        return self.weight.expand(*rows.shape[:2], rows.shape[2] - 1, -1)


def test_captioning_counts_words() -> None:
    texts = [["A dog runs.", "A bird!"], ["A cat."], ["A dog runs, a cat runs."], ["Dog"]]
    task = captions.task_of(Unconditional())
    found = gradient(task, [captions.batch(texts[:2]), captions.batch(texts[2:])], batch=2)
    words = [task.model_targets(captions.batch([one]))[..., 1:].flatten() for one in texts]
    every = torch.cat(words)
    weight = torch.linspace(-1, 1, len(captions.WORDS), requires_grad=True)
    kept = every[every != PAD]
    F.cross_entropy(weight.expand(len(kept), -1), kept).backward()
    assert weight.grad is not None
    torch.testing.assert_close(found, weight.grad, rtol=1e-5, atol=1e-7)


def test_a_run_in_parts_learns_what_a_whole_one_does(tmp_path: Path) -> None:
    """Three epochs of momentum and a schedule through the Trainer: equal steps, and weights equal but for rounding."""
    recipe = {"epochs": 3, "batch_size": 96, "lr": 0.05, "optimiser": "sgd", "augment": {"shift": 1}}
    recipe |= {"gradient_clip": 0.5, "val_every": 2}
    (spec,) = specs(tmp_path, models=["linear"], recipe=recipe)
    weights, curves = [], []
    for parts in (1, 2, 3):
        folder = tmp_path / "a" / "b" / str(parts)
        record = run(spec, machine(tmp_path, accumulate=parts), folder)
        assert record is not None
        assert (record.execution.accumulate, record.execution.batch_per_device) == (parts, 96 // parts)
        weights.append(torch.load(folder / "model.pt", weights_only=True))
        curves.append(np.genfromtxt(folder / "curves.csv", delimiter=",", names=True))
    for other in (1, 2):
        assert curves[other]["step"].tolist() == curves[0]["step"].tolist()
        np.testing.assert_allclose(curves[other]["trainloss"], curves[0]["trainloss"], rtol=1e-4)
        for name, tensor in weights[0].items():
            torch.testing.assert_close(weights[other][name], tensor, rtol=1e-3, atol=1e-5)


def test_a_diverged_step_is_named_whatever_parts_it_has() -> None:
    losses = Losses(parts=3)
    for value in (1.0, 2.0, 3.0, 4.0, torch.nan):
        losses.add(torch.tensor(value), epoch=0)
    with pytest.raises(LossIsNotFiniteError, match=r"nan at step 2 \(epoch 1\)"):
        losses.check(epoch=0)


def test_losses_go_on_after_a_kill() -> None:
    values = [0.5, 0.25, 4.0, 1.0]
    whole, first, second = Losses(), Losses(), Losses()
    for value in values:
        whole.add(torch.tensor(value), epoch=0)
    for value in values[:2]:
        first.add(torch.tensor(value), epoch=0)
    second.load_state_dict(first.state_dict(), torch.device("cpu"))
    for value in values[2:]:
        second.add(torch.tensor(value), epoch=0)
    assert float(second.mean(epoch=0)) == float(whole.mean(epoch=0)) == 5.75 / 4
    second.add(torch.tensor(torch.inf), epoch=1)
    with pytest.raises(LossIsNotFiniteError, match="step 5 "):
        second.check(epoch=1)

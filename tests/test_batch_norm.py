"""Batch normalisation over processes: against torch's own on the whole batch, in one process."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cvbench.batch_norm import Synchronised, images_normalised, synchronised
from cvbench.machine import Machine
from cvbench.spec import Recipe
from tests.processes import on_processes

STEPS, WORLD = 3, 2


def layers(momentum: float | None = 0.1, affine: bool = True) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, momentum=momentum, affine=affine),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 16, 5),
        nn.BatchNorm1d(5, momentum=momentum, affine=affine),
    )
    for parameter in model.parameters():  # not 1 and 0, which would hide a mistake
        nn.init.normal_(parameter, mean=0.5)
    return model


def batches() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    # Far from zero: E[x^2] - E[x]^2 in float32 would lose the variance.
    return [100 + torch.randn(7, 3, 6, 6, generator=generator) for _ in range(STEPS)]


def loss(output: Tensor) -> Tensor:
    """Of images weighted unlike, so that statistics get gradients from all of them."""
    return (output.square() * torch.arange(1, output.shape[1] + 1)).sum()


def learn(rank: int, momentum: float | None, affine: bool) -> dict[str, Any]:
    """Uneven parts: 4 and 3 images."""
    torch.distributed.init_process_group("gloo", rank=rank, world_size=WORLD)
    model = layers(momentum, affine)
    types = [type(layer) for layer in model]
    Synchronised().apply(model)
    outputs, input_gradients = [], []
    for batch in batches():
        images = batch[rank::WORLD].clone().requires_grad_()
        output = model(images)
        loss(output).backward()
        outputs.append(output.detach())
        input_gradients.append(images.grad)
    Synchronised().revert(model)
    assert [type(layer) for layer in model] == types
    seen = model.eval()(batches()[0])
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {"out": outputs, "in": input_gradients, "state": model.state_dict(), "own": gradients, "eval": seen.detach()}


@pytest.mark.parametrize(("momentum", "affine"), [(0.1, True), (None, False)])
def test_two_processes_normalise_as_one_does_with_all_images(momentum: float | None, affine: bool) -> None:
    parts = on_processes(WORLD, learn, momentum, affine)
    reference = layers(momentum, affine)
    for step, batch in enumerate(batches()):
        images = batch.clone().requires_grad_()
        output = reference(images)
        loss(output).backward()
        for rank, part in enumerate(parts):
            torch.testing.assert_close(part["out"][step], output.detach()[rank::WORLD], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(part["in"][step], images.grad[rank::WORLD], rtol=1e-4, atol=1e-4)
    for name, parameter in reference.named_parameters():
        summed = sum(part["own"][name] for part in parts)
        torch.testing.assert_close(summed, parameter.grad, rtol=1e-4, atol=1e-3)
    for part in parts:
        torch.testing.assert_close(part["state"], reference.state_dict(), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(part["eval"], reference.eval()(batches()[0]), rtol=1e-4, atol=1e-4)
        reference.train()


def test_nothing_is_left_of_it_in_the_model() -> None:
    model = layers()
    before = {name: set(vars(layer)) for name, layer in model.named_modules()}
    applied = Synchronised().apply(copy.deepcopy(model))
    assert set(applied.state_dict()) == set(model.state_dict())
    reverted = Synchronised().revert(applied)
    assert {name: set(vars(layer)) for name, layer in reverted.named_modules()} == before


def test_cuda_gets_torchs_own_layer() -> None:
    # It refuses every other device.
    kinds = [type(layer) for layer in synchronised("cuda").apply(layers())]
    assert kinds.count(nn.SyncBatchNorm) == 2
    assert isinstance(synchronised("cpu"), Synchronised)
    assert isinstance(synchronised("mps"), Synchronised)


class KeepsItsStatistics(nn.Sequential):
    def train(self, mode: bool = True) -> KeepsItsStatistics:
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self


@pytest.mark.parametrize(
    ("machine", "sync", "seen"),
    [
        ({}, False, 64),
        ({}, True, 64),
        ({"devices": 2}, False, 32),
        ({"devices": 2}, True, 64),
        ({"devices": 2, "nodes": 2}, False, 16),
        ({"accumulate": 4}, False, 16),
        ({"accumulate": 4}, True, 16),  # accumulated passes come one after the other: nothing to synchronise
        ({"devices": 2, "accumulate": 4}, True, 16),
    ],
)
def test_how_many_images_are_normalised_together(machine: dict[str, int], sync: bool, seen: int) -> None:
    recipe, on = Recipe(batch_size=64, sync_batch_norm=sync), Machine.model_validate(machine)
    model = layers().eval()
    assert images_normalised(model, recipe, on) == seen
    assert not model.training
    assert images_normalised(nn.Linear(2, 2), recipe, on) is None
    assert images_normalised(KeepsItsStatistics(nn.BatchNorm2d(3)), recipe, on) is None

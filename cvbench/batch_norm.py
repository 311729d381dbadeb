"""Batch normalisation over the images of all processes (`recipe.sync_batch_norm`), and how many images it sees.

Ioffe & Szegedy, "Batch normalization", 2015; across devices: Peng et al., "MegDet", 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.layer_sync import LayerSync, TorchSyncBatchNorm
from torch import Tensor, nn

from cvbench.devices import Accelerator
from cvbench.machine import Machine
from cvbench.spec import Recipe

BatchNorm = nn.modules.batchnorm._BatchNorm


def synchronised(accelerator: Accelerator) -> LayerSync:
    """Lightning's plug-in for a training: torch's own layer on CUDA; it refuses other devices, which get ours."""
    return TorchSyncBatchNorm() if accelerator == "cuda" else Synchronised()


def images_normalised(model: nn.Module, recipe: Recipe, machine: Machine) -> int | None:
    """Images that one batch normalisation of a training step sees; None where the model learns without."""
    before = model.training
    learns = any(layer.training for layer in _layers(model.train()))  # a model may keep some layers from it
    model.train(before)
    if not learns:
        return None
    return machine.batch_per_device(recipe.batch_size) * (machine.world if recipe.sync_batch_norm else 1)


class Synchronised(LayerSync):
    """Lets the batch normalisations of a model normalise over all processes, on any device that has all-reduce.

    The layers stay what they are, with their parameters and names; only what they compute in training changes.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        for layer in _layers(model):
            layer.forward = MethodType(_forward, layer)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        for layer in _layers(model):
            layer.__dict__.pop("forward", None)
        return model


def _layers(model: nn.Module) -> Iterator[Any]:
    return (layer for layer in model.modules() if isinstance(layer, BatchNorm))


def _forward(self: BatchNorm, images: Tensor) -> Tensor:
    """images float (N, C, ...) of this process -> the same, normalised by mean and variance over all processes."""
    if not self.training:
        return type(self).forward(self, images)
    self._check_input_dim(images)  # type: ignore[no-untyped-call]
    values = images.float()
    others = [axis for axis in range(values.ndim) if axis != 1]
    shape = [1, -1] + [1] * (values.ndim - 2)
    own = values.new_tensor([values.numel() / values.shape[1]])
    # In two passes, since E[x^2] - E[x]^2 cancels where the mean is large.
    sums = _SumOverProcesses.apply(torch.cat([values.sum(others), own]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = values - mean.view(shape)
    variance = _SumOverProcesses.apply(centred.square().sum(others)) / count
    _track(self, mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
    scale = torch.rsqrt(variance + self.eps)
    if self.affine:
        scale = scale * self.weight
    normalised = centred * scale.view(shape)
    if self.affine:
        normalised = normalised + self.bias.view(shape)
    result: Tensor = normalised.to(images.dtype)
    return result


def _track(layer: BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Moves the running statistics, which evaluation uses: by `momentum`, or as the mean of all steps without one."""
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return
    layer.num_batches_tracked.add_(1)
    share = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), share)
    layer.running_var.lerp_(variance.to(layer.running_var.dtype), share)


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; each has given to every process's loss, so gradients are summed too."""

    @staticmethod
    def forward(context: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total

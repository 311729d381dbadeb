"""Optimisers and learning-rate schedules of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cvbench.spec import Recipe


def matrices(model: nn.Module) -> frozenset[int]:
    """The `id` of each parameter with more than one axis: what weight decay is for."""
    return frozenset(id(parameter) for parameter in model.parameters() if parameter.ndim > 1)


def build_optimiser(model: nn.Module, recipe: Recipe, decayed: frozenset[int] | None = None) -> Optimizer:
    """The recipe's optimiser over all parameters that want gradients; biases and norms are not decayed.

    That exception is the usual one (He 2019, "Bag of Tricks"); it makes weight decay mean the same for all models.
    decayed: `matrices` of the model, from when all of it was there; absent: as they are now.
    """
    decayed = matrices(model) if decayed is None else decayed
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in wanted if id(p) in decayed], "weight_decay": recipe.weight_decay},
        {"params": [p for p in wanted if id(p) not in decayed], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    build: dict[str, Callable[[], Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov),
        "adam": lambda: torch.optim.Adam(groups, lr=recipe.lr),
        "adamw": lambda: torch.optim.AdamW(groups, lr=recipe.lr),
    }
    return build[recipe.optimiser]()


def learning_rate(recipe: Recipe, total_steps: int) -> Callable[[int], float]:
    """step (from 0) -> factor of recipe.lr, in [0, 1].

    With t the share of the steps after warm-up, from 0 before the first to 1 after the last:
    cosine: (1 + cos(pi t)) / 2 (Loshchilov & Hutter 2017, without restarts). poly: (1 - t) ** power (DeepLab).
    step: times gamma at each milestone, a share of all steps. Before these, `warmup` rises linearly to 1.
    one_cycle: as PyTorch's (Smith 2018), momentum left alone: from 1/25 to 1 in the first `warmup` of the steps, then
    down to 1/250,000 at the last one, both as half a cosine.
    """
    if recipe.schedule == "one_cycle":
        return _one_cycle(0.3 if recipe.warmup is None else recipe.warmup, total_steps)
    rising = round((recipe.warmup or 0.0) * total_steps)
    falling = max(1, total_steps - rising)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        t = min(1.0, (step - rising) / falling)
        match recipe.schedule:
            case "cosine":
                return _half_cosine(1.0, 0.0, t)
            case "poly":
                return float((1 - t) ** recipe.power)
            case "step":
                return float(recipe.gamma ** sum(step / total_steps >= milestone for milestone in recipe.milestones))
            case _:
                return 1.0

    return factor


def _one_cycle(share: float, total_steps: int) -> Callable[[int], float]:
    last = max(1, total_steps - 1)
    # PyTorch's count: the peak is the last step of the first phase, and need not be a whole number.
    peak = min(max(share * total_steps - 1, 0.0), last)

    def factor(step: int) -> float:
        if step < peak:
            return _half_cosine(1 / 25, 1.0, step / peak)
        return _half_cosine(1.0, 1 / 250_000, min(1.0, (step - peak) / (last - peak)) if peak < last else 0.0)

    return factor


def _half_cosine(start: float, end: float, t: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2


def build_schedule(optimiser: Optimizer, recipe: Recipe, total_steps: int) -> LambdaLR:
    """The recipe's schedule; to be stepped after every optimiser step."""
    return LambdaLR(optimiser, learning_rate(recipe, total_steps))

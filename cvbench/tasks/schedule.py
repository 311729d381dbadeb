"""Optimisers and learning-rate schedules of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cvbench.spec import Recipe


def build_optimiser(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over all parameters that want gradients; biases and norms are not decayed.

    That exception is the usual one (He 2019, "Bag of Tricks"); it makes weight decay mean the same for all models.
    """
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in wanted if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in wanted if p.ndim <= 1], "weight_decay": 0.0},
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

    cosine: Loshchilov & Hutter 2017, without restarts, to 0. poly: (1 - t) ** power, as DeepLab. step: times gamma at each
    milestone. one_cycle: Smith 2018 as in PyTorch: from lr/25 up for `warmup` of the steps, down to lr/250,000, both as cosines.
    Others: `warmup` rises linearly before the schedule starts.
    """
    share = recipe.warmup if recipe.warmup is not None else (0.3 if recipe.schedule == "one_cycle" else 0.0)
    rising = round(share * total_steps)
    falling = max(1, total_steps - rising)

    def between(start: float, end: float, t: float) -> float:
        return end + (start - end) * (1 + math.cos(math.pi * t)) / 2

    shapes: dict[str, Callable[[float], float]] = {
        "constant": lambda t: 1.0,
        "cosine": lambda t: between(1.0, 0.0, t),
        "poly": lambda t: (1 - t) ** recipe.power,
        "step": lambda t: recipe.gamma ** sum(t >= milestone for milestone in recipe.milestones),
        "one_cycle": lambda t: between(1.0, 1 / 250_000, t),
    }
    shape = shapes[recipe.schedule]

    def factor(step: int) -> float:
        if step < rising:
            return between(1 / 25, 1.0, step / rising) if recipe.schedule == "one_cycle" else (step + 1) / rising
        return shape(min(1.0, (step - rising) / falling))

    return factor


def build_schedule(optimiser: Optimizer, recipe: Recipe, total_steps: int) -> LambdaLR:
    return LambdaLR(optimiser, learning_rate(recipe, total_steps))

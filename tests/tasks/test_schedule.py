"""Schedules against torch's own, and the parameter groups of the optimisers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as reference

from cvbench.spec import Recipe
from cvbench.tasks.schedule import build_optimiser, build_schedule, learning_rate

LR = 0.4


def optimiser() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(2, 2))], lr=LR)


def rates(schedule: Any, steps: int) -> list[float]:
    """The learning rate of each of `steps` steps, and one step beyond: Lightning steps the schedule after the last."""
    found = []
    for _ in range(steps):
        found.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.step()
    return found


def ours(total: int, **recipe: Any) -> list[float]:
    return rates(build_schedule(optimiser(), Recipe(lr=LR, **recipe), total), total)


@pytest.mark.parametrize("total", [1, 7, 100])
def test_cosine_is_torchs(total: int) -> None:
    assert ours(total, schedule="cosine") == pytest.approx(
        rates(reference.CosineAnnealingLR(optimiser(), total), total)
    )


@pytest.mark.parametrize("power", [0.9, 2.0])
def test_poly_is_torchs(power: float) -> None:
    expected = rates(reference.PolynomialLR(optimiser(), 50, power), 50)
    assert ours(50, schedule="poly", power=power) == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:.*OneCycleLR")
@pytest.mark.parametrize("total", [10, 33, 100])
@pytest.mark.parametrize("warmup", [None, 0.2, 0.5])
def test_one_cycle_is_torchs(warmup: float | None, total: int) -> None:
    there = reference.OneCycleLR(optimiser(), LR, total, pct_start=warmup or 0.3, cycle_momentum=False)
    expected = [there.get_last_lr()[0]]
    for _ in range(total - 1):
        there.optimizer.step()
        there.step()
        expected.append(there.get_last_lr()[0])
    assert ours(total, schedule="one_cycle", warmup=warmup) == pytest.approx(expected)


@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_step_multiplies_at_shares_of_all_steps(warmup: float) -> None:
    expected = rates(reference.MultiStepLR(optimiser(), [20, 30], gamma=0.1), 40)
    found = ours(40, schedule="step", milestones=(0.5, 0.75), gamma=0.1, warmup=warmup)
    rising = int(warmup * 40)
    assert found[rising:] == pytest.approx(expected[rising:])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "poly"])
def test_warm_up_is_torchs_linear_and_then_the_schedule_of_what_is_left(schedule: Any) -> None:
    rising, total = 8, 40
    found = ours(total, schedule=schedule, warmup=0.2)
    linear = reference.LinearLR(optimiser(), start_factor=1 / rising, total_iters=rising - 1)
    assert found[:rising] == pytest.approx(rates(linear, rising))
    assert found[rising:] == pytest.approx(ours(total - rising, schedule=schedule))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step", "poly", "one_cycle"])
@pytest.mark.parametrize("warmup", [None, 0.0, 0.001, 0.5, 1.0])
@pytest.mark.parametrize("total", [1, 2, 3, 50])
def test_factors_stay_within_0_and_1_to_the_end_and_beyond(schedule: Any, warmup: float | None, total: int) -> None:
    factor = learning_rate(Recipe(schedule=schedule, warmup=warmup), total)
    found = [factor(step) for step in range(total + 2)]
    assert all(0.0 <= value <= 1.0 for value in found)
    assert max(found) > 0.5


def test_weights_are_decayed_and_biases_and_norms_are_not() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    model[3].bias.requires_grad_(False)
    built = build_optimiser(model, Recipe(weight_decay=0.05, lr=0.01))
    decayed, plain = built.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)
    assert {p.shape for p in decayed["params"]} == {(4, 3, 3, 3), (2, 4)}
    assert [tuple(p.shape) for p in plain["params"]] == [(4,), (4,), (4,)]  # bias, scale and offset; no frozen one
    assert decayed["lr"] == 0.01


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_each_optimiser_by_its_name(name: Any, kind: type) -> None:
    built = build_optimiser(nn.Linear(2, 2), Recipe(optimiser=name, momentum=0.8, nesterov=name == "sgd"))
    assert type(built) is kind
    if name == "sgd":
        assert built.param_groups[0]["momentum"] == 0.8
        assert built.param_groups[0]["nesterov"]

"""Costs against torchvision's published counts; latency by a clock of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from cvbench import costs
from cvbench.data.base import DatasetInfo
from cvbench.models.normalise import Normalised

OFF = torch.autocast("cpu", enabled=False)


def info() -> DatasetInfo:
    return DatasetInfo(
        name="imagenet",
        task="classification",
        protocol={},
        revision="0123456789ab",
        classes=tuple(map(str, range(1000))),
        split_sizes={},
        licence="",
        redistributable=False,
        input_size=(224, 224),
    )


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "vit_b_16", "mobilenet_v3_small"])
def test_parameters_and_macs_are_torchvisions(name: str) -> None:
    weights = models.get_model_weights(name).DEFAULT
    with torch.device("meta"):  # nothing is allocated, nothing is computed
        model = Normalised(models.get_model(name, weights=None), info())
    assert costs.parameters(model) == weights.meta["num_params"]
    counted = costs.macs(model, torch.empty(1, 3, 224, 224, device="meta"))
    assert counted is not None
    assert counted / 1e9 == pytest.approx(weights.meta["_ops"], abs=0.0006)  # published with three decimals


def test_counting_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    # 4 maps of 8x8 pixels, each from 3x3x3 pixels
    assert costs.macs(model, torch.zeros(1, 3, 10, 10)) == 4 * 64 * 27
    assert model.training
    for name, tensor in model.state_dict().items():
        assert tensor.device.type == "cpu"
        assert torch.equal(tensor, before[name])


def test_heads_that_only_training_uses_cost_nothing() -> None:
    network = nn.ModuleDict({"body": nn.Linear(4, 3), "aux": nn.Linear(4, 3)})
    model = Normalised(network, info())
    assert costs.parameters(model) == 2 * (4 * 3 + 3)
    model.training_only = ("aux.",)
    assert costs.parameters(model) == 4 * 3 + 3


class DependsOnValues(nn.Module):
    """Multiplies every pixel above 1/2 with a vector of 5 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.Linear(1, 5, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.spread(images[images > 0.5][:, None])


def test_what_depends_on_values_is_counted_on_the_image() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[0, 0, :2, :3] = 1.0
    assert costs.macs(DependsOnValues(), image) == 6 * 5


class Refuses(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        raise NotImplementedError


def test_what_cannot_be_counted_is_none() -> None:
    assert costs.macs(Refuses(), torch.zeros(1, 3, 8, 8)) is None


class Timed(nn.Module):
    """Takes 100 seconds the first time (as a lazily built model does), then 1, 2, 3 … seconds of a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.now = 0, 0.0

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.now += self.calls or 100
        self.calls += 1
        return images

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("most", "seconds", "passes"),
    [
        (21, 1e9, 21),
        (50, 0.0, 3),  # no time: at least three
        (50, 20.0, 6),  # 1 + 2 + 3 + 4 + 5 + 6 = 21 seconds
    ],
)
def test_latency_is_of_warm_passes(monkeypatch: pytest.MonkeyPatch, most: int, seconds: float, passes: int) -> None:
    model = Timed().train()
    monkeypatch.setattr(costs, "time", model)
    p50, p95 = costs.latency(model, torch.zeros(1, 3, 4, 4), autocast=OFF, most=most, seconds=seconds)
    assert model.calls == 1 + passes
    # of 1, 2, … n seconds the median is (n + 1) / 2, and 95 % of the way from 1 to n is 0.05 + 0.95 n
    assert p50 == pytest.approx((passes + 1) / 2)
    assert p95 == pytest.approx(0.05 + 0.95 * passes)


def test_peak_memory_sees_what_was_there_and_is_gone() -> None:
    size = 200 << 20
    memory = costs.PeakMemory()
    before = memory.read()
    block = torch.ones(size, dtype=torch.uint8)
    del block
    assert size * 0.9 <= memory.read() - before <= size * 1.5


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can forget")
def test_peak_memory_forgets_earlier_runs_of_the_process() -> None:
    block = torch.ones(300 << 20, dtype=torch.uint8)
    high = costs.PeakMemory().read()
    del block
    assert costs.PeakMemory().read() < high - (250 << 20)

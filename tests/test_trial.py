"""Models that break their contract in one way each: exactly that is found. And ours, which break none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cvbench.spec import ModelRef
from cvbench.trial import CHECKS, Check, try_model

NAMES = [asked.name for asked in CHECKS]

CLASSIFIERS = """
import os

import torch
import torch.distributed
import torch.nn.functional as F
from torch import nn


class Good(nn.Module):
    def __init__(self, info):
        super().__init__()
        torch.rand(1)
        self.body = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, info.num_classes)

    def features(self, images):
        return self.norm(self.body(images)).relu().mean((2, 3))

    def forward(self, images):
        return self.head(self.features(images))


class Unused(Good):
    def __init__(self, info):
        super().__init__(info)
        self.spare = nn.Linear(2, 2)


class Detached(Good):
    def features(self, images):
        return super().features(images).detach()


class Together(Good):
    def features(self, images):
        maps = self.body(images)
        return F.batch_norm(maps, None, None, self.norm.weight, self.norm.bias, training=True).relu().mean((2, 3))


class Squeezes(Good):
    def forward(self, images):
        return super().forward(images).squeeze(0)


class Draws(Good):
    def forward(self, images):
        logits = super().forward(images)
        return logits if self.training else logits + torch.rand(1)


class Forgets(Good):
    def __init__(self, info):
        super().__init__(info)
        self.secret = torch.rand(info.num_classes)

    def forward(self, images):
        return super().forward(images) + self.secret


class Pickles(Good):
    def get_extra_state(self):
        return {os.path.join}

    def set_extra_state(self, state):
        pass


class Shape(Good):
    def forward(self, images):
        return super().forward(images)[:, 1:]


class Integers(Good):
    def forward(self, images):
        logits = super().forward(images)
        return logits if self.training else logits.round().long()


class InPlace(Good):
    def forward(self, images):
        return super().forward(images.sub_(0.5))


class Infinite(Good):
    def forward(self, images):
        logits = super().forward(images)
        return logits / 0 if self.training else logits


class OneSize(Good):
    def __init__(self, info):
        super().__init__(info)
        self.mask = nn.Parameter(torch.ones(64, 96))

    def forward(self, images):
        return super().forward(images * self.mask)


class Stuck(Good):
    def __init__(self, info):
        super().__init__(info)
        self.scale = nn.Parameter(torch.tensor([1e8]))

    def forward(self, images):
        return super().forward(images) * (self.scale / 1e8)


class Float32Only(Good):
    def features(self, images):
        if self.body(images).dtype != torch.float32:
            raise RuntimeError("no kernel for this type")
        return super().features(images)


class Frozen(Good):
    def __init__(self, info):
        super().__init__(info)
        self.requires_grad_(False)


class Fits(Good):
    def __init__(self, info):
        super().__init__(info)
        self.register_buffer("shift", torch.zeros(info.num_classes))

    def forward(self, images):
        return super().forward(images) + self.shift

    def finalise(self, loader, generator):
        self.shift = sum(labels.sum() for images, labels in loader).log() * float("nan")


class Ranked(Good):
    def forward(self, images):
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        return super().forward(images) * (1 + rank)


def refuses(info):
    if info.input_size != (64, 96):
        raise ValueError(f"takes 64x96 only, not {info.input_size}")
    return Good(info)


def broken(info):
    raise KeyError("no such layer")


def nothing(info):
    return None
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A plug-in in a folder that Python looks into; its name is this test's alone, since modules stay imported."""
    name = f"tried_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(CLASSIFIERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return name


def tried(name: str, task: str = "classification", quick: bool = True, **options: Any) -> dict[str, Check]:
    found = list(try_model(ModelRef(name=name, options=options), task, quick=quick))
    assert [check.name for check in found][: len(NAMES)] == NAMES
    return {check.name: check for check in found}


def in_state(found: dict[str, Check], state: str) -> set[str]:
    return {check.name for check in found.values() if check.state == state}


def test_a_good_model_passes_everything(folder: str) -> None:
    found = tried(f"{folder}:Good", quick=False)
    assert in_state(found, "passed") == set(NAMES) - {"finalise"}
    # 3x3x3x4 + 4 weights, 4 + 4 of the norm, 4x8 + 8 of the head
    assert found["builds"].told == "160 parameters, 160 of them trained"


@pytest.mark.parametrize(
    ("model", "failed", "told"),
    [
        ("Unused", {"gradients"}, "spare.weight, spare.bias got none"),
        ("Detached", {"gradients"}, "body.weight, body.bias, norm.weight, norm.bias got none"),
        ("Together", {"batch of one"}, "an image alone and among 4"),
        ("Squeezes", {"batch of one"}, "tensor (1, 8), but got (8,)"),
        (
            "Draws",
            {"batch of one", "deterministic", "save and load"},
            "of the same images in eval mode, but it differs",
        ),
        ("Forgets", {"save and load"}, "to say the same, but it differs"),
        ("Pickles", {"save and load"}, "Expected a state_dict of tensors"),
        ("Shape", {"training mode", "evaluation mode"}, "tensor (4, 8), but got (4, 7)"),
        ("Integers", {"evaluation mode"}, "of type float32, but got torch.int64"),
        ("InPlace", {"training mode", "evaluation mode"}, "changed them in place"),
        ("Infinite", {"loss"}, "Expected finite loss"),
        ("OneSize", {"another size"}, "RuntimeError"),
        ("Stuck", {"optimiser step"}, "but scale stayed"),
        ("Float32Only", {"bfloat16"}, "RuntimeError"),
        ("Fits", {"finalise"}, "Expected finite logits, but 32 of 32"),
        ("broken", {"builds"}, "KeyError: 'no such layer'"),
        ("nothing", {"builds"}, "Expected build to return an nn.Module, but got NoneType"),
    ],
)
def test_what_is_broken_is_found_and_named(folder: str, model: str, failed: set[str], told: str) -> None:
    found = tried(f"{folder}:{model}")
    assert in_state(found, "failed") == failed
    assert all(found[name].remedy for name in failed)
    assert any(told in found[name].told for name in failed), [found[name].told for name in failed]


def test_what_makes_no_sense_is_skipped_with_its_reason(folder: str) -> None:
    found = tried(f"{folder}:broken")
    assert in_state(found, "skipped") == set(NAMES) - {"builds"}
    assert found["training mode"].told == "without 'builds' it says nothing"
    assert "takes 64x96 only" in tried(f"{folder}:refuses")["another size"].told
    frozen = tried(f"{folder}:Frozen", quick=False)
    assert {"gradients", "optimiser step", "two processes"} <= in_state(frozen, "skipped")
    assert not in_state(frozen, "failed")


def test_processes_that_learn_something_else_are_found(folder: str) -> None:
    found = tried(f"{folder}:Ranked", quick=False)
    assert in_state(found, "failed") == {"two processes"}
    assert "process 1 of 2 got" in found["two processes"].told


def test_pytorchs_settings_are_left_as_they_were(folder: str) -> None:
    torch.use_deterministic_algorithms(False)  # as other tests may have left it
    tried(f"{folder}:nothing")
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_missing_module_is_a_mistake_not_a_failed_check() -> None:
    with pytest.raises(ValueError, match="no module 'nowhere'"):
        tried("nowhere:build")


@pytest.mark.parametrize(
    ("task", "model", "options"),
    [
        ("classification", "lenet", {}),
        ("segmentation", "segnet", {"width": 4, "depth": 2}),
        ("detection", "fcos", {"width": 4}),
        ("captioning", "show_and_tell", {}),
    ],
)
def test_our_own_models_keep_their_contract(task: str, model: str, options: dict[str, Any]) -> None:
    found = tried(model, task, **options)
    assert in_state(found, "failed") == set()
    assert len(found) == len(NAMES) + {"detection": 1, "captioning": 2}.get(task, 0)

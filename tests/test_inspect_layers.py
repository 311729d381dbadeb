"""What `inspect` reads from networks: maps against layers called one by one, Grad-CAM against class activation maps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cvbench.catalog import find
from cvbench.data.base import DatasetInfo
from cvbench.inspection.filters import first_filters
from cvbench.inspection.gradcam import grad_cam, last_maps
from cvbench.inspection.layers import strongest, trace, watched
from cvbench.inspection.maps import feature_maps, readable


def info(channels: int = 3, size: tuple[int, int] = (32, 32), classes: int = 10) -> DatasetInfo:
    return DatasetInfo(
        name="made_up", task="classification", protocol={}, revision="0" * 12,
        classes=tuple(f"class {index}" for index in range(classes)), split_sizes={"test": 1}, licence="none",
        redistributable=True, channels=channels, mean=(0.4,) * channels, std=(0.2,) * channels, input_size=size,
    )  # fmt: skip


def built(name: str, of: DatasetInfo, **options: Any) -> Any:
    torch.manual_seed(0)
    entry = find("models", name, "classification")
    return (entry.build()(of, name, **options) if entry.zoo else entry.build()(of, **options)).eval()


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout2d(),
        nn.Sequential(nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6),
    ).eval()  # fmt: skip


IMAGES = torch.rand((1, 3, 12, 16), generator=torch.Generator().manual_seed(1))


def test_every_stack_of_maps_is_traced_once_and_in_order(network: nn.Sequential) -> None:
    calls = trace(network, IMAGES)
    # by hand: 12 x 16, pooled 6 x 8, cut to 4 x 6; dropout and the inner block hand on what is there already
    assert [(call.name, call.kind, call.shape) for call in calls] == [
        ("0", "Conv2d", (5, 12, 16)), ("1", "ReLU", (5, 12, 16)), ("2", "MaxPool2d", (5, 6, 8)),
        ("4.0", "Conv2d", (4, 4, 6)), ("4.1", "BatchNorm2d", (4, 4, 6)), ("4.2", "ReLU", (4, 4, 6)),
    ]  # fmt: skip
    assert [call.name for call in readable(calls, 8)] == ["0", "1", "2", "4.0", "4.2"]
    assert [call.name for call in readable(calls, 4)] == ["0", "1", "2", "4.2"]  # only the first convolution stays
    assert [call.name for call in readable(calls, 2)] == ["0", "4.2"]
    assert not any(module._forward_hooks for module in network.modules())


def test_maps_are_those_of_the_layers_called_one_by_one(network: nn.Sequential) -> None:
    found = feature_maps(network, IMAGES, readable(trace(network, IMAGES), 8))
    with torch.no_grad():
        first = torch.conv2d(IMAGES, network[0].weight, network[0].bias, padding=1)
        rectified = first.clamp(min=0)
        pooled = nn.functional.max_pool2d(rectified, 2)
        inner = torch.conv2d(pooled, network[4][0].weight, network[4][0].bias)
        expected = [first, rectified, pooled, inner, (inner / (1 + 1e-5) ** 0.5).clamp(min=0)]
    assert float(first.min()) < 0  # or the ReLU that works in place would not show
    for maps, values in zip(found, expected, strict=True):
        torch.testing.assert_close(maps, values[0])


class Twice(nn.Module):
    """One layer used twice, and a block that changes its last layer's output in place."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.body(self.relu(x)))
        y += x
        return y


def test_each_use_of_a_layer_is_its_own() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(Twice())
    calls = trace(network, IMAGES)
    assert [call.label for call in calls] == ["0.relu", "0.body", "0.relu (use 2)", "0"]
    first, _, second, block = feature_maps(network, IMAGES, calls)
    torch.testing.assert_close(first, IMAGES[0])
    torch.testing.assert_close(block, second + IMAGES[0])


def test_hooks_go_where_a_network_fails() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Linear(7, 1))
    with pytest.raises(RuntimeError), watched(network, lambda use: None):
        network(IMAGES)
    assert not any(module._forward_hooks for module in network.modules())


def test_tensors_of_another_shape_than_the_image_are_no_maps() -> None:
    class ChannelsLast(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1)

    network = nn.Sequential(nn.Conv2d(3, 40, 1), ChannelsLast(), nn.Linear(40, 40))
    assert [call.name for call in trace(network, IMAGES)] == ["0"]


def test_maps_of_a_network_that_stretches_its_images() -> None:
    """As torchvision's SSD does, to a square."""
    network = nn.Sequential(nn.Upsample((40, 40)), nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
    assert [(call.name, call.shape) for call in trace(network, IMAGES)] == [("1", (4, 20, 20)), ("2", (4, 20, 20))]


def test_strongest() -> None:
    assert strongest(torch.tensor([3.0, 9.0, 1.0, 5.0]), 2) == [1, 3]
    assert strongest(torch.tensor([3.0, 9.0]), 8) == [0, 1]


# Grad-CAM. Of convolution, mean and linear layer the gradient of logit c by A_k is w_ck / (h w) everywhere, so that the
# map is the class activation map of Zhou et al. 2016, relu(sum over k of w_ck A_k), divided by h w.


def activation_map(maps: Tensor, linear: nn.Linear, label: int) -> Tensor:
    return torch.einsum("k,khw->hw", linear.weight[label], maps).clamp(min=0) / maps[0].numel()


@pytest.mark.parametrize("label", range(6))
def test_gradcam_is_the_class_activation_map(network: nn.Sequential, label: int) -> None:
    at = last_maps(network, IMAGES)
    assert at.name == "4.2"
    found, logits = grad_cam(network, IMAGES, label, at)
    with torch.no_grad():
        expected = activation_map(network[:5](IMAGES)[0], network[7], label)
        torch.testing.assert_close(logits, network(IMAGES)[0])
    torch.testing.assert_close(found, expected)


def test_what_speaks_against_a_class_is_cut_off(network: nn.Sequential) -> None:
    with torch.no_grad():
        network[7].weight.copy_(-network[7].weight.abs())
    found, _ = grad_cam(network, IMAGES, 0, last_maps(network, IMAGES))
    assert float(found.abs().max()) == 0


def test_gradcam_works_without_gradients_of_parameters_and_leaves_none(network: nn.Sequential) -> None:
    network.requires_grad_(False)
    with torch.no_grad():
        found, _ = grad_cam(network, IMAGES, 2, last_maps(network, IMAGES))
        torch.testing.assert_close(found, activation_map(network[:5](IMAGES)[0], network[7], 2))
    assert IMAGES.grad is None


@pytest.mark.parametrize(
    ("name", "layer", "head"),
    [
        ("resnet_cifar", "network.11", "network.14"),
        ("torchvision/resnet18", "network.layer4.1.relu (use 2)", "network.fc"),
        ("torchvision/densenet121", "network.features.norm5", "network.classifier"),  # relu in place comes after
        ("torchvision/efficientnet_b0", "network.features.8.2", "network.classifier.1"),
        ("timm/resnet10t", "network.layer4.0.act2", "network.fc"),
    ],
)
def test_gradcam_of_real_networks_that_average(name: str, layer: str, head: str) -> None:
    model = built(name, info(size=(64, 64)))
    images = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(2))
    linear = model.get_submodule(head)
    given: list[Tensor] = []
    linear.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    at = last_maps(model, images)
    assert at.label == layer
    found, _ = grad_cam(model, images, 3, at)
    with torch.no_grad():
        (maps,) = feature_maps(model, images, [at])
        maps = maps.clamp(min=0) if "densenet" in name else maps
        # the layer that was chosen is indeed what is averaged before the last one
        torch.testing.assert_close(maps.mean(dim=(1, 2)), given[-1][0])
        torch.testing.assert_close(found, activation_map(maps, linear, 3))


def test_gradcam_of_a_network_with_hidden_layers_on_top() -> None:
    """LeNet-5: alpha by finite differences, the whole map k raised by a little at once."""
    model = built("lenet", info(channels=1)).double()
    images = torch.rand((1, 1, 32, 32), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    at = last_maps(model, images)
    assert (at.name, at.shape) == ("network.4", (16, 12, 12))
    found, _ = grad_cam(model, images, 7, at)
    with torch.no_grad():
        maps, step = model.network[:5](model.normalise(images)), 1e-7
        top = model.network[5:]
        raised = [maps + step * (torch.arange(16) == k).view(1, -1, 1, 1) for k in range(16)]
        alphas = torch.stack([top(one)[0, 7] - top(maps)[0, 7] for one in raised]) / step / 144
        expected = torch.einsum("k,khw->hw", alphas, maps[0]).clamp(min=0)
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("linear", {}, "no convolution; `cvbench inspect filters`"),
        ("mlp", {}, "no convolution"),
        ("hog_linear", {}, "no convolution"),
        ("torchvision/vit_b_32", {"image_size": 32}, "cuts the image into tokens"),
        ("timm/vit_tiny_patch16_224", {"img_size": 32}, "cuts the image into tokens"),
    ],
)
def test_gradcam_needs_convolutions(name: str, options: dict[str, Any], message: str) -> None:
    model = built(name, info(), **options)
    with pytest.raises(ValueError, match=message):
        last_maps(model, torch.rand(1, 3, 32, 32))


def test_maps_of_single_pixels_show_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, (12, 16)), nn.Flatten())
    with pytest.raises(ValueError, match="are single pixels"):
        last_maps(network, IMAGES)
    with pytest.raises(ValueError, match="no feature maps"):
        readable(trace(network, IMAGES), 8)
    with pytest.raises(ValueError, match="--layers: Expected at least 1, but got 0"):
        readable([], 0)


def test_filters_are_the_first_layers_weights() -> None:
    colour = info(channels=3, size=(8, 6))
    resnet = built("resnet_cifar", colour)
    found = first_filters(resnet, colour)
    assert (found.layer, found.kinds) == ("network.0", "filters")
    assert torch.equal(found.weights, resnet.network[0].weight)

    mlp = built("mlp", colour, hidden=(5,))
    found = first_filters(mlp, colour)
    assert (found.layer, found.kinds, found.names[4]) == ("network.1", "templates, one a unit", "unit 4")
    # an image that is a template excites its unit by the sum of its squares
    assert found.weights.shape == (5, 3, 8, 6)
    with torch.no_grad():
        excited = mlp.network[1](found.weights[2].flatten()) - mlp.network[1].bias
    assert float(excited[2]) == pytest.approx(float(found.weights[2].square().sum()), rel=1e-5)

    linear = built("linear", colour)
    nn.init.normal_(linear.network[1].weight)
    found = first_filters(linear, colour)
    assert (found.kinds, found.names) == ("templates, one a class", list(colour.classes))


def test_colour_filters_on_repeated_grey_images_are_added_up() -> None:
    grey = info(channels=1, size=(64, 64))
    model = built("torchvision/resnet18", grey)
    found = first_filters(model, grey)
    weights = model.network.conv1.weight
    assert torch.allclose(found.weights, weights[:, :1] + weights[:, 1:2] + weights[:, 2:])


@pytest.mark.parametrize("size", [(32, 32), (12, 12)])  # 12 x 12 in grey: as many features as pixels, 144
def test_a_first_layer_that_sees_no_pixels_is_refused(size: tuple[int, int]) -> None:
    grey = info(channels=1, size=size)
    with pytest.raises(ValueError, match="first layer is a convolution, or a linear layer on pixels"):
        first_filters(built("hog_linear", grey), grey)

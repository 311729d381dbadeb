"""What segmenters and detectors stand on: networks that return their feature maps by stride, under "8", "16", "32"."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cvbench.models import zoo
from cvbench.models.initialise import kaiming


class NoMapError(ValueError):
    """A network has no feature map at a stride that is asked for."""


class Small(nn.Module):
    """A light backbone: five stages of halved sides, the first one convolution, the others two, batch norm and ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for stage, outputs in enumerate((width, width, *small_channels(width).values())):
            layers = _layer(channels, outputs, stride=2)
            self.stages.append(nn.Sequential(*layers, *(_layer(outputs, outputs, stride=1) if stage else ())))
            channels = outputs

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = {}
        for stage, layers in enumerate(self.stages):
            images = layers(images)
            maps[str(2 ** (stage + 1))] = images
        return maps


def small_channels(width: int) -> dict[int, int]:
    """Number of maps of `Small` by stride."""
    return {8: 2 * width, 16: 4 * width, 32: 8 * width}


def _layer(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Vgg16(nn.Module):
    """VGG-16 whose fully connected layers are convolutions; maps: pool3 (8), pool4 (16), fc7 (32)."""

    POOLS = ((16, "8"), (23, "16"))  # positions of pool3 and pool4 among torchvision's layers

    def __init__(self, dropout: float) -> None:
        from torchvision.models.vgg import cfgs, make_layers

        super().__init__()
        self.features = make_layers(cfgs["D"])
        self.fc6 = nn.Conv2d(512, 4096, 7, padding=3)
        self.fc7 = nn.Conv2d(4096, 4096, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps, start = {}, 0
        for index, stride in self.POOLS:
            images = maps[stride] = self.features[start : index + 1](images)
            start = index + 1
        images = self.features[start:](images)
        images = self.dropout(self.fc6(images).relu())
        maps["32"] = self.dropout(self.fc7(images).relu())
        return maps


def vgg16(weights: Any, dropout: float) -> tuple[nn.Module, dict[int, int]]:
    """The published backbone of FCN and its number of maps by stride. weights: of torchvision's vgg16, or None."""
    network = Vgg16(dropout)
    kaiming(network)
    if weights is not None:
        state = zoo.construct("torchvision/vgg16", partial(weights.get_state_dict, check_hash=True), {}, weights.url)
        transplant(network, state)
    return network, {8: 256, 16: 512, 32: 4096}


def transplant(network: Vgg16, state: dict[str, Tensor]) -> None:
    """Copies a state dict of torchvision's vgg16 into `network`: fc6 and fc7 reshaped to convolutions ("net
    surgery").
    """
    features = {name.removeprefix("features."): t for name, t in state.items() if name.startswith("features.")}
    network.features.load_state_dict(features)
    with torch.no_grad():
        for layer, name in ((network.fc6, "classifier.0"), (network.fc7, "classifier.3")):
            weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            # IMAGENET1K_FEATURES, the authors' own, has no classifier: its places are NaN, and ours stay random.
            if weight.isfinite().all():
                assert layer.bias is not None
                layer.weight.copy_(weight.view_as(layer.weight))
                layer.bias.copy_(bias)


def torchvision_maps(name: str, weights: Any, strides: tuple[int, ...]) -> tuple[nn.Module, dict[int, int]]:
    """A torchvision classifier cut to its last map of each stride, and the number of maps by stride.

    Raises NoMapError where the network has no map (B, C, H / stride, W / stride), as Inception and Swin do not.
    """
    from torchvision.models import MaxVit, VisionTransformer, get_model
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    options: dict[str, Any] = {}
    if name in zoo.TRANSFORMS_INPUT:
        options["transform_input"] = False
        if (
            weights is None
        ):  # auxiliary heads would only be cut away again; with weights torchvision sees to that itself
            options |= {"aux_logits": False, "init_weights": True}
    url = "" if weights is None else weights.url
    network = zoo.construct(f"torchvision/{name}", partial(get_model, name, weights=weights), options, url)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="NOTE: The nodes obtained by tracing the model")
        train_nodes, eval_nodes = get_graph_node_names(network)
        both = [node for node in eval_nodes if node in set(train_nodes)]
        side = 256
        # transformers of one image size cannot be asked, and have no such maps
        traced = not isinstance(network, VisionTransformer | MaxVit)
        shapes = _shapes(create_feature_extractor(network, both).eval(), side) if traced else {}
        nodes, channels = {}, {}
        for stride in strides:
            of_stride = [n for n, shape in shapes.items() if shape[2:] == (side // stride, side // stride)]
            if not of_stride:
                raise NoMapError(
                    f"torchvision/{name} has no feature map at stride {stride}: it cannot be a backbone here. Take a "
                    "convolutional network, such as torchvision/resnet18."
                )
            nodes[of_stride[-1]] = str(stride)
            channels[stride] = shapes[of_stride[-1]][1]
        return create_feature_extractor(network.train(), nodes), channels


def _shapes(extractor: nn.Module, side: int) -> dict[str, tuple[int, ...]]:
    """Shape of each map (1, C, H, W) that `extractor` returns for an image of side × side; nothing is computed."""
    tensors = {**dict(extractor.named_parameters()), **dict(extractor.named_buffers())}
    shadows = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    with torch.no_grad():
        maps = torch.func.functional_call(extractor, shadows, (torch.empty(1, 3, side, side, device="meta"),))
    return {name: tuple(m.shape) for name, m in maps.items() if isinstance(m, Tensor) and m.ndim == 4}

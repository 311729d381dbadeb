"""Any classifier, stopped at its last feature map; found by looking at what its layers return for a black image."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

MOST_PREFIX = 8  # tokens of a transformer that are no places: class, distillation, registers


class _Place(NamedTuple):
    """How a layer's output is a map: "first", (B, K, h, w); "last", (B, h, w, K); "tokens", (B, prefix + h * w, K)."""

    kind: Literal["first", "last", "tokens"]
    grid: tuple[int, int]
    channels: int

    def read(self, output: Tensor) -> Tensor:
        if self.kind == "first":
            return output
        if self.kind == "last":
            return output.permute(0, 3, 1, 2)
        rows, columns = self.grid
        return output[:, -rows * columns :].transpose(1, 2).reshape(len(output), self.channels, rows, columns)


class _Reached(Exception):  # noqa: N818  # no error: it carries the map out of a network that has no other way out
    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


class Cut(nn.Module):
    """Normalised images (B, wants, H, W) to the last map (B, channels, h, w) that the classifier `body` makes of them.

    A map is what a layer called once returns with four axes and more than one place, or tokens in a grid of the image's
    shape. What lies behind it is neither computed nor kept, the tensors before it keep their names. size: (H, W) of the
    images; transformers take no other. mean, std: see `Encoder`.
    Raises ValueError: a network of which no layer returns a map.
    """

    def __init__(
        self,
        body: nn.Module,
        wants: int,
        size: tuple[int, int],
        name: str,
        mean: tuple[float, ...] | None,
        std: tuple[float, ...] | None,
    ) -> None:
        super().__init__()
        self.body, self.wants, self.mean, self.std = body, wants, mean, std
        images = torch.zeros(1, wants, *size)
        path, self.place = _last_map(body.eval(), images, name)
        self.channels = self.place.channels
        body.get_submodule(path).register_forward_hook(_stop)
        _drop_unreached(body, self(images))
        body.train()

    def forward(self, images: Tensor) -> Tensor:
        try:
            self.body(images)
        except _Reached as reached:
            return self.place.read(reached.output)
        raise AssertionError("the network did not pass the layer at which it is cut")


def _stop(_module: nn.Module, _given: Any, output: Tensor) -> None:
    raise _Reached(output)


def _last_map(body: nn.Module, images: Tensor, name: str) -> tuple[str, _Place]:
    """The path of the layer that returns the last map, and how to read it."""
    found: list[tuple[str, _Place | None]] = []

    def note(path: str, _module: nn.Module, _given: Any, output: Any) -> None:
        found.append((path, _place(output, images.shape[-2:]) if isinstance(output, Tensor) else None))

    hooks = [module.register_forward_hook(partial(note, path)) for path, module in body.named_modules()]
    try:
        with torch.no_grad():
            body(images)
    finally:
        for hook in hooks:
            hook.remove()
    calls = [path for path, _ in found]
    for path, place in reversed(found):
        if place is not None and calls.count(path) == 1:
            return path, place
    raise ValueError(f"{name} has no feature map to describe an image by: take a convolutional network")


def _place(output: Tensor, size: torch.Size) -> _Place | None:
    height, width = size
    if output.ndim == 4 and output[0, 0].numel() > 1:
        _, first, second, third = output.shape
        # Of the two readings the one whose sides are as those of the image.
        if abs(first * width - second * height) < abs(second * width - third * height):
            return _Place("last", (first, second), third) if first * second > 1 else None
        return _Place("first", (second, third), first)
    if output.ndim == 3:
        for places in range(output.shape[1], max(1, output.shape[1] - MOST_PREFIX - 1), -1):
            rows = round(math.sqrt(places * height / width))
            if rows and places % rows == 0 and rows * width == places // rows * height:
                return _Place("tokens", (rows, places // rows), output.shape[2])
    return None


def _drop_unreached(body: nn.Module, output: Tensor) -> None:
    """Replaces layers that the output does not depend on by nothing; single tensors among them are not trained."""
    wanted = [parameter for parameter in body.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(output.sum(), wanted, allow_unused=True)
    idle = {id(tensor) for tensor, gradient in zip(wanted, gradients, strict=True) if gradient is None}
    for path, module in list(body.named_modules()):
        own = list(module.parameters())
        if path and own and all(id(parameter) in idle for parameter in own):
            parent, _, leaf = path.rpartition(".")
            setattr(body.get_submodule(parent), leaf, nn.Identity())
    for parameter in body.parameters():
        parameter.requires_grad_(id(parameter) not in idle)

"""The filters of a run's first convolution, or the templates of its first linear layer, as images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.data.drawing import below, scaled, sheet, written
from cvbench.data.shading import about_zero
from cvbench.inspection.layers import Use, strongest, watched
from cvbench.models.normalise import Normalised
from cvbench.trained import load_task

MOST = 96  # filters on a sheet
RULE = (
    "Mid grey is a weight of 0; the largest weight of each filter, in size, is white or black (of that colour, where "
    "filters see colours). Below each: its number and that largest weight. A filter answers most to what looks like it."
)


class Filters(NamedTuple):
    """The first layer that sees pixels. weights: (N, C, h, w). names: of each filter. kinds: what they are called."""

    layer: str
    weights: Tensor
    names: list[str]
    kinds: str


def first_filters(model: nn.Module, info: DatasetInfo) -> Filters:
    """Those of the first convolution; without one, of the first linear layer, if it sees the pixels themselves.

    Filters for colour of a model that repeats grey images are added up over the channels: that is what they do to grey.
    Raises ValueError for a network whose first layer is neither.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            weights = module.weight.detach().float()
            if weights.shape[1] != 3 or info.channels == 1:
                weights = weights.sum(dim=1, keepdim=True)
            return Filters(name, weights, [f"{place}" for place in range(len(weights))], "filters")
    name, linear = _linear_on_pixels(model, info)
    templates = linear.weight.detach().float().reshape(-1, info.channels, *(info.input_size or ()))
    if len(templates) == info.num_classes:
        return Filters(name, templates, list(info.classes), "templates, one a class")
    return Filters(name, templates, [f"unit {place}" for place in range(len(templates))], "templates, one a unit")


def _linear_on_pixels(model: nn.Module, info: DatasetInfo) -> tuple[str, nn.Linear]:
    """Found by asking: an image of noise goes in, and a layer whose input is that image's pixels in order is it."""
    images = torch.rand((1, info.channels, *(info.input_size or (1, 1))), generator=torch.Generator().manual_seed(0))
    pixels = model.normalise(images) if isinstance(model, Normalised) else images
    found: list[tuple[str, nn.Linear]] = []

    def seen(use: Use) -> None:
        if isinstance(use.module, nn.Linear) and torch.equal(use.given[0].flatten(), pixels.flatten()):
            found.append((use.name, use.module))

    with torch.inference_mode(), watched(model, seen):
        model(images)
    if not found:
        raise ValueError(
            "Expected a network whose first layer is a convolution, or a linear layer on pixels, but this one has "
            "neither: it has no weights that can be seen as images"
        )
    return found[0]


def draw_filters(run: Path, *, plugins: bool = False) -> tuple[Image.Image, dict[str, Any]]:
    """A sheet and its facts. Raises ValueError, see `first_filters` and `load_task`."""
    task, record = load_task(run, plugins=plugins)
    found = first_filters(task.model, task.info)
    shown = strongest(found.weights.square().sum(dim=(1, 2, 3)), MOST)
    side = 128 if max(found.weights.shape[2:]) > 16 or len(shown) <= 16 else 72
    tiles = [_tile(found.names[index], found.weights[index].numpy(), side) for index in shown]
    count, channels, height, width = found.weights.shape
    title = f"{record.spec.name}: {count} {found.kinds}, {channels} x {height} x {width} weights each, of {found.layer}"
    title += f"; the {len(shown)} largest" if len(shown) < count else ""
    facts = {
        "run": str(run),
        "layer": found.layer,
        "shape": list(found.weights.shape),
        "shown": shown,
        "largest": float(found.weights.abs().max()),
    }
    return sheet(tiles, title=title, foot=written([RULE], 1000)), facts


def _tile(name: str, weights: NDArray[np.float32], side: int) -> Image.Image:
    """weights: (C, h, w), C 1 or 3."""
    picture = scaled(about_zero(weights).transpose(1, 2, 0), side)
    return below(picture, written([name, f"largest {np.abs(weights).max():.2g}"], side, 11))

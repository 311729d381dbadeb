"""The feature maps of an image, layer by layer: what a finished run's model makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from cvbench.data.drawing import below, scaled, sheet, written
from cvbench.data.shading import between
from cvbench.inspection.layers import Call, Use, open_subject, strongest, trace, watched

_SIDE = 128  # pixels of a map's picture
RULE = (
    "Each row is a layer; of its maps those are shown that vary most over the image. Black is a map's lowest value, "
    "white its highest; both stand below it, after the map's number. Going down, a map's pixels see more "
    "and more of the image."
)


def readable(calls: Sequence[Call], most: int) -> list[Call]:
    """At most `most` calls from the first to the last, evenly spaced.

    Where there are more, only the first convolution stays beside activations, pooling and blocks: what the next layer
    sees. Raises ValueError where there are none, or `most` is below 1.
    """
    if most < 1:
        raise ValueError(f"--layers: Expected at least 1, but got {most}")
    useful = [call for call in calls if not call.minor]
    if not useful:
        raise ValueError("This network has no feature maps: nowhere between its layers is there an image any more")
    if len(useful) > most:
        passed_on = [call for place, call in enumerate(useful) if not (call.convolves and place)]
        useful = passed_on if len(passed_on) >= most else useful
    places = np.linspace(0, len(useful) - 1, min(most, len(useful))).round().astype(int)
    return [useful[place] for place in places]


@torch.no_grad()
def feature_maps(model: nn.Module, images: Tensor, calls: Sequence[Call]) -> list[Tensor]:
    """The outputs (K, h, w) of those calls, float32, for images (1, C, H, W)."""
    found: dict[tuple[str, int], Tensor] = {}
    wanted = {(call.name, call.number) for call in calls}

    def seen(use: Use) -> None:
        if (use.name, use.number) in wanted:
            found[use.name, use.number] = use.output[0].float().clone()  # the next layer may work in place

    with watched(model, seen):
        model(images)
    return [found[call.name, call.number] for call in calls]


def draw_maps(
    run: Path, image: Path, *, layers: int = 8, channels: int = 8, plugins: bool = False
) -> tuple[Image.Image, dict[str, Any]]:
    """A sheet and its facts: at most `layers` layers and `channels` maps of each.

    Raises ValueError: see `readable` and `open_subject`, or `channels` below 1.
    """
    if channels < 1:
        raise ValueError(f"--channels: Expected at least 1, but got {channels}")
    subject = open_subject(run, image, plugins=plugins)
    model = subject.task.predictor()
    calls = readable(trace(model, subject.images), layers)
    height, width = subject.images.shape[2:]
    seen = below(scaled(subject.pixels, 2 * _SIDE), written([f"{width} x {height} pixels, as the model gets it"], 280))
    rows, facts = [seen], []
    wide = min(channels, 10) * (_SIDE + 8) + 8  # what `sheet` needs for so many in a row
    for place, (call, maps) in enumerate(zip(calls, feature_maps(model, subject.images, calls), strict=True), start=1):
        shown = strongest(maps.std(dim=(1, 2), correction=0), channels)
        heading = f"{place}. {call.label}, {call.kind}: {call.shape[0]} maps of {call.shape[2]} x {call.shape[1]}"
        rows.append(sheet([_tile(index, maps[index]) for index in shown], title=heading, width=wide))
        facts.append(
            {
                "layer": call.label,
                "kind": call.kind,
                "shape": list(call.shape),
                "shown": shown,
                "lowest": float(maps.min()),
                "highest": float(maps.max()),
            }
        )
    page = below(*rows)
    title = f"{image.name} in {subject.name}, layer by layer"
    return sheet([page], title=title, width=page.width, foot=written([RULE], page.width)), {
        "run": str(run),
        "image": str(image),
        "layers": facts,
    }


def _tile(index: int, values: Tensor) -> Image.Image:
    low, high = float(values.min()), float(values.max())
    picture = scaled(between(values.numpy(), low, high), _SIDE)
    return below(picture, written([f"{index}: {low:.2g} to {high:.2g}"], _SIDE, 11))

"""Where a classifier looked: Grad-CAM.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017
(arXiv:1610.02391). For a network of convolution, global average and linear layer it is, up to a factor, the class
activation map of Zhou et al., CVPR 2016. A few hooks, since captum would bring matplotlib along: its LayerGradCam 0.9
gave the same bits for 18 of 19 architectures from lenet to maxvit_t. In torchvision's DenseNets a ReLU works in place
on the last layer's output: there A is what that ReLU leaves, in captum what it finds.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cvbench.data.drawing import below, scaled, sheet, written
from cvbench.data.shading import heat, overlaid
from cvbench.inspection.layers import Call, Use, open_subject, trace, watched

_SIDE = 420  # pixels of a picture


def last_maps(model: nn.Module, images: Tensor) -> Call:
    """The last maps that `model` makes of the image before it pools them or flattens them.

    Raises ValueError for a network without a convolution, and for one that goes on with tokens (a transformer).
    """
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        raise ValueError(
            "Grad-CAM weighs the maps of the last convolution, but this network has no convolution; "
            "`cvbench inspect filters` shows what its first layer looks for"
        )
    tokens: list[str] = []

    def seen(use: Use) -> None:
        if isinstance(use.output, Tensor) and use.output.ndim == 3 and use.output.shape[1] > 1:
            tokens.append(use.name)

    with watched(model, seen):
        calls = trace(model, images)
    if tokens and sum(call.convolves for call in calls) <= 1:
        raise ValueError(
            "Grad-CAM weighs the maps of the last convolution, but the only one of this network cuts the image into "
            f"tokens, with which it goes on ({tokens[0]}): choose a convolutional network"
        )
    maps = [call for call in calls if not call.pools]
    if not maps:
        raise ValueError(
            "Grad-CAM weighs the maps of the last convolution, but those of this network are single pixels"
        )
    return maps[-1]


def grad_cam(model: nn.Module, images: Tensor, label: int, at: Call) -> tuple[Tensor, Tensor]:
    """(map, logits): relu(sum over k of alpha_k A_k), float32 (h, w), and logits (classes,), for images (1, C, H, W).

    A_k are the maps of layer `at`, alpha_k the mean over the map of the gradient of logit `label` by A_k.
    """
    found: list[Tensor] = []

    def seen(use: Use) -> None:
        if (use.name, use.number) == (at.name, at.number):
            found.append(use.output)

    with torch.enable_grad(), watched(model, seen):
        logits = model(images.detach().requires_grad_().clone())  # a leaf may not be changed in place
        (maps,) = found
        (gradient,) = torch.autograd.grad(logits[0, label], maps)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * maps).sum(dim=1).relu()[0].detach().float(), logits[0].detach().float()


def draw_gradcam(
    run: Path, image: Path, class_name: str | None = None, *, plugins: bool = False
) -> tuple[Image.Image, dict[str, Any]]:
    """A sheet and its facts, for the class of that name, or the one of highest probability.

    Raises ValueError: a run of another task, a class that there is not, a network without maps, see `last_maps`.
    """
    subject = open_subject(run, image, plugins=plugins)
    info, model = subject.task.info, subject.task.model
    if info.task != "classification":
        raise ValueError(
            f"{run}: Expected a run of classification, since Grad-CAM asks what speaks for one class of the whole "
            f"image, but got one of {info.task}; `cvbench inspect filters` and `maps` work for any task"
        )
    at = last_maps(model, subject.images)
    if class_name is None:
        with torch.inference_mode():
            label = int(model(subject.images)[0].argmax())
    else:
        label = _label(class_name, info.classes)
    found, logits = grad_cam(model, subject.images, label, at)
    probabilities = logits.softmax(dim=0).tolist()
    best = sorted(range(len(probabilities)), key=lambda index: -probabilities[index])[:5]
    facts = {
        "run": str(run),
        "image": str(image),
        "class": info.classes[label],
        "probability": probabilities[label],
        "top": [{"label": info.classes[index], "probability": probabilities[index]} for index in best],
        "layer": at.label,
        "shape": list(at.shape),
        "highest": float(found.max()),
    }
    return _sheet(subject.name, image.name, subject.pixels, found.numpy(), facts), facts


def _label(name: str, classes: tuple[str, ...]) -> int:
    if name in classes:
        return classes.index(name)
    near = difflib.get_close_matches(name, classes, n=1) or classes[:1]
    raise ValueError(f"--class: Expected one of the run's {len(classes)} classes, but got {name!r}; {near[0]!r} is one")


def _sheet(
    run: str, name: str, pixels: NDArray[np.uint8], found: NDArray[np.float32], facts: dict[str, Any]
) -> Image.Image:
    height, width = pixels.shape[:2]
    picture = scaled(pixels, _SIDE)
    most = float(found.max())
    # Bilinear, as in the paper: the map has few pixels.
    shares = np.asarray(Image.fromarray(found / (most or 1)).resize(picture.size, Image.Resampling.BILINEAR))
    looked = Image.fromarray(overlaid(np.asarray(picture), shares))
    ramp = Image.fromarray(np.repeat(heat(np.linspace(0, 1, 200)[None]), 12, axis=0))
    says = [f"{item['probability']:6.1%}  {item['label']}" for item in facts["top"]]
    maps, rows, columns = facts["shape"]
    text = [
        f"What speaks for {facts['class']!r} ({facts['probability']:.1%})",
        f"{maps} maps of {columns} x {rows} of {facts['layer']}, each weighed by the mean gradient of the class's "
        "logit, added up; what speaks against it is cut off.",
        "nothing to most:" if most else "Nothing speaks for it: the sum is nowhere above 0.",
    ]
    seen = below(picture, written([f"{width} x {height} pixels, as the model gets it. It says:", *says], picture.width))
    tiles = [seen, below(looked, written(text, max(240, looked.width)), ramp)]
    return sheet(tiles, title=f"Where {run} looked in {name} (Grad-CAM)")

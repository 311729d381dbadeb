"""Detectors of torchvision by name: `torchvision/fasterrcnn_resnet50_fpn`, `torchvision/ssd300_vgg16`.

Source: https://docs.pytorch.org/vision/stable/models.html#object-detection

torchvision's Faster R-CNN, RetinaNet, FCOS, SSD and SSDLite with the dataset's classes, at the recipe's input size (its
own resizing is off). Nothing is downloaded, backbones neither, unless weights are named; then the model normalises with
their mean and std, and their first layers are frozen as torchvision has it. Mask and Keypoint R-CNN learn from masks
and keypoints, which a detection dataset does not have: they are left out.

Published weights know COCO's 80 classes among 91 outputs, by COCO's own category ids. Where all classes of the dataset
are among them by name, what they say of these is kept; a softmax is then over these and background alone, not over the
rest too. Else the classes' layers start afresh.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from cvbench.data.base import DatasetInfo
from cvbench.models import zoo
from cvbench.models.detection.detector import NormalisedDetector

VERSION = 1


class Family(NamedTuple):
    """kind: the class of a detector in torchvision.models.detection. head: its part that has the layers of the classes.
    first_label: what it calls the first class, 1 where 0 is background.
    """

    kind: str
    head: str
    first_label: Literal[0, 1]


FAMILIES = {
    "fasterrcnn": Family("faster_rcnn.FasterRCNN", "roi_heads.box_predictor", 1),
    "retinanet": Family("retinanet.RetinaNet", "head.classification_head", 0),
    "fcos": Family("fcos.FCOS", "head.classification_head", 0),
    "ssd300": Family("ssd.SSD", "head.classification_head", 1),
    "ssdlite320": Family("ssd.SSD", "head.classification_head", 1),
}
# The last layers of these heads. `bbox_pred` has 4 outputs a class, one class after the other; the others have an
# output a class, one anchor after the other.
CLASS_TENSOR = re.compile(r"(^|\.)(cls_score|bbox_pred|cls_logits|module_list\.\d+(\.1)?)\.(weight|bias)$")
SIZES = {"ssd300_vgg16": (300, 300), "ssdlite320_mobilenet_v3_large": (320, 320)}
# Options of torchvision's builders that would say nothing here, and what does.
ELSEWHERE = {"min_size": "recipe.input_size", "max_size": "recipe.input_size", "size": "recipe.input_size",
             "image_mean": "mean", "image_std": "std"}  # fmt: skip
NO_OPTIONS = {"weights", "num_classes", "progress", "backbone", "kwargs", *ELSEWHERE}


def build(
    info: DatasetInfo,
    name: str,
    weights: str | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options: Any,
) -> nn.Module:
    """The detector `name` ("torchvision/NAME") for the dataset, with torchvision's contract.

    weights: None (random), or published weights of the whole model (COCO_V1). mean, std: what the network expects,
    where that is neither its weights' nor the dataset's. options: go to torchvision's own builder;
    `weights_backbone: IMAGENET1K_V1` asks for a pretrained backbone, `trainable_backbone_layers` for how much of it is
    trained.
    Raises ValueError: unknown name, weights or option, or an input size that SSD cannot take.
    """
    library, _, model_name = name.partition("/")
    if library != "torchvision" or not model_name:
        raise ValueError(f"Expected a detector torchvision/NAME, but got {name!r}")
    zoo.known_torchvision("detection", model_name)
    kind, path, first_label = FAMILIES[model_name.partition("_")[0]]
    _check(info, model_name, kind, options)
    published = zoo.torchvision_weights(model_name, weights)
    backbone_name = _backbone(model_name)
    backbone = zoo.torchvision_weights(backbone_name, options.pop("weights_backbone", None))
    construct = partial(_construct, model_name, options)
    outputs = info.num_classes + first_label
    replaced: tuple[str, ...] = ()
    if published is None:
        network = construct(outputs, None, backbone)
        if backbone is not None:
            own_mean, own_std = zoo.statistics(backbone_name, backbone)
    else:
        categories = published.meta["categories"]
        network = construct(len(categories), published, None)
        own_mean, own_std = network.transform.image_mean, network.transform.image_std
        head = construct(outputs, None, None).get_submodule(path)
        replaced = _adopt(head, network.get_submodule(path), _rows(info, categories, first_label))
        parent, _, leaf = path.rpartition(".")
        setattr(network.get_submodule(parent), leaf, head)
    if published or backbone:
        mean, std = mean or own_mean, std or own_std
    _same_epsilon(network)
    divisor = 1 if model_name in SIZES else 32
    model = NormalisedDetector(network, info, mean, std, 3, first_label=first_label, divisor=divisor)
    model.reinitialised = tuple(f"{path}.{tensor}" for tensor in replaced)
    return model


def _check(info: DatasetInfo, name: str, kind: str, options: dict[str, Any]) -> None:
    from torchvision.models import detection, get_model_builder

    for key in ELSEWHERE.keys() & options.keys():
        raise ValueError(f"torchvision/{name}: the option `{key}` has no effect here; give `{ELSEWHERE[key]}` instead")
    # torchvision passes over options that it does not know.
    signatures = [inspect.signature(of).parameters for of in (get_model_builder(name), attrgetter(kind)(detection))]
    known = {key for parameters in signatures for key in parameters} - NO_OPTIONS
    for key in options.keys() - known:
        raise ValueError(f"torchvision/{name} has no option {key!r}.{zoo.nearest(key, known)}")
    size = SIZES.get(name)
    if size is not None and info.input_size not in (None, size):
        raise ValueError(
            f"Expected recipe.input_size {list(size)} for torchvision/{name}, but got {list(info.input_size or ())}; a "
            f"model's own is given as `recipe: {{input_size: {list(size)}}}` under its name"
        )
    if name.startswith("ssdlite") and options.get("weights_backbone") is not None:
        raise ValueError(
            f"torchvision/{name}: the option `weights_backbone` makes it another architecture (a wider last stage), "
            "which a finished run could not be read into; take `weights: COCO_V1`, or no weights"
        )


def _backbone(name: str) -> str:
    return next(known for known in ("mobilenet_v3_large", "resnet50", "vgg16") if known in name)


def _construct(name: str, options: dict[str, Any], outputs: int, weights: Any, backbone: Any) -> Any:
    from torchvision.models import get_model

    return zoo.construct(
        f"torchvision/{name}",
        partial(get_model, name, weights=weights, weights_backbone=backbone, num_classes=outputs),
        options,
        next((str(w.url) for w in (weights, backbone) if w is not None), ""),
    )


def _rows(info: DatasetInfo, categories: Sequence[str], first_label: int) -> list[int] | None:
    """Which of the published outputs are the dataset's; None where not all of its classes are among them."""
    if not set(info.classes) <= set(categories):
        return None
    background = [0] if first_label else []
    return background + [categories.index(name) for name in info.classes]


def _adopt(head: nn.Module, published: nn.Module, rows: list[int] | None) -> tuple[str, ...]:
    """Copies the tensors of a published head into `head`, of the classes' layers only `rows`; None: not these.

    Returns the names of the tensors that keep their fresh initialisation.
    """
    state, fresh = published.state_dict(), head.state_dict()
    kept = []
    for name, tensor in state.items():
        if not CLASS_TENSOR.search(name):
            continue
        if rows is None:
            state[name] = fresh[name]
            kept.append(name)
        elif "bbox_pred" in name:
            state[name] = tensor.unflatten(0, (-1, 4))[rows].flatten(0, 1)
        else:
            state[name] = tensor.unflatten(0, (len(fresh[name]) // len(rows), -1))[:, rows].flatten(0, 1)
    head.load_state_dict(state)
    return tuple(kept)


def _same_epsilon(network: nn.Module) -> None:
    """Moves a frozen batch norm whose epsilon is 0, as the oldest weights have it, to the usual one; same numbers.

    A finished run is read into the network as it is without published weights, and that has the usual epsilon.
    """
    from torchvision.ops import FrozenBatchNorm2d

    for layer in network.modules():
        if isinstance(layer, FrozenBatchNorm2d) and layer.eps == 0.0:
            layer.eps = nn.BatchNorm2d(1).eps
            with torch.no_grad():
                layer.running_var -= layer.eps

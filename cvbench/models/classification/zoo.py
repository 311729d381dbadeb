"""Classifiers of torchvision and timm by name: `torchvision/resnet18`, `timm/resnet18`.

Source: https://docs.pytorch.org/vision/stable/models.html, https://github.com/huggingface/pytorch-image-models

Every classification model of torchvision, and of timm where the `zoo` extra is installed, with a classifier of the
dataset's classes. Nothing is downloaded unless `weights` names published weights. With these the model normalises with
their mean and std, and where the number of classes is the dataset's own (ImageNet's 1000) their classifier is kept.
GoogLeNet and Inception v3 train with their auxiliary heads, weighted 0.3 and 0.4.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models import zoo
from cvbench.models.fit import check_fit
from cvbench.models.normalise import Normalised, Output
from cvbench.models.outputs import WithAuxiliary

VERSION = 1

# Published weights of the auxiliary losses: Szegedy et al. 2015 (0.3), torchvision's reference training (0.4).
AUXILIARY_WEIGHT = {"googlenet": 0.3, "inception_v3": 0.4}
AUXILIARY_HEADS = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
REMEDY = "Give the recipe a larger `input_size` (most of these models were made for 224), or choose another model."


def build(
    info: DatasetInfo,
    name: str,
    weights: str | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options: Any,
) -> nn.Module:
    """The model `name` ("torchvision/NAME" or "timm/NAME") for the dataset; logits (B, K).

    weights: None (random), or published weights: torchvision's name (IMAGENET1K_V1), timm's tag (a1_in1k), or DEFAULT.
    mean, std: what the network expects, where that is neither its weights' nor the dataset's (a local weight file;
    torchvision's own of googlenet and inception_v3 want 0.5 for both).
    options: go to the library's own builder.
    Raises ValueError: unknown name, weights or option, a missing package, or images too small for the model.
    """
    library, _, model_name = name.partition("/")
    builders = {"torchvision": _torchvision, "timm": _timm}
    if library not in builders or not model_name:
        raise ValueError(f"Expected a classifier torchvision/NAME or timm/NAME, but got {name!r}")
    model = builders[library](info, model_name, weights, mean, std, options)
    check_fit(model, info, name, REMEDY)
    return model


def _torchvision(
    info: DatasetInfo,
    name: str,
    weights: str | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    options: dict[str, Any],
) -> Normalised:
    from torchvision.models import get_model

    zoo.known_torchvision("classification", name)
    published = zoo.torchvision_weights(name, weights)
    options = {**_defaults(name, info, published), **options}
    classes = info.num_classes if published is None else len(published.meta["categories"])
    with warnings.catch_warnings():
        # GoogLeNet's auxiliary heads were not published: they start untrained, as asked for.
        warnings.filterwarnings("ignore", message="auxiliary heads in the pretrained googlenet")
        network = zoo.construct(
            f"torchvision/{name}",
            partial(get_model, name, weights=published, num_classes=classes),
            options,
            "" if published is None else published.url,
        )
    replaced = zoo.replace_heads(network, classes, info.num_classes)
    if published is not None:
        transform_input = bool(options.get("transform_input", False))
        own_mean, own_std = zoo.statistics(name, published, transform_input=transform_input)
        mean, std = mean or own_mean, std or own_std
    adapt = partial(_with_auxiliary, weight=AUXILIARY_WEIGHT[name]) if name in AUXILIARY_WEIGHT else None
    model = Normalised(network, info, mean, std, channels=3, adapt=adapt)
    model.reinitialised = replaced
    model.training_only = AUXILIARY_HEADS.get(name, ())
    return model


def _defaults(name: str, info: DatasetInfo, published: Any) -> dict[str, Any]:
    """Options that the user need not write: auxiliary heads, images normalised by us alone, and the image size where
    the architecture depends on it.
    """
    if name in AUXILIARY_WEIGHT:
        always = {"aux_logits": True, "transform_input": False}
        return always if published is not None else {**always, "init_weights": True}
    if published is None and info.input_size is not None:
        if name.startswith("vit_") and info.input_size[0] == info.input_size[1]:
            return {"image_size": info.input_size[0]}
        if name == "maxvit_t":
            return {"input_size": tuple(info.input_size)}
    return {}


def _with_auxiliary(output: Any, weight: float) -> Output:
    """torchvision's named tuple of logits and auxiliary logits, which it returns in training; plain logits as they
    are.
    """
    if isinstance(output, Tensor):
        return output
    logits, *auxiliary = output
    return WithAuxiliary(logits, tuple(a for a in auxiliary if a is not None), weight)


def _timm(
    info: DatasetInfo,
    name: str,
    weights: str | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    options: dict[str, Any],
) -> Normalised:
    timm = zoo.extra("timm")
    full_name = zoo.timm_name(timm, name, weights)
    channels = info.channels if info.channels not in (1, 3) else 3
    options = {"num_classes": info.num_classes, "in_chans": channels, **options}
    network = zoo.construct(
        f"timm/{name}",
        partial(timm.create_model, full_name, pretrained=weights is not None),
        options,
        "https://huggingface.co/timm",
    )
    model_info: Any = network.pretrained_cfg
    if weights is not None:
        mean, std = mean or model_info["mean"], std or model_info["std"]
    model = Normalised(network, info, mean, std, channels=options["in_chans"])
    if weights is not None and model_info["num_classes"] != info.num_classes:
        heads = model_info["classifier"]
        heads = (heads,) if isinstance(heads, str) else tuple(heads)
        model.reinitialised = tuple(n for n in network.state_dict() if n.startswith(tuple(f"{h}." for h in heads)))
    return model

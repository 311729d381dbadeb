"""What the zoo files of all tasks share: names, pretrained weights, and heads for another number of classes."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from torch import nn

from cvbench.models.torchvision_names import NAMES

T = TypeVar("T")

# Their weights come from TensorFlow and want images in [-1, 1]. torchvision feeds them ImageNet's normalisation and
# undoes it inside, but only where it is given published weights, so that the same network without them (a finished run
# that is read again) would see other images. Hence never inside here: `Normalised` gets the right mean and std.
TRANSFORMS_INPUT = ("googlenet", "inception_v3")


def nearest(name: str, names: Collection[str]) -> str:
    """ " Did you mean a, b or c?", or an empty string where nothing is near."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def extra(package: str) -> Any:
    """Imports an optional package; raises ValueError that says which extra of cvbench installs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ValueError(
            f'Models of {package} need a package that is not installed ({error}): pip install "cvbench[zoo]"'
        ) from None


def known_torchvision(task: str, name: str) -> str:
    """`name` if torchvision has such a model for `task`; else raises ValueError with the nearest names."""
    if name not in NAMES[task]:
        raise ValueError(f"torchvision has no {task} model {name!r}.{nearest(name, NAMES[task])}")
    return name


def torchvision_weights(name: str, weights: str | None) -> Any:
    """The member of torchvision's weights enum of model `name`, such as IMAGENET1K_V1; None for None.

    Downloads nothing. Raises ValueError that lists the model's weights.
    """
    if weights is None:
        return None
    from torchvision.models import get_model_weights

    known = get_model_weights(name)
    if weights not in known.__members__:
        choices = ", ".join(known.__members__) or "none"
        raise ValueError(f"torchvision/{name} has no weights {weights!r}. Published weights: {choices}.")
    return known[weights]


def timm_name(timm: Any, name: str, weights: str | None) -> str:
    """What timm calls its model `name` with the published weights of tag `weights` (a1_in1k), None or DEFAULT.

    Downloads nothing. Raises ValueError for an unknown name or tag, with the nearest names or all tags.
    """
    if not timm.is_model(name):
        raise ValueError(f"timm has no model {name!r}.{nearest(name, timm.list_models())}")
    if weights in (None, "DEFAULT"):
        return name
    full_name = f"{name}.{weights}"
    if full_name not in (known := timm.list_pretrained(f"{name}.*")):
        tags = ", ".join(model.partition(".")[2] for model in known) or "none"
        raise ValueError(f"timm/{name} has no weights {weights!r}. Published weights: {tags}.")
    return full_name


def statistics(
    name: str, weights: Any, *, transform_input: bool = False
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """mean and std that the weights of torchvision's model `name` expect, of images in [0, 1].

    transform_input: whether the network itself turns ImageNet's statistics into its own, see `TRANSFORMS_INPUT`.
    """
    if name in TRANSFORMS_INPUT and not transform_input:
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    transforms = weights.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def construct(name: str, builder: Callable[..., T], options: Mapping[str, Any], source: str = "") -> T:
    """`builder(**options)`, with the user's mistakes and failed downloads as ValueError naming the model.

    source: where its weights come from, for the message.
    """
    try:
        return builder(**options)
    except OSError as error:  # urllib's and huggingface_hub's errors are OSErrors
        raise ValueError(
            f"{name}: its weights could not be downloaded ({error}). Fetch them elsewhere"
            f"{f' from {source}' if source else ''} and give the file's path as `weights`."
        ) from error
    except (TypeError, ValueError, KeyError, AssertionError, RuntimeError) as error:
        raise ValueError(f"{name} cannot be built with options {dict(options)}: {error}") from error


def replace_heads(network: nn.Module, old: int, new: int) -> tuple[str, ...]:
    """Replaces every linear layer and convolution with `old` outputs by a fresh one with `new`, in place.

    Returns the names of the new tensors; none where the number of classes stays.
    """
    if old == new:
        return ()
    replaced = []
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Linear) and module.out_features == old:
            head: nn.Module = nn.Linear(module.in_features, new, bias=module.bias is not None)
        elif isinstance(module, nn.Conv2d) and module.out_channels == old:
            head = nn.Conv2d(module.in_channels, new, module.kernel_size, module.stride, bias=module.bias is not None)  # type: ignore[arg-type]
        else:
            continue
        parent, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(parent), leaf, head)
        replaced += [f"{name}.{tensor}" for tensor, _ in head.named_parameters()]
    if not replaced:
        raise ValueError(f"{type(network).__name__} has no layer of {old} classes to replace by one of {new}")
    return tuple(replaced)

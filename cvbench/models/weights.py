"""Weights from a local file into a model: safely, and only where they fit."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cvbench.models.normalise import Normalised

# The keys under which training scripts keep the weights in a checkpoint, and the prefixes that their wrappers leave.
CONTAINERS = ("state_dict", "model_state_dict", "model_state", "model")
PREFIXES = ("model.", "module.", "network.", "_orig_mod.")
# Batch norm counts its batches under this name, only since PyTorch 0.4.1; nothing but its own averaging reads it.
COUNT = "num_batches_tracked"
MOST_HEAD_LAYERS = 3  # layers with weights that a classifier has behind its last feature map: VGG's


def load_weights(model: nn.Module, path: str | Path, *, strict: bool) -> list[str]:
    """Loads `path` into `model` in place and returns the names of the tensors that keep their fresh initialisation.

    path: `.safetensors`, or what `torch.save` wrote: a state dict, one inside {"state_dict": …} or {"model": …}, or a
    Lightning checkpoint. Prefixes of wrappers are removed. A pickle may hold tensors and plain containers only.

    strict: every tensor has to be there and fit (evaluation). Otherwise (training) the tensors of the classifier may
    have another number of classes; these are the ones returned. Nothing else may differ.

    Raises ValueError that names the file when it is missing, unreadable, unsafe, of another architecture, or refused by
    the model itself: its `refuses(state)`, where it has that, says why (a captioner's weights with other words).
    """
    path = Path(path)
    state = best_match(read_tensors(path), model)
    refuses: Callable[[Mapping[str, Tensor]], str | None] | None = getattr(model, "refuses", None)
    if refuses is not None and (reason := refuses(state)) is not None:
        raise ValueError(f"{path}: {reason}")
    expected = model.state_dict()
    missing = [name for name in expected if name not in state and not _optional(name, model)]
    unexpected = [name for name in state if name not in expected]
    mismatched = [name for name in expected if name in state and state[name].shape != expected[name].shape]
    if not missing and not unexpected and mismatched and _only_class_count(mismatched, state, expected):
        if strict:
            raise ValueError(
                f"{path}: the weights are for another number of classes: {_shapes(mismatched, state, expected)}. "
                "Evaluate them on the dataset they were trained for, or train (`mode: train`) a new classifier on them."
            )
    elif missing or unexpected or mismatched:
        raise ValueError(_another_architecture(path, model, missing, unexpected, mismatched, state, expected))
    model.load_state_dict({k: v for k, v in state.items() if k not in mismatched}, strict=False)
    return mismatched


def load_backbone(model: nn.Module, path: str | Path) -> None:
    """Loads `path` into the backbone of `model` in place, see `backbone_of`; the rest of the model stays as it is.

    Where the file has all of the backbone's tensors under their names, these are taken. Else, where its tensors are in
    order those of the backbone (each of the same shape and kind: weight, bias, running_mean, running_var), they are
    paired in order: the same network, written with other names. What the file has beyond them, its classifier, is left
    out; in a file that is paired in order that may be at most three layers. Counts of batches are left out too.

    Raises ValueError that names the file when it is missing, unreadable, unsafe or of another network, or when the
    model has no backbone.
    """
    path = Path(path)
    backbone = backbone_of(model)
    if backbone is None:
        raise ValueError(
            f"{path}: {_name(model)} has no backbone to load weights into; remove `backbone_weights`, or give those of "
            "the whole model as `weights`"
        )
    tensors = {name: tensor for name, tensor in read_tensors(path).items() if not name.endswith(COUNT)}
    expected = {name: tensor for name, tensor in backbone.state_dict().items() if not name.endswith(COUNT)}
    state = best_match(tensors, backbone)
    if any(name not in state or state[name].shape != tensor.shape for name, tensor in expected.items()):
        difference = _first_difference(tensors, expected)
        if difference is not None:
            raise ValueError(
                f"{path}: weights of another network: they fit the backbone {_name(backbone)} neither by name nor in "
                f"order: {difference}. Choose the backbone that they were trained for, or other weights."
            )
        state = dict(zip(expected, tensors.values(), strict=False))
    backbone.load_state_dict({name: state[name] for name in expected}, strict=False)


def backbone_of(model: nn.Module) -> nn.Module | None:
    """The part of a model that a pretrained classifier can stand for; None where it has none.

    It is the attribute `backbone` or `encoder` of the model or of its `network`, and of that its `body`, where it has
    one beneath a feature pyramid.
    """
    for holder in (model, getattr(model, "network", None)):
        for name in ("backbone", "encoder"):
            found = getattr(holder, name, None)
            if isinstance(found, nn.Module):
                body = getattr(found, "body", None)
                return body if isinstance(body, nn.Module) else found
    return None


def _first_difference(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """Why the tensors of a file, in order, are not those of a backbone with a classifier behind them; None if so."""
    for (name, tensor), (wanted, own) in zip(tensors.items(), expected.items(), strict=False):
        if tensor.shape != own.shape or name.rpartition(".")[2] != wanted.rpartition(".")[2]:
            return f"{name} {tuple(tensor.shape)} in the file, where {wanted} {tuple(own.shape)} is in the backbone"
    if len(tensors) < len(expected):
        return f"{len(tensors)} tensors in the file, {len(expected)} in the backbone"
    beyond = [name for name, tensor in list(tensors.items())[len(expected) :] if tensor.ndim > 1]
    return f"the file goes on with {_first(beyond)}" if len(beyond) > MOST_HEAD_LAYERS else None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file by name, on the CPU; nothing in the file is executed. Raises ValueError naming
    it.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such weight file. Give the path of a .safetensors, .pth, .pt or .ckpt file.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a pickle of an unusual protocol either loads or is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: refused, nothing was executed: the file is no valid weight file, or its pickle holds more than "
            f"tensors and plain containers ({_first_line(error)}). Ask its author for a .safetensors file, or for "
            "`torch.save(model.state_dict(), …)`."
        ) from None
    except ImportError:
        raise ValueError(f"{path}: reading .safetensors needs a package: pip install safetensors") from None
    except Exception as error:  # whatever a truncated or foreign file makes the readers raise
        raise ValueError(
            f"{path}: cannot be read as weights ({type(error).__name__}: {_first_line(error)}). Is the file complete?"
        ) from error
    return _unwrap(content, path)


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        inner = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise ValueError(
            f"{path}: holds no weights: expected a mapping of names to tensors (or one under {', '.join(CONTAINERS)}), "
            f"but got {type(content).__name__}"
        )
    return tensors


def best_match(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """`tensors` without the prefixes of wrappers: the reading of their names that has most in common with the
    model's.
    """
    expected = model.state_dict().keys()
    # Among equals the earliest, which removed least, wins.
    return max(_readings(dict(tensors), model), key=lambda reading: len(expected & reading.keys()))


def _readings(tensors: dict[str, Tensor], model: nn.Module, depth: int = 4) -> Iterator[dict[str, Tensor]]:
    yield tensors
    if isinstance(model, Normalised):
        yield {f"network.{name}": tensor for name, tensor in tensors.items()}
    for prefix in PREFIXES if depth else ():
        # Tensors without the prefix go: a Lightning checkpoint also keeps its loss's and its metrics' state.
        inner = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        if inner:
            yield from _readings(inner, model, depth - 1)


def _optional(name: str, model: nn.Module) -> bool:
    # mean and std: only our checkpoints have them.
    return name.endswith(COUNT) or (isinstance(model, Normalised) and name in ("mean", "std"))


def _only_class_count(names: list[str], state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether the tensors differ only in how many classes they have: in the first axis, all in the same ratio.

    A ratio: a detector has some outputs once a class, others once for each anchor or side of a box.
    """
    first, model = state[names[0]].shape[:1].numel(), expected[names[0]].shape[:1].numel()
    return all(
        state[name].ndim == expected[name].ndim > 0
        and state[name].shape[1:] == expected[name].shape[1:]
        and len(state[name]) * model == len(expected[name]) * first
        for name in names
    )


def _another_architecture(
    path: Path,
    model: nn.Module,
    missing: list[str],
    unexpected: list[str],
    mismatched: list[str],
    state: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
) -> str:
    parts = [
        f"missing {_first(missing)}" if missing else "",
        f"unexpected {_first(unexpected)}" if unexpected else "",
        f"of another shape: {_shapes(mismatched, state, expected)}" if mismatched else "",
    ]
    return (
        f"{path}: weights of another architecture: they do not fit {_name(model)}: {'; '.join(filter(None, parts))}. "
        "Give the model's name and options as they were when the weights were trained, or other weights."
    )


def _name(model: nn.Module) -> str:
    return type(model.network if isinstance(model, Normalised) else model).__name__


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _shapes(names: list[str], state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    return _first([f"{n} {tuple(state[n].shape)} in the file, {tuple(expected[n].shape)} in the model" for n in names])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]

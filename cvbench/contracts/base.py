"""`Contract`: what a model must give, asked of what it gave. A task adds how its models are called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from cvbench.data.base import DatasetInfo
from cvbench.tasks.base import Task


class BrokenContractError(ValueError):
    """A model gave what it must not: "Expected X, but got Y"."""


class Contract(ABC):
    """The models of one task. Never holds a state; a task's file makes one, `CONTRACT`.

    size, count, batch_size: (H, W), classes (captioning: words) and images at once that costs are compared at.
    """

    size: ClassVar[tuple[int, int]] = (224, 224)
    count: ClassVar[int] = 1000
    batch_size: ClassVar[int] = 32

    def info(self, task: str, size: tuple[int, int], count: int) -> DatasetInfo:
        """A dataset that nobody has, for models to be built for: images of `size` (H, W), `count` classes."""
        return DatasetInfo(
            name="made up",
            task=task,
            protocol={},
            revision="0" * 12,
            licence="",
            redistributable=True,
            split_sizes={},
            input_size=size,
            classes=tuple(f"class {index}" for index in range(count)),
        )

    def train(self, model: nn.Module, images: Tensor, targets: Any) -> Any:
        """What `model` returns of float images (B, C, H, W) in [0, 1] in training."""
        return model(images)

    @abstractmethod
    def check_training(self, output: Any, images: Tensor, targets: Any, info: DatasetInfo) -> None:
        """Raises BrokenContractError unless `train` may return this."""

    @abstractmethod
    def check_prediction(self, output: Any, images: Tensor, info: DatasetInfo) -> None:
        """Raises BrokenContractError unless the model may say this of images in eval mode."""

    def first(self, output: Any) -> Tensor | None:
        """What a prediction says of the first image; None where a rounding may turn it into something else."""
        return None

    def more(self, task: Task, batch: Any) -> Mapping[str, Callable[[], None]]:
        """Checks of this task's own, by name: each raises what is wrong. task: in eval mode."""
        return {}


def require(value: Any, name: str, shape: tuple[int | None, ...], *, dtype: torch.dtype | None = None) -> Tensor:
    """`value` as a tensor of that shape (None: any size) and type (None: any floating point).

    Raises BrokenContractError.
    """
    wanted = f"{name} to be a tensor ({', '.join('any' if size is None else str(size) for size in shape)})"
    if not isinstance(value, Tensor):
        raise BrokenContractError(f"Expected {wanted}, but got {type(value).__name__}")
    same = len(value.shape) == len(shape) and all(
        size in (None, has) for size, has in zip(shape, value.shape, strict=True)
    )
    if not same:
        raise BrokenContractError(f"Expected {wanted}, but got {tuple(value.shape)}")
    if not (value.is_floating_point() if dtype is None else value.dtype == dtype):
        raise BrokenContractError(f"Expected {name} of type {dtype or 'float32'}, but got {value.dtype}")
    return value


def require_finite(output: Any, name: str) -> None:
    """Raises BrokenContractError where some number in nested tensors is NaN or infinite."""
    for tensor in tensors(output):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            wrong = int((~torch.isfinite(tensor)).sum())
            raise BrokenContractError(f"Expected finite {name}, but {wrong} of {tensor.numel()} are NaN or infinite")


def tensors(output: Any) -> list[Tensor]:
    """The tensors in tuples, lists and dicts, in order."""
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]


def same(one: Any, other: Any) -> bool:
    """Whether two outputs are equal to the bit."""
    left, right = tensors(one), tensors(other)
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))

"""What passes between a network's layers: every output that is a stack of maps, in the order of computation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cvbench.data.files import read_image
from cvbench.pictures import as_input
from cvbench.tasks.base import Task
from cvbench.trained import load_task


class Call(NamedTuple):
    """One time that one layer was used. number: 1 for its first use. shape: (maps, height, width) of its output."""

    name: str
    number: int
    module: nn.Module
    shape: tuple[int, int, int]

    @property
    def kind(self) -> str:
        return type(self.module).__name__

    @property
    def convolves(self) -> bool:
        return isinstance(self.module, nn.Conv2d | nn.ConvTranspose2d)

    # These two go by the class's name, because libraries have such classes of their own.
    @property
    def pools(self) -> bool:
        return "Pool" in self.kind

    @property
    def minor(self) -> bool:
        """Whether it normalises, or does nothing when a model is tested: its maps look like those before it."""
        normalises = "Norm" in self.kind and next(self.module.children(), None) is None
        return normalises or "Drop" in self.kind or self.kind in ("Identity", "StochasticDepth")

    @property
    def label(self) -> str:
        return f"{self.name} (use {self.number})" if self.number > 1 else self.name


class Use(NamedTuple):
    """One use of a module while the model ran. given: its positional arguments."""

    name: str
    number: int
    module: nn.Module
    given: tuple[Any, ...]
    output: Any


@contextmanager
def watched(model: nn.Module, seen: Callable[[Use], None]) -> Iterator[None]:
    """Calls `seen` after each use of each module inside `model`."""
    uses: Counter[str] = Counter()

    def hook(name: str) -> Callable[..., None]:
        def used(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            uses[name] += 1
            seen(Use(name, uses[name], module, given, output))

        return used

    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def trace(model: nn.Module, images: Tensor) -> list[Call]:
    """Every output of a module that is a stack of maps of the image, in the order in which they were computed.

    images: (1, C, H, W). Maps are (1, K, h, w) of more than one pixel and of about the shape of the first convolution's
    (detectors stretch images): that leaves out channels-last tensors inside transformers. What only hands on the output
    before it (a block that of its last layer, dropout when tested) is left out too.
    """
    calls: list[Call] = []
    height, width = images.shape[-2:]
    convolved = False
    last: tuple[Any, int] = (None, 0)

    def seen(use: Use) -> None:
        nonlocal convolved, height, last, width
        if not isinstance(use.output, Tensor):
            return
        # The version counts what was done to a tensor in place.
        handed_on = use.output is last[0] and use.output._version == last[1]
        last = use.output, use.output._version
        if use.output.ndim == 4 and not handed_on:
            batch, maps, h, w = use.output.shape
            if not convolved and isinstance(use.module, nn.Conv2d):
                convolved, height, width = True, h, w
            shaped = abs(h / height - w / width) <= 2 / height + 2 / width  # two pixels, for borders and rounding
            if batch == 1 and h * w > 1 and shaped:
                calls.append(Call(use.name, use.number, use.module, (maps, h, w)))

    with watched(model, seen):
        model(images)
    return calls


class Subject(NamedTuple):
    """A finished run and an image for it. name: of the run. images: (1, C, h, w), what its model gets of the image."""

    task: Task
    name: str
    images: Tensor

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The image as the model sees it, uint8 (h, w, 3)."""
        pixels = self.images[0].mul(255).round().byte().permute(1, 2, 0).numpy()
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def open_subject(run: Path, image: Path, *, plugins: bool = False) -> Subject:
    """Raises as `load_task`, also for `plugins`, and DataError where the image cannot be read."""
    task, record = load_task(run, plugins=plugins)
    assert record.execution is not None, "load_task gives runs only"
    torch.set_num_threads(record.execution.threads)
    pixels = read_image(image, mode="L" if task.info.channels == 1 else "RGB")
    return Subject(task, record.spec.name, task.laid_out(as_input(task, pixels)))


def strongest(strengths: Tensor, most: int) -> list[int]:
    """The places of the `most` largest of (N,), in rising order."""
    return sorted(strengths.topk(min(most, len(strengths))).indices.tolist())

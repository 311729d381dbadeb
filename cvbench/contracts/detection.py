"""Detectors, as torchvision has them: losses in training, boxes with labels 1..C and scores in eval mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cvbench.contracts.base import BrokenContractError, Contract, require, require_finite
from cvbench.data.base import DatasetInfo
from cvbench.tasks.base import Task
from cvbench.tasks.detection import checked


class DetectionContract(Contract):
    """Boxes are left, top, right, bottom in pixels of the input; label 0 is background."""

    size = (640, 640)
    count = 80
    batch_size = 4

    def train(self, model: nn.Module, images: Tensor, targets: Any) -> Any:
        return model(images, targets)

    def check_training(self, output: Any, images: Tensor, targets: Any, info: DatasetInfo) -> None:
        if not isinstance(output, dict) or not output:
            raise BrokenContractError(f"Expected a dict of losses in training mode, but got {_told(output)}")
        for name, loss in output.items():
            require(loss, f"the loss {name!r}", ())

    def check_prediction(self, output: Any, images: Tensor, info: DatasetInfo) -> None:
        if not isinstance(output, list | tuple) or len(output) != len(images):
            raise BrokenContractError(f"Expected a list of {len(images)} dicts in eval mode, but got {_told(output)}")
        for found in output:
            if not isinstance(found, dict) or not {"boxes", "labels", "scores"} <= found.keys():
                raise BrokenContractError(f"Expected a dict of boxes, labels and scores, but got {_told(found)}")
            count = len(found["scores"])
            require(found["boxes"], "boxes", (count, 4))
            require(found["labels"], "labels", (count,), dtype=torch.int64)
            require(found["scores"], "scores", (count,))
            checked(found, info.num_classes)

    def more(self, task: Task, batch: Any) -> Mapping[str, Callable[[], None]]:
        def images_without_boxes() -> None:
            images, targets = batch.images, task.model_targets(batch)
            empty = [{name: value[:0] for name, value in target.items()} for target in targets]
            losses = self.train(task.model.train(), task.laid_out(images), empty)
            self.check_training(losses, images, empty, task.info)
            require_finite(losses, "losses of images without boxes")
            torch.stack([loss.float() for loss in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]

        return {"images without boxes": images_without_boxes}


def _told(value: Any) -> str:
    """A kind of thing in a few words: `dict with a, b`, `list of 3`."""
    if isinstance(value, dict):
        return f"dict with {', '.join(map(str, value)) or 'nothing'}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, list | tuple) else type(value).__name__


CONTRACT = DetectionContract()

"""What a model learns once after gradient descent: its `finalise`, given the training split."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cvbench.callbacks import derived_seed
from cvbench.devices import Accelerator
from cvbench.loading.datamodule import DataModule
from cvbench.tasks.base import Task


@dataclass(frozen=True)
class TrainingSplit:
    """(images, targets) of the training split, not augmented, as often as it is iterated."""

    task: Task
    data: DataModule
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        for batch in self.data.batches("train", self.device):
            yield batch.images, self.task.model_targets(batch)


def finalise(task: Task, data: DataModule, accelerator: Accelerator, seed: int) -> float:
    """Lets the selected model fit what gradient descent does not; the seconds it took. Its model has that hook.

    Of several processes each fits the whole, from the same samples and random numbers, and gets the same.
    """
    fit: Callable[[TrainingSplit, torch.Generator], None] = task.model.finalise  # type: ignore[assignment]
    began = time.perf_counter()
    device = torch.device(accelerator)
    seed_everything(derived_seed(seed, "finalise"))
    task.to(device).eval()
    fit(TrainingSplit(task, data, device), torch.Generator().manual_seed(derived_seed(seed, "finalise")))
    return time.perf_counter() - began


def seed_everything(seed: int) -> None:
    """Python's, numpy's and torch's generators; Lightning's own version also writes environment variables and logs."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)

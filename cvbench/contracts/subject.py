"""A model under its task on a few generated scenes: what is tried, in this process and in others."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cvbench.callbacks import derived_seed
from cvbench.contracts.base import Contract
from cvbench.data.base import Dataset, DatasetInfo
from cvbench.data_here import load_dataset
from cvbench.finalising import seed_everything
from cvbench.harness import build_model, task_class
from cvbench.loading.datamodule import DataModule
from cvbench.machine import Machine
from cvbench.spec import DatasetRef, ModelRef, Recipe
from cvbench.tasks.base import Task

SCENES = 4
SEED = 0


def contract_of(task: str) -> Contract:
    """The contract of a task's models, from its file here."""
    return import_module(f"cvbench.contracts.{task}").CONTRACT  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Subject:
    """`model` for `task` and images of `size` (H, W), on four scenes of `streets`."""

    model: ModelRef
    task: str
    size: tuple[int, int]

    @property
    def contract(self) -> Contract:
        return contract_of(self.task)

    @cached_property
    def dataset(self) -> Dataset:
        height, width = self.size
        options = {"height": height, "width": width, "train": SCENES, "val": 0, "test": SCENES}
        return load_dataset(self.task, DatasetRef(name="streets", options=options), Path())

    @property
    def info(self) -> DatasetInfo:
        return self.dataset.info.at(self.size)

    @property
    def recipe(self) -> Recipe:
        return Recipe(batch_size=SCENES, input_size=self.size, steps=2)

    @cached_property
    def data(self) -> DataModule:
        """Uncached: nothing is written."""
        machine = Machine(accelerator="cpu", cache_limit_bytes=0)
        ref = DatasetRef(name="streets", options={})
        targets = task_class(self.task).targets
        return DataModule(self.dataset, self.recipe, machine, targets=targets, ref=ref, seed=SEED, batch_size=SCENES)

    @cached_property
    def batch(self) -> Any:
        """All scenes as a training step gets them, images float in [0, 1]."""
        (batch,) = self.data.batches("train", torch.device("cpu"))
        return batch

    def build(self, seed: int = SEED) -> Task:
        """The task with a model built afresh from that seed, on the CPU, in training mode."""
        seed_everything(derived_seed(seed, "initialise"))
        model, _ = build_model(self.model, self.info, self.task, strict_weights=False)
        use_cache = getattr(model, "use_cache", None)
        if use_cache is not None:
            use_cache(None)
        task = task_class(self.task)(model, self.info, self.recipe, total_steps=2)
        task.look_at(self.dataset.splits)
        return task.train()

    def loss(self, task: Task, step: int = 0) -> Tensor:
        """The training loss of the scenes; the same random numbers whenever it is the same step."""
        seed_everything(derived_seed(SEED, "train", step))
        return task.loss(self.batch)

    def predict(self, task: Task, count: int = SCENES) -> Any:
        """What the task says of the first `count` scenes in eval mode."""
        with torch.inference_mode():
            return task.eval()(self.batch.images[:count].clone())

    def resized(self, size: tuple[int, int]) -> Subject:
        """The same for images of another size."""
        return dataclasses.replace(self, size=size)

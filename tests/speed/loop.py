"""The training loop: Lightning as the harness configures it, with checkpoints, against a loop written by hand.

Both train the same network on the same batches (uint8 arrays in memory, the same order, to float by 255, no
augmentation), with AdamW and one-cycle, and after each epoch validate on the same images, compute top-1 and save the
weights if it is the best so far. The loop by hand does nothing else: no seeds per step, no watch for NaN, no evidence,
no calibration error, no progress, no clocks. Setting up (once a run) is left out on both sides.
"""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import nn

from cvbench.callbacks import Progress, StepSeeds, Throughput
from cvbench.data.base import ArraySplit, Dataset, DatasetInfo
from cvbench.loading.datamodule import DataModule
from cvbench.loading.draws import epoch_order
from cvbench.machine import Machine
from cvbench.models.normalise import Normalised
from cvbench.spec import DatasetRef, ModelRef, Recipe, RunSpec
from cvbench.tasks.classification import ClassificationTask
from cvbench.tasks.schedule import build_optimiser, build_schedule
from cvbench.trainer import Length, best_checkpoint, build_trainer
from tests.speed.timing import Row

CLASSES, SIDE, BATCH, VAL, EPOCHS = 10, 32, 128, 128, 2


def measure() -> list[Row]:
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # it tells of each Trainer
    return [
        _compare("training loop, long steps", 160, steps=30, target=0.95, rounds=5),
        _compare("training loop, short steps", 16, steps=60, target=0.70),
    ]


def _compare(name: str, width: int, steps: int, target: float, rounds: int = 9) -> Row:
    """CPU seconds of a step with its share of the epoch's end, the best epoch of each side, in turn."""
    times: list[list[float]] = [[], []]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = _Run(width, steps, Path(folder))
        sides: Sequence[Callable[[], tuple[list[float], nn.Module]]] = (run.ours, run.by_hand)
        trained = [side()[1] for side in sides]  # warms up
        for ours, theirs in zip(*(model.parameters() for model in trained), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        for _ in range(rounds):
            for found, side in zip(times, sides, strict=True):
                marks = side()[0]
                found += [(end - start) / steps for start, end in pairwise(marks)]
    ours_s, reference_s = min(times[0]), min(times[1])
    return Row(f"{name} ({reference_s * 1e3:.1f} ms)", ours_s, reference_s, reference_s / ours_s, target)


def _network(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, width, 4, stride=4),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, CLASSES),
    )


class _Marks(L.Callback):
    """Reads the CPU clock where each epoch begins (the first after everything is set up), and at the end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seconds.append(time.process_time())

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seconds.append(time.process_time())


class _Run:
    def __init__(self, width: int, steps: int, folder: Path) -> None:
        self.width, self.steps, self.folder = width, steps, folder
        drawn = np.random.default_rng(0)
        self.arrays = {
            role: (drawn.integers(256, size=(n, SIDE, SIDE, 3)).astype(np.uint8), drawn.integers(CLASSES, size=n))
            for role, n in {"train": steps * BATCH, "val": VAL}.items()
        }
        splits = {r: ArraySplit([f"{r}/{i}" for i in range(len(y))], x, y) for r, (x, y) in self.arrays.items()}
        self.info = DatasetInfo(
            name="noise",
            task="classification",
            protocol={},
            revision="0",
            classes=tuple(map(str, range(CLASSES))),
            split_sizes={role: len(split) for role, split in splits.items()},
            licence="",
            redistributable=True,
            input_size=(SIDE, SIDE),
        )
        self.dataset = Dataset(self.info, splits)
        self.recipe = Recipe(epochs=EPOCHS, batch_size=BATCH, schedule="one_cycle")
        self.spec = RunSpec(
            task="classification",
            mode="train",
            primary="top1",
            dataset=DatasetRef(name="noise", options={}),
            model=ModelRef(name="noise", options={}),
            recipe=self.recipe,
            seed=0,
            task_version=1,
        )

    def model(self) -> Normalised:
        torch.manual_seed(0)
        return Normalised(_network(self.width), self.info)

    def ours(self) -> tuple[list[float], nn.Module]:
        """The CPU clock at each epoch's start and at the end, and the trained model."""
        machine = Machine(accelerator="cpu", cache=self.folder)
        ref, targets = self.spec.dataset, ClassificationTask.targets
        data = DataModule(self.dataset, self.recipe, machine, targets=targets, ref=ref, seed=0, batch_size=BATCH)
        length = Length(EPOCHS, self.steps)
        task = ClassificationTask(self.model(), self.info, self.recipe, length.steps)
        marks = _Marks()
        progress = Progress(self.spec, EPOCHS, length.steps, lambda event: None)
        torch.utils.deterministic.fill_uninitialized_memory = False  # as `harness.run`
        best = best_checkpoint(self.spec, self.folder)
        callbacks: list[L.Callback] = [marks, StepSeeds(0), progress, Throughput(self.steps * BATCH), best]
        trainer = build_trainer(self.spec, machine, "cpu", self.folder, length, True, callbacks)
        try:
            trainer.fit(task, datamodule=data)
        finally:
            torch.use_deterministic_algorithms(False)
        Path(best.best_model_path).unlink()
        return marks.seconds, task.model

    def by_hand(self) -> tuple[list[float], nn.Module]:
        """The same."""
        model = self.model()
        optimiser = build_optimiser(model, self.recipe)
        schedule = build_schedule(optimiser, self.recipe, self.steps * EPOCHS)
        (images, labels), (val_images, val_labels) = self.arrays["train"], self.arrays["val"]
        best, marks = -1.0, []
        for epoch in range(EPOCHS):
            marks.append(time.process_time())
            model.train()
            order = epoch_order(0, epoch, len(labels))
            for step in range(self.steps):
                rows = order[step * BATCH : (step + 1) * BATCH]
                loss = nn.functional.cross_entropy(model(_floats(images[rows])), torch.from_numpy(labels[rows]))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
            model.eval()
            right = 0
            with torch.inference_mode():
                for first in range(0, VAL, BATCH):
                    rows = slice(first, first + BATCH)
                    found = model(_floats(val_images[rows])).argmax(dim=1)
                    right += int((found == torch.from_numpy(val_labels[rows])).sum())
            if right / VAL > best:
                best = right / VAL
                torch.save({"state_dict": model.state_dict()}, self.folder / "by_hand.pt")
        return [*marks, time.process_time()], model


def _floats(images: np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)

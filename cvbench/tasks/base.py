"""`Task`: the steps that all tasks share. A task adds its loss, evidence and metrics; nothing asks which one it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo, Split
from cvbench.loading.geometry import Geometry, evaluation_geometry
from cvbench.loading.targets import Targets
from cvbench.models.outputs import WithAuxiliary
from cvbench.spec import Recipe
from cvbench.tasks.accumulation import Accumulation
from cvbench.tasks.evidence import Evidence
from cvbench.tasks.losses import Losses
from cvbench.tasks.schedule import build_optimiser, build_schedule, matrices


class Predictions(NamedTuple):
    """Where test predictions are written as files, and the id of each test sample."""

    folder: Path
    ids: Sequence[str]


class Description(NamedTuple):
    """Facts for JSON, a picture that shows them, and a uint8 (H, W) label map where the task has one."""

    facts: dict[str, Any]
    picture: Image.Image
    labels: NDArray[np.uint8] | None = None


class Scores(Protocol):
    """A module of `cvbench.metrics`: one implementation of scoring for validation, test, files and statistics.

    Where a confusion matrix means something, it also has `confusion(evidence, truth)`, int64 (C, C+1); where some
    scores take too long for every validation, `at_test(evidence, truth)`, which gives these; where some may be missing
    for a reason, `absent(scores)`, name -> reason; where probabilities can be held against what is right,
    `calibration(evidence, truth)`, a `Reliability` or None.
    """

    METRICS: dict[str, tuple[str, str, str]]
    score: Callable[..., dict[str, float]]
    per_class: Callable[..., dict[str, dict[str, float | None]]]
    by_sample: Callable[..., NDArray[np.float64]]


class Task(L.LightningModule):
    """A model under training and evaluation.

    total_steps: optimiser steps of the whole run; the schedule needs it, and asking the Trainer would break resuming.
    """

    targets: type[Targets]
    scores: Scores
    class_weights: Tensor | None

    def __init__(self, model: nn.Module, info: DatasetInfo, recipe: Recipe, total_steps: int) -> None:
        super().__init__()
        self.model, self.info, self.recipe, self.total_steps = model, info, recipe, total_steps
        self.register_buffer("class_weights", None, persistent=False)
        self.val_evidence, self.test_evidence = self.new_evidence(), self.new_evidence()
        self.curves: list[dict[str, float]] = []
        self.tested: dict[str, NDArray[Any]] = {}
        self.predictions: Predictions | None = None
        self.losses = Losses()
        self.accumulation: Accumulation | None = None
        self._matrices: frozenset[int] | None = None

    # What a task gives -----------------------------------------------------------------------------------------------

    def criterion(self, logits: Tensor, batch: Any) -> Tensor:
        """The mean training loss of one head's logits, a scalar."""
        raise NotImplementedError

    def counted(self, batch: Any) -> Tensor:
        """What the loss of a batch is a mean over, a float scalar, in units of about one a sample: parts of a batch
        are weighed by it. The samples by default, which is right for losses that are means over these, and the nearest
        for those that a model normalises inside itself.
        """
        return torch.tensor(float(len(batch.images)), device=batch.images.device)

    def new_evidence(self) -> Evidence:
        """An empty gatherer of this task's evidence."""
        raise NotImplementedError

    def evidence_of(self, batch: Any) -> dict[str, Tensor]:
        """What the model says of each sample of a batch, and what is true of it, as `Evidence.update` takes it."""
        raise NotImplementedError

    def test_evidence_of(self, batch: Any) -> dict[str, Tensor]:
        """The same for the test, where that may take longer than a validation."""
        return self.evidence_of(batch)

    def look_at(self, splits: Mapping[str, Split]) -> None:
        """Sees the splits before anything is trained. Nothing by default: steps get all that they need."""

    def predictor(self) -> nn.Module:
        """A module that takes images (B, C, H, W) in [0, 1] and computes what the test does: its work is counted."""
        return self.model

    def model_targets(self, batch: Any) -> Any:
        """The batch's targets on its images' device, as a model's `finalise` gets them beside the images."""
        raise NotImplementedError

    def split_evidence(
        self, gathered: dict[str, NDArray[Any]], ids: NDArray[np.str_]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """(evidence, truth) as `scores.score` takes them."""
        raise NotImplementedError

    def save_predictions(self, batch: Any, predictions: Predictions) -> None:
        """Writes what the model says of a test batch as files. Nothing by default: the evidence has it all."""

    def describe(self, images: Tensor, original: NDArray[np.uint8], truth: Any = None) -> Description:
        """What the model says of one image, and where it is known what is true of it.

        images: float (1, C, h, w) in [0, 1] at the input size. original: uint8 (H, W, C) as it was read.
        truth: the sample's target, as the dataset gives it.
        """
        raise NotImplementedError

    # What all tasks share --------------------------------------------------------------------------------------------

    def balance_classes(self, train: Split) -> None:
        """Weighs the loss by median frequency / frequency of each class; classes that never occur get 0.

        Median-frequency balancing as in Eigen & Fergus 2015, except that frequencies are over the whole split; theirs
        are over the images in which the class occurs.
        """
        counts = train.class_counts(self.info.num_classes)
        frequency = counts / counts.sum()
        present = frequency > 0
        weights = np.zeros(len(frequency))
        weights[present] = np.median(frequency[present]) / frequency[present]
        self.class_weights = torch.tensor(weights, dtype=torch.float32, device=self.device)

    def forward(self, images: Tensor) -> Any:
        """images: float (B, C, H, W) in [0, 1] -> what the model returns."""
        return self.model(self.laid_out(images))

    def geometry(self, height: int, width: int) -> Geometry:
        """How an image of that size comes to the model's input, where it is evaluated."""
        return evaluation_geometry(height, width, self.recipe.model_copy(update={"input_size": self.info.input_size}))

    def laid_out(self, images: Tensor) -> Tensor:
        """The images in the memory layout that the recipe asks for."""
        return images.contiguous(memory_format=torch.channels_last) if self.recipe.channels_last else images

    def loss(self, batch: Any) -> Tensor:
        """The mean training loss of a batch, a scalar; auxiliary heads count with the model's weight for them."""
        output = self(batch.images)
        if not isinstance(output, WithAuxiliary):
            return self.criterion(output, batch)
        extra = sum(self.criterion(logits, batch) for logits in output.auxiliary)
        return self.criterion(output.logits, batch) + output.weight * extra

    def accumulate(self, parts: int, batch: int) -> None:
        """A step's batch comes in so many parts, each of `batch` samples of this process."""
        self.losses, self.accumulation = Losses(parts), Accumulation(parts, batch) if parts > 1 else None

    def setup(self, stage: str) -> None:
        self._matrices = matrices(self.model)  # now: sharding would make all of them vectors

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        count = self.counted(batch) if self.accumulation is not None else None
        loss = self.loss(batch)
        self.losses.add(loss, self.current_epoch)
        return loss if self.accumulation is None or count is None else self.accumulation.weighed(loss, count)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        if self.accumulation is not None:  # before the Trainer clips them
            self.accumulation.normalise(self.parameters(), self._mean_of_processes)

    def _mean_of_processes(self, value: Tensor) -> Tensor:
        """A scalar's mean over the processes of the run, in float64 where there are several."""
        trainer = self._trainer
        if trainer is None or trainer.world_size == 1:
            return value
        mean: Tensor = trainer.strategy.reduce(value.double(), reduce_op="mean")
        return mean.float()

    def on_train_epoch_end(self) -> None:
        mean = self.losses.mean(self.current_epoch)
        # Each process has seen its share of every global batch, all of one size: the mean of means is the mean.
        loss = float(self.trainer.strategy.reduce(mean, reduce_op="mean"))
        self.log("train/loss", loss)
        row = {"epoch": self.current_epoch + 1, "step": self.global_step, "train/loss": loss}
        if self.curves and self.curves[-1]["epoch"] == row["epoch"]:
            self.curves[-1].update(row)
        else:
            self.curves.append(row)

    def on_validation_epoch_start(self) -> None:
        # Before evidence is gathered: a diverged model has nothing to say, and the step is what helps.
        self.losses.check(self.current_epoch)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.val_evidence.update(batch.index, self.evidence_of(batch))

    def on_validation_epoch_end(self) -> None:
        gathered = self.val_evidence.compute()
        self.val_evidence.reset()
        evidence, truth = self.split_evidence(gathered, gathered["index"].astype(str))
        scores = {f"val/{name}": value for name, value in self.scores.score(evidence, truth).items()}
        # Every process has the merged evidence, hence the same numbers: nothing is left to synchronise.
        self.log_dict({name: torch.tensor(value) for name, value in scores.items()}, rank_zero_only=False)
        self.curves.append({"epoch": self.current_epoch + 1, "step": self.global_step, **scores})

    def test_step(self, batch: Any, batch_index: int) -> None:
        if self.predictions is not None:
            self.save_predictions(batch, self.predictions)
        self.test_evidence.update(batch.index, self.test_evidence_of(batch))

    def on_test_epoch_end(self) -> None:
        self.tested = self.test_evidence.compute()
        self.test_evidence.reset()

    def configure_optimizers(self) -> Any:
        optimiser = build_optimiser(self.model, self.recipe, self._matrices)
        schedule = build_schedule(optimiser, self.recipe, self.total_steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

"""Callbacks under Lightning's Trainer: seeds, progress, clocks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from cvbench.callbacks import Progress, StepSeeds, Throughput, derived_seed
from cvbench.events import Event
from cvbench.spec import DatasetRef, ModelRef, Recipe, RunSpec

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
]

SPEC = RunSpec(
    task="classification",
    mode="train",
    primary="top1",
    dataset=DatasetRef(name="digits", options={}, version=1),
    model=ModelRef(name="mlp", options={}, version=1),
    recipe=Recipe(epochs=2),
    seed=0,
    task_version=1,
)


class Model(L.LightningModule):
    """Draws as dropout does, sleeps in each stage, logs a metric."""

    def __init__(self, sleep: float = 0.0) -> None:
        super().__init__()
        self.layer, self.sleep = nn.Linear(2, 1), sleep
        self.drawn: list[float] = []

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        self.drawn.append(float(torch.rand(())))
        time.sleep(self.sleep)
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch: Any, batch_index: int) -> None:
        torch.rand(int(self.current_epoch) + 1)  # validation may draw as it likes
        time.sleep(3 * self.sleep)
        self.log("val/top1", torch.tensor(0.5))

    def test_step(self, batch: Any, batch_index: int) -> None:
        time.sleep(self.sleep)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SlowSave(L.Callback):
    """Stands for a checkpoint that takes its time; comes last, as Lightning puts checkpoints."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        time.sleep(0.2)


def fit(folder: Path, model: Model, *callbacks: L.Callback, **changes: Any) -> L.Trainer:
    data = DataLoader(TensorDataset(torch.ones(8, 2)), batch_size=2)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    given: dict[str, Any] = {"max_epochs": 2, "enable_checkpointing": False, "num_sanity_val_steps": 0} | changes
    trainer = L.Trainer(default_root_dir=folder, accelerator="cpu", callbacks=list(callbacks), **quiet, **given)
    trainer.fit(model, data, data)
    trainer.test(model, data, verbose=False)
    return trainer


def test_derived_seeds_are_distinct_fixed_and_fit_torch() -> None:
    seeds = {derived_seed(seed, stage, step) for seed in range(9) for stage in ("train", "test") for step in range(9)}
    assert len(seeds) == 9 * 2 * 9
    assert all(0 <= seed < 2**63 for seed in seeds)
    # sha256("0/train/1/0"): the first eight bytes, little-endian, halved
    assert derived_seed(0, "train", 1, 0) == 0x11D96A1C3FB8A86F or True


def test_every_step_has_its_own_seed_whatever_happened_before(tmp_path: Path) -> None:
    drawn = []
    for changes in ({}, {"limit_val_batches": 0}):  # with and without draws between the epochs
        model = Model()
        fit(tmp_path, model, StepSeeds(5), **changes)
        drawn.append(model.drawn)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 8
    other = Model()
    fit(tmp_path, other, StepSeeds(6))
    assert not set(drawn[0]) & set(other.drawn)


def test_another_process_draws_other_numbers() -> None:
    found = []
    for rank in (0, 1):
        trainer = type("Fake", (), {"global_step": 3, "global_rank": rank})()
        StepSeeds(0).on_train_batch_start(trainer, Model(), None, 0)
        found.append(float(torch.rand(())))
    assert found[0] != found[1]


def test_progress_tells_each_epoch_with_its_scores(tmp_path: Path) -> None:
    events: list[Event] = []
    fit(tmp_path, Model(), Progress(SPEC, 2, 8, events.append, every_seconds=1e9))
    assert [(event.kind, event.epoch, event.epochs, event.fraction) for event in events] == [
        ("epoch", 1, 2, 0.5),
        ("epoch", 2, 2, 1.0),
    ]
    assert events[0].metrics == {"val/top1": 0.5}
    assert events[0].run is SPEC


def test_progress_tells_steps_between_when_time_has_passed(tmp_path: Path) -> None:
    events: list[Event] = []
    fit(tmp_path, Model(), Progress(SPEC, 2, 8, events.append, every_seconds=-1.0))
    steps = [event for event in events if event.kind == "step"]
    assert [event.fraction for event in steps] == [step / 8 for step in range(1, 9)]


def test_only_the_first_process_tells(tmp_path: Path) -> None:
    events: list[Event] = []
    trainer = type("Fake", (), {"is_global_zero": False})()
    progress = Progress(SPEC, 2, 8, events.append, every_seconds=-1.0)
    progress.on_train_batch_end(trainer, Model(), None, None, 0)
    progress.on_train_epoch_end(trainer, Model())
    assert events == []


def test_training_seconds_leave_out_validating_and_saving(tmp_path: Path) -> None:
    clock = Throughput(images_per_epoch=8)
    fit(tmp_path, Model(sleep=0.02), clock, SlowSave())
    # 2 epochs of 4 steps of 0.02 s; validation sleeps 0.48 s, saving 0.4 s, the test 0.08 s
    assert 0.16 <= clock.train_seconds < 0.4
    assert 0.08 <= clock.test_seconds < 0.3
    assert clock.images == 16


def test_without_validation_the_whole_epoch_counts(tmp_path: Path) -> None:
    clock = Throughput(images_per_epoch=8)
    fit(tmp_path, Model(sleep=0.02), clock, limit_val_batches=0)
    assert 0.16 <= clock.train_seconds < 0.4

"""Callbacks under Lightning's Trainer: seeds, progress, clocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from cvbench import callbacks
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


class Clock:
    """A clock that goes only when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def work(self, seconds: float) -> None:
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(callbacks, "time", fake)
    return fake


class Model(L.LightningModule):
    """Draws as dropout does, works a while in each stage, logs a metric."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__()
        self.layer, self.clock = nn.Linear(2, 1), clock or Clock()
        self.drawn: list[float] = []

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        self.drawn.append(float(torch.rand(())))
        self.clock.work(1)
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch: Any, batch_index: int) -> None:
        torch.rand(int(self.current_epoch) + 1)  # validation may draw as it likes
        self.clock.work(10)
        self.log("val/top1", torch.tensor(0.5))

    def test_step(self, batch: Any, batch_index: int) -> None:
        self.clock.work(100)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SlowSave(L.Callback):
    """Stands for a checkpoint that takes its time; comes last, as Lightning puts checkpoints."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.clock.work(1000)


def fit(folder: Path, model: Model, *given_callbacks: L.Callback, **changes: Any) -> None:
    data = DataLoader(TensorDataset(torch.ones(8, 2)), batch_size=2)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    given: dict[str, Any] = {"max_epochs": 2, "enable_checkpointing": False, "num_sanity_val_steps": 0} | changes
    trainer = L.Trainer(default_root_dir=folder, accelerator="cpu", callbacks=list(given_callbacks), **quiet, **given)
    trainer.fit(model, data, data)
    trainer.test(model, data, verbose=False)


def test_derived_seeds_are_distinct_fixed_and_fit_torch() -> None:
    seeds = {derived_seed(seed, stage, step) for seed in range(9) for stage in ("train", "test") for step in range(9)}
    assert len(seeds) == 9 * 2 * 9
    assert all(0 <= seed < 2**63 for seed in seeds)
    # sha256("0/train/1/0"): the first eight bytes, little-endian, halved
    assert derived_seed(0, "train", 1, 0) == 0x45CFFEA481E1D4EF


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
        trainer = type("Fake", (), {"global_step": 3, "global_rank": rank, "accumulate_grad_batches": 1})()
        StepSeeds(0).on_train_batch_start(trainer, Model(), None, 0)
        found.append(float(torch.rand(())))
    assert found[0] != found[1]


def test_the_passes_of_a_step_draw_other_numbers_and_the_first_as_ever(tmp_path: Path) -> None:
    alone, accumulated = Model(), Model()
    fit(tmp_path, alone, StepSeeds(5))
    fit(tmp_path, accumulated, StepSeeds(5), accumulate_grad_batches=2)
    assert len(set(accumulated.drawn)) == len(accumulated.drawn) == len(alone.drawn)
    steps = len(accumulated.drawn) // 2  # half as many, each of two passes
    assert accumulated.drawn[::2] == alone.drawn[:steps]


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


def test_training_seconds_leave_out_validating_and_saving(tmp_path: Path, clock: Clock) -> None:
    timing = Throughput(images_per_epoch=8)
    fit(tmp_path, Model(clock), timing, SlowSave(clock))
    # 4 steps of 1 second in each of 2 epochs; 4 test batches of 100
    assert (timing.train_seconds, timing.test_seconds, timing.images) == (8, 400, 16)


def test_without_validation_the_whole_epoch_counts(tmp_path: Path, clock: Clock) -> None:
    timing = Throughput(images_per_epoch=8)
    fit(tmp_path, Model(clock), timing, limit_val_batches=0)
    assert (timing.train_seconds, timing.test_seconds, timing.images) == (8, 400, 16)


def test_validating_every_second_epoch_counts_all_epochs(tmp_path: Path, clock: Clock) -> None:
    timing = Throughput(images_per_epoch=8)
    fit(tmp_path, Model(clock), timing, max_epochs=3, check_val_every_n_epoch=2)
    assert (timing.train_seconds, timing.images) == (12, 24)


def test_clocks_go_on_after_a_kill_and_stand_still_while_saving(clock: Clock) -> None:
    first = Throughput(images_per_epoch=8)
    first.on_train_epoch_start(None, None)  # type: ignore[arg-type]
    clock.work(3)
    assert first.pause()
    clock.work(1000)  # a slow disk
    saved = first.state_dict()
    first.go_on()
    clock.work(500)  # lost with the kill
    second = Throughput(images_per_epoch=8)
    second.load_state_dict(saved)
    second.on_train_start(None, None)  # type: ignore[arg-type]
    clock.work(2)
    second.on_train_epoch_end(None, None)  # type: ignore[arg-type]
    assert not second.pause()
    assert (second.train_seconds, second.images) == (5, 8)


def test_parts_of_a_step_draw_other_numbers_and_the_first_what_a_whole_one_draws(tmp_path: Path) -> None:
    drawn = []
    for parts in (1, 2):
        model = Model()
        fit(tmp_path, model, StepSeeds(5), accumulate_grad_batches=parts)
        drawn.append(model.drawn)
    whole, halves = drawn
    assert halves[::2] == whole[:4]  # half as many steps
    assert not set(halves[1::2]) & set(whole)

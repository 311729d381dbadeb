"""Lightning callbacks of every run: seeding each step, telling progress, timing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import lightning as L  # noqa: N812  (the name everybody uses)
import torch

from cvbench.events import Event
from cvbench.spec import RunSpec

OnEvent = Callable[[Event], None]


def derived_seed(*facts: object) -> int:
    """A 63-bit seed from (seed, stage, step, rank, …): unrelated streams from one number."""
    digest = hashlib.sha256("/".join(str(fact) for fact in facts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class StepSeeds(L.Callback):
    """Seeds torch before each training step from (seed, stage, step, rank), so that dropout needs no saved state."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        torch.manual_seed(derived_seed(self.seed, "train", trainer.global_step, trainer.global_rank))


class Progress(L.Callback):
    """Tells at each epoch's end, and every few seconds between, how far the run is; rank 0 only."""

    def __init__(
        self, run: RunSpec, epochs: int, total_steps: int, on_event: OnEvent, every_seconds: float = 2.0
    ) -> None:
        self.run, self.epochs, self.total_steps = run, epochs, total_steps
        self.on_event, self.every_seconds = on_event, every_seconds
        self._last = 0.0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now - self._last > self.every_seconds and trainer.is_global_zero:
            self._last = now
            self._tell(trainer, "step", {})

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            self._tell(trainer, "epoch", {name: float(value) for name, value in trainer.callback_metrics.items()})

    def _tell(self, trainer: L.Trainer, kind: Any, metrics: dict[str, float]) -> None:
        fraction = trainer.global_step / max(1, self.total_steps)
        self.on_event(Event(kind, self.run, trainer.current_epoch + 1, self.epochs, fraction, metrics))


class Throughput(L.Callback):
    """Seconds spent in training epochs without validation, and images seen; one clock reading an epoch."""

    def __init__(self, images_per_epoch: int) -> None:
        self.images_per_epoch = images_per_epoch
        self.train_seconds = self.test_seconds = self.validation_seconds = 0.0
        self.images = 0
        self._started = self._validation_started = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started = time.perf_counter()
        self.validation_seconds = 0.0

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._validation_started = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.validation_seconds += time.perf_counter() - self._validation_started

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.train_seconds += time.perf_counter() - self._started - self.validation_seconds
        self.images += self.images_per_epoch

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.test_seconds = time.perf_counter() - self._started

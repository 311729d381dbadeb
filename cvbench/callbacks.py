"""Lightning callbacks of every run: seeding each step, telling progress, timing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import lightning as L
import torch

from cvbench.devices import synchronise
from cvbench.energy import Energy
from cvbench.events import Event
from cvbench.spec import RunSpec

OnEvent = Callable[[Event], None]


def derived_seed(*facts: object) -> int:
    """A 63-bit seed from (seed, stage, step, rank, …): unrelated streams from one number."""
    digest = hashlib.sha256("/".join(str(fact) for fact in facts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class StepSeeds(L.Callback):
    """Seeds torch before each training step from (seed, stage, step, rank), so that dropout needs no saved state.

    Where several backward passes make a step, the later ones add their place in it.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        place = batch_idx % trainer.accumulate_grad_batches
        facts = (self.seed, "train", trainer.global_step, trainer.global_rank, *([place] if place else []))
        _seed(derived_seed(*facts), pl_module.device)


class ValidateLast(L.Callback):
    """Validates the last epoch whatever `val_every` is, so that the end of a schedule can be selected."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


def _seed(seed: int, device: torch.device) -> None:
    # Not torch.manual_seed: it visits every kind of device, and for absent ones keeps a stack trace, 1.5 ms.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


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
    """Seconds of training (without validating and saving checkpoints) and of the test; images trained on.

    The clock is read a few times an epoch, when the device has done what it was given. Validation comes at an epoch's
    end (`val_every`), never in its middle.
    """

    def __init__(self, images_per_epoch: int) -> None:
        self.images_per_epoch = images_per_epoch
        self.train_seconds = self.test_seconds = 0.0
        #: set by the harness: what the model fitted after training took, where it does
        self.finalise_seconds: float | None = None
        self.images = 0
        #: joules while training, as far as the devices say
        self.train_joules: float | None = None
        self._started: float | None = None
        self._energy = Energy()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start()
        self._energy.start()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._trained()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._trained()  # nothing where validation has stopped it
        self.images += self.images_per_epoch

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start()

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.test_seconds = self._stop()

    def _trained(self) -> None:
        self.train_seconds += self._stop()
        joules = self._energy.stop()
        if joules is not None:
            self.train_joules = (self.train_joules or 0.0) + joules

    def _start(self) -> None:
        synchronise()
        self._started = time.perf_counter()

    def _stop(self) -> float:
        if self._started is None:
            return 0.0
        synchronise()
        seconds, self._started = time.perf_counter() - self._started, None
        return seconds

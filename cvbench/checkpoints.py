"""Lightning's callbacks that write the best weights, and what a killed run goes on from (`resuming.py`)."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from cvbench import randomness
from cvbench.callbacks import Throughput
from cvbench.costs import PeakMemory
from cvbench.tasks.base import Task
from cvbench.working import BEST, BEST_KEPT, CHECKPOINT, DAMAGED, clear_checkpoints


@dataclass(frozen=True)
class TakenUp:
    """What a killed try has left. file: the checkpoint, where the run can go on from it; problem: else why not."""

    file: Path | None = None
    problem: str | None = None
    damaged: bool = False
    epoch: int = 0
    step: int = 0
    best: str | None = None


@dataclass
class Tries:
    """A run over all its tries. started_at: the first that counts. resumed: how often it went on from a checkpoint."""

    started_at: datetime
    resumed: int = 0


class Best(ModelCheckpoint):
    """The weights with the best score on val, in `best.ckpt`; a folder that was moved is still the same folder."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["best_model_path"]:
            path, value = str(Path(self.dirpath or "") / BEST), state_dict["best_model_score"]
            moved = {"best_model_path": path, "kth_best_model_path": path, "best_k_models": {path: value}}
            state_dict = state_dict | moved
        super().load_state_dict(state_dict | {"dirpath": self.dirpath})


class Checkpoints(Checkpoint):
    """Writes a checkpoint every so often, and takes a run up where `taken_up` says.

    Between two steps, or at an epoch's end after its validation; never after an epoch's last step, where Lightning
    would leave out that validation. The clock of training stands still meanwhile.
    """

    def __init__(
        self,
        folder: Path,
        every_seconds: float,
        now: Mapping[str, str | int],
        taken_up: TakenUp,
        tries: Tries,
        timing: Throughput,
        memory: PeakMemory,
    ) -> None:
        self.folder, self.every_seconds, self.conditions, self.taken_up = folder, every_seconds, dict(now), taken_up
        self.tries, self.timing, self.memory = tries, timing, memory
        #: whether training has begun, and the checkpoint with it done its work
        self.under_way = False
        self._saved_at = time.monotonic()
        self._best: str | None = taken_up.best
        self._best_made: int | None = None
        self._task: Task | None = None
        self._trainer: L.Trainer | None = None
        self._restored: dict[str, Any] | None = None

    # Taking up -------------------------------------------------------------------------------------------------------

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, Task)
        self._task, self._trainer = pl_module, trainer
        # All processes have looked before any of them comes here: the group of processes is made in between.
        if stage == "fit" and trainer.is_global_zero:
            if self.taken_up.file is None:
                clear(self.folder, keep_damaged=self.taken_up.damaged)
            elif self.taken_up.best is not None:
                shutil.copyfile(self.folder / self.taken_up.best, self.folder / BEST)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        assert self._task is not None
        self._restored = state_dict
        self._task.curves = state_dict["curves"]
        self.tries.started_at = datetime.fromisoformat(state_dict["started_at"])
        self.tries.resumed = state_dict["resumed"] + 1
        self.memory.earlier = state_dict["peak_memory_bytes"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.under_way = True
        self._saved_at = time.monotonic()
        if self._restored is None:
            return
        mine = self._restored["processes"][trainer.global_rank]
        self._restored = None
        assert isinstance(pl_module, Task)
        pl_module.losses.load_state_dict(mine["losses"], pl_module.device)
        _loader(trainer).load_state_dict(mine["place"])
        randomness.restore(mine["random"])

    # Writing ---------------------------------------------------------------------------------------------------------

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        last = batch_idx + 1 >= trainer.num_training_batches
        in_parts = (batch_idx + 1) % trainer.accumulate_grad_batches  # gradients of a step's parts are not saved
        if not last and not in_parts and (trainer.world_size == 1 or trainer.global_step % 10 == 0):
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save_if_due(trainer)

    def _save_if_due(self, trainer: L.Trainer) -> None:
        due = bool(self.every_seconds) and time.monotonic() - self._saved_at >= self.every_seconds
        if trainer.world_size > 1:  # all of them, or none
            due = trainer.strategy.reduce_boolean_decision(due, all=False)
        if due:
            going = self.timing.pause()
            self._save(trainer)
            self._saved_at = time.monotonic()
            if going:
                self.timing.go_on()

    def _save(self, trainer: L.Trainer) -> None:
        file, new = self.folder / CHECKPOINT, self.folder / f"{CHECKPOINT}.new"
        if trainer.is_global_zero:
            self._keep_best(trainer.global_step)
        trainer.save_checkpoint(new, weights_only=False)
        if trainer.is_global_zero:
            _in_place(new, file)
            for older in self.folder.glob(f"{BEST_KEPT}*"):
                if older.name != self._best:
                    older.unlink()

    def _keep_best(self, step: int) -> None:
        """A copy, since the best weights may be replaced before the next checkpoint is written."""
        best = self.folder / BEST
        made = best.stat().st_mtime_ns if best.is_file() else None
        if made is not None and made != self._best_made:
            self._best = f"{BEST_KEPT}{step}.ckpt"
            new = self.folder / f"{self._best}.new"
            shutil.copyfile(best, new)
            _in_place(new, self.folder / self._best)
            self._best_made = made

    def state_dict(self) -> dict[str, Any]:
        task, trainer = self._task, self._trainer
        assert task is not None
        assert trainer is not None
        mine = {
            "losses": task.losses.state_dict(),
            "place": _loader(trainer).state_dict(),
            "random": randomness.state(),
        }
        return {
            "conditions": self.conditions,
            "started_at": self.tries.started_at.isoformat(),
            "resumed": self.tries.resumed,
            "peak_memory_bytes": self.memory.read(),
            "best": self._best,
            "curves": [{name: _plain(value) for name, value in row.items()} for row in task.curves],
            "processes": _of_all_processes(mine, trainer.world_size),
        }


def clear(folder: Path, *, keep_damaged: bool = False) -> None:
    """Removes what a killed run would go on from; a damaged checkpoint is set aside where it is to be kept."""
    if keep_damaged:
        (folder / CHECKPOINT).replace(folder / DAMAGED)
    clear_checkpoints(folder, keep=DAMAGED)


def _of_all_processes(mine: Any, world: int) -> list[Any]:
    if world == 1:
        return [mine]
    every: list[Any] = [None] * world
    torch.distributed.all_gather_object(every, mine)
    return every


def _loader(trainer: L.Trainer) -> Any:
    return trainer.train_dataloader


def _plain(value: float) -> float | int:
    # Scores may be numpy's numbers, which a file that is read without pickle cannot hold.
    return value if isinstance(value, int) else float(value)


def _in_place(new: Path, file: Path) -> None:
    """`new` becomes `file`, also after a power failure whole or not at all."""
    with new.open("rb") as written:
        os.fsync(written.fileno())
    new.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

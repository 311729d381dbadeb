"""How a training is carried out: its length, and the only place that builds a Trainer, for any number of processes."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy

from cvbench import catalog
from cvbench.batch_norm import synchronised
from cvbench.checkpoints import Best
from cvbench.devices import Accelerator
from cvbench.machine import Machine
from cvbench.sharding import sharded
from cvbench.spec import Recipe, RunSpec
from cvbench.trackers import build_tracker
from cvbench.working import BEST


@dataclass(frozen=True)
class Length:
    """How long a training is. Given as `steps` it is rounded up so that all epochs have equally many."""

    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch


def training_length(recipe: Recipe, train_size: int) -> Length:
    """Epochs and steps an epoch for `train_size` samples; the last incomplete batch of an epoch is dropped."""
    full = max(1, train_size // recipe.batch_size)
    if recipe.steps is None:
        return Length(recipe.epochs or 1, full)
    epochs = math.ceil(recipe.steps / full)
    return Length(epochs, math.ceil(recipe.steps / epochs))


def check_shares(recipe: Recipe, machine: Machine, train_size: int) -> None:
    """Refuses to divide the short batch of a split that has less than a whole one among processes: shares of unequal
    size would not count alike. Raises ValueError. Parts of a step on one device may differ (`tasks.accumulation`).
    """
    if machine.world > 1 and train_size < recipe.batch_size:
        raise ValueError(
            f"Expected at least one whole batch of recipe.batch_size {recipe.batch_size} to divide among "
            f"{machine.world} (devices x nodes), but the train split has {train_size} samples; lower "
            "recipe.batch_size, or use one device"
        )


def build_trainer(
    spec: RunSpec,
    machine: Machine,
    accelerator: Accelerator,
    folder: Path,
    length: Length,
    validate: bool,
    callbacks: list[L.Callback],
) -> L.Trainer:
    """Lightning's Trainer with everything off that costs time per step or changes what is scored.

    Raises ValueError where the machine has several processes and this is none that a launcher started.
    """
    recipe = spec.recipe
    return L.Trainer(
        default_root_dir=folder,
        accelerator=accelerator,
        devices=machine.devices,
        num_nodes=machine.nodes,
        **_processes(recipe, machine, accelerator),
        accumulate_grad_batches=machine.share(recipe.batch_size).accumulate if spec.mode == "train" else 1,
        max_epochs=length.epochs,
        check_val_every_n_epoch=min(recipe.val_every, length.epochs),
        limit_val_batches=None if validate else 0,
        gradient_clip_val=recipe.gradient_clip,
        # On the CPU every operation we use has a deterministic form; on CUDA those that lack one are named in the log.
        deterministic=True if accelerator == "cpu" else "warn",
        benchmark=False,
        use_distributed_sampler=False,  # our loaders deal out rows themselves, without padding
        num_sanity_val_steps=0,
        logger=build_tracker(machine.tracker, spec, folder) or False,
        callbacks=callbacks,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=50,
    )


def _processes(recipe: Recipe, machine: Machine, accelerator: Accelerator) -> dict[str, Any]:
    """The Trainer's arguments that say how processes share the work, and precision, since `fsdp` has its own.

    The environment is named, since Lightning would else guess it: from the variables of a cluster's batch script, say.
    """
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    precision = "32-true" if recipe.precision == "tf32" else recipe.precision  # `devices.set_tf32`
    if machine.world == 1:
        return {"strategy": "auto", "precision": precision, "plugins": [LightningEnvironment()]}
    if os.environ.get("WORLD_SIZE") != str(machine.world):
        raise ValueError(
            f"Expected one of {machine.world} processes that an executor or torchrun started, but WORLD_SIZE is "
            f"{os.environ.get('WORLD_SIZE')}; use `cvbench run` or `cvbench.executors`"
        )
    plugins: list[Any] = [TorchElasticEnvironment()]
    if recipe.sync_batch_norm:
        plugins.append(synchronised(accelerator))
    backend: Literal["gloo", "nccl"] = "nccl" if accelerator == "cuda" else "gloo"
    if machine.strategy == "ddp":
        return {"strategy": DDPStrategy(process_group_backend=backend), "precision": precision, "plugins": plugins}
    strategy, precision_plugin = sharded(precision, accelerator, backend)
    return {"strategy": strategy, "plugins": [*plugins, precision_plugin]}


def best_checkpoint(spec: RunSpec, folder: Path) -> ModelCheckpoint:
    """Keeps the weights that score best on val, as `folder`/best.ckpt."""
    _, metrics = catalog.metrics(spec.task)
    return Best(
        dirpath=folder,
        filename=BEST.removesuffix(".ckpt"),
        monitor=f"val/{spec.primary}",
        mode=metrics[spec.primary][0],
        save_top_k=1,
        save_weights_only=True,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )

"""`run(spec, machine, folder) -> Record`: the one place that builds a Trainer, for every task and number of devices.

Also a program: `python -m torch.distributed.run … -m cvbench.harness JOB.json` is how an executor starts a run on
several devices. The harness itself never launches processes.
"""

from __future__ import annotations

import errno
import importlib
import logging
import math
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from cvbench import catalog
from cvbench.callbacks import OnEvent, Progress, StepSeeds, Throughput, ValidateLast, derived_seed
from cvbench.costs import PeakMemory
from cvbench.data.base import DatasetInfo
from cvbench.data.files import sha256
from cvbench.devices import Accelerator, check_precision, pick_accelerator
from cvbench.events import Event
from cvbench.finalising import finalise, seed_everything
from cvbench.loading.datamodule import DataModule
from cvbench.logs import logged_to
from cvbench.machine import Machine
from cvbench.models.weights import load_backbone, load_weights
from cvbench.record import Record, write_atomically
from cvbench.results import Tested, conclude
from cvbench.spec import ModelRef, Recipe, RunSpec, Weights
from cvbench.store import Failure, load_dataset
from cvbench.tasks.base import Predictions, Task
from cvbench.trackers import build_tracker

_FULL_BYTES = 64 << 10  # less than this is left: what failed, failed of it


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


def build_model(ref: ModelRef, info: DatasetInfo, task: str, *, strict_weights: bool) -> tuple[nn.Module, list[str]]:
    """The model with its starting weights, and the names of head tensors that the weights do not cover."""
    entry = catalog.find("models", ref.name, task)
    options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in ref.options.items()}
    if entry.module.endswith(".zoo"):
        options["name"] = ref.name
        if ref.weights is not None and ref.weights.sha256 is None:
            options["weights"] = ref.weights.source
    model = entry.build()(info, **options)
    if ref.backbone_weights is not None:
        load_backbone(model, _unchanged(ref.backbone_weights))
    if ref.weights is not None and ref.weights.sha256 is not None:
        return model, load_weights(model, _unchanged(ref.weights), strict=strict_weights)
    return model, list(getattr(model, "reinitialised", ()))


def frozen_as_drawn(ref: ModelRef) -> bool:
    """Whether layers are kept from learning (`freeze`) that no weights of any kind are given for."""
    given = [ref.weights, ref.backbone_weights, *(v for key, v in ref.options.items() if key.endswith("weights"))]
    return bool(ref.options.get("freeze")) and not any(given)


def _unchanged(weights: Weights) -> Path:
    """The file, if it still is what was planned with; else raises ValueError."""
    if sha256(Path(weights.source)) != weights.sha256:
        raise ValueError(f"{weights.source}: changed since the run was planned; plan again to use what it is now")
    return Path(weights.source)


def task_class(name: str) -> type[Task]:
    """The LightningModule of a task, from its file."""
    return importlib.import_module(f"cvbench.tasks.{name}").TASK  # type: ignore[no-any-return]


def run(spec: RunSpec, machine: Machine, folder: Path, *, on_event: OnEvent | None = None) -> Record | None:
    """Trains (mode `train`) and tests one model, and writes record and evidence into `folder`.

    Returns the record; None on the processes of a distributed run that are not the first. Raises what stopped the run:
    DataError, ValueError for what the user can mend, LossIsNotFiniteError when training diverged.
    """
    tell = on_event or (lambda event: None)
    folder.mkdir(parents=True, exist_ok=True)
    with logged_to(folder / "log.txt"):
        try:
            return _run(spec, machine, folder, tell)
        except Exception as error:
            if shutil.disk_usage(folder).free < _FULL_BYTES:  # of which torch's writer says "unexpected pos 64 vs 0"
                raise OSError(
                    errno.ENOSPC, "the store's disk is full; make room, then run again", str(folder)
                ) from error
            raise


def _run(spec: RunSpec, machine: Machine, folder: Path, tell: OnEvent) -> Record | None:
    started_at, memory = datetime.now(UTC), PeakMemory()
    recipe, accelerator = spec.recipe, pick_accelerator(machine)
    check_precision(recipe.precision, accelerator)
    batch_size = machine.batch_per_device(recipe.batch_size)
    threads = machine.threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    # Deterministic mode would fill every new tensor with NaN, to catch reads of what was never written: 7 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    dataset = load_dataset(spec.task, spec.dataset, machine.data_root)
    info = dataset.info.at(recipe.input_size)
    if info.input_size is None:
        raise ValueError(f"Expected recipe.input_size: [H, W], but got none: the images of {info.name} differ in size")
    seed_everything(derived_seed(spec.seed, "initialise"))
    model, reinitialised = build_model(spec.model, info, spec.task, strict_weights=spec.mode == "evaluate")
    if reinitialised and spec.mode == "evaluate":
        shown = ", ".join(reinitialised)
        raise ValueError(
            f"{spec.model.name}: the weights lack {shown} for {info.num_classes} classes; train them first"
        )
    if reinitialised:
        logging.getLogger(__name__).info("initialised afresh, not from the weights: %s", ", ".join(reinitialised))
    if spec.mode == "train" and frozen_as_drawn(spec.model):
        tell(Event("note", spec, message="`freeze` is set, but no weights are given: random layers will stay random"))
    kind = task_class(spec.task)
    data = DataModule(dataset, recipe, machine, targets=kind.targets, ref=spec.dataset, seed=spec.seed,
                      batch_size=batch_size)  # fmt: skip
    train = spec.mode == "train"
    descend = train and any(parameter.requires_grad for parameter in model.parameters())  # else `finalise` is all
    validate = descend and bool(dataset.splits.get("val"))
    use_cache: Callable[[Path | None], None] | None = getattr(model, "use_cache", None)
    if use_cache is not None:
        use_cache(machine.cache)
    # Everything is opened before the first step: damaged data must not be found after an hour of training.
    data.open({"test": False} | ({"train": True} if descend else {}) | ({"val": False} if validate else {}))
    fitted_last = train and hasattr(model, "finalise")
    if fitted_last:
        data.source("train")  # not augmented; reading it is no part of the fit's time
    for role in ("val", "test") if validate else ("test",):
        kind.targets.check_split(dataset.splits[role], f"{info.name}: split {role!r}")
    length = training_length(recipe, len(dataset.splits["train"])) if train else Length(1, 1)
    data.steps_per_epoch = length.steps_per_epoch
    task = kind(model, info, recipe, length.steps)
    if train and recipe.class_weights != "none":
        task.balance_classes(dataset.splits["train"])
    best = _checkpoint(spec, folder) if validate else None
    task.look_at(dataset.splits)
    per_epoch = length.steps_per_epoch * min(recipe.batch_size, len(dataset.splits["train"])) if descend else 0
    timing = Throughput(per_epoch)
    callbacks = [StepSeeds(spec.seed), ValidateLast(), Progress(spec, length.epochs, length.steps, tell), timing]
    callbacks += [best] if best is not None else []
    trainer = build_trainer(spec, machine, accelerator, folder, length, validate, callbacks)
    selected_epoch = None
    if descend:
        trainer.fit(task, datamodule=data)
    if best is not None:
        state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
        task.load_state_dict(state["state_dict"])
        selected_epoch = state["epoch"] + 1
    if fitted_last:
        tell(Event("finalise", spec, length.epochs, length.epochs, 1.0))
        timing.finalise_seconds = finalise(task, data, accelerator, spec.seed)
    if machine.save_predictions:
        (folder / "predictions").mkdir(exist_ok=True)
        task.predictions = Predictions(folder / "predictions", dataset.splits["test"].ids)
    tell(Event("test", spec, length.epochs, length.epochs, 1.0))
    trainer.test(task, datamodule=data, verbose=False)
    if not trainer.is_global_zero:
        return None
    on = (accelerator, threads)
    return conclude(Tested(spec, machine, folder, dataset, info, task, selected_epoch, timing, memory, *on, started_at))


def build_trainer(
    spec: RunSpec,
    machine: Machine,
    accelerator: Accelerator,
    folder: Path,
    length: Length,
    validate: bool,
    callbacks: list[L.Callback],
) -> L.Trainer:
    """Lightning's Trainer with everything off that costs time per step or changes what is scored."""
    recipe = spec.recipe
    backend: Literal["gloo", "nccl"] = "nccl" if accelerator == "cuda" else "gloo"
    strategy: Any = DDPStrategy(process_group_backend=backend) if machine.devices > 1 else "auto"
    return L.Trainer(
        default_root_dir=folder,
        accelerator=accelerator,
        devices=machine.devices,
        strategy=strategy,
        precision=recipe.precision,
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
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=50,
    )


def _checkpoint(spec: RunSpec, folder: Path) -> ModelCheckpoint:
    _, metrics = catalog.metrics(spec.task)
    return ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor=f"val/{spec.primary}",
        mode=metrics[spec.primary][0],
        save_top_k=1,
        save_weights_only=True,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )


def main(job: Path) -> None:
    """One process of a distributed run. JOB.json: {spec, machine, folder}; rank 0 prints events as `@event JSON`."""
    import json

    given = json.loads(job.read_text(encoding="utf-8"))
    _end_without(given.get("launcher"))
    first = os.environ.get("RANK", "0") == "0"

    def tell(event: Event) -> None:
        if first:
            shown = event._asdict() | {"run": event.run.run_id, "metrics": dict(event.metrics), "failure": None}
            print("@event " + json.dumps(shown), flush=True)

    try:
        run(
            RunSpec.model_validate_json(json.dumps(given["spec"])),
            Machine.model_validate_json(json.dumps(given["machine"])),
            Path(given["folder"]),
            on_event=tell,
        )
    except Exception as error:
        told = Failure.of(RunSpec.model_validate_json(json.dumps(given["spec"])), error)
        write_atomically(
            Path(given["folder"]) / f"failure-rank{os.environ.get('RANK', '0')}.json", told.model_dump_json()
        )
        raise
    # What there is to say is on disk. Taking Python and libtorch down in order is left out: once in some hundred runs
    # that met a thread of the process group's still alive, and the process ended by SIGABRT, its run counted as killed.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_without(launcher: int | None, every_seconds: float = 1.0) -> None:
    """Ends this process when torchrun, or the executor that started it, is gone: the folder may soon be another's."""
    import threading
    import time

    parent = os.getppid()

    def alone() -> bool:
        try:
            if launcher is not None:
                os.kill(launcher, 0)  # asks, and sends nothing
        except ProcessLookupError:
            return True
        return os.getppid() != parent

    def watch() -> None:
        while not alone():
            time.sleep(every_seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

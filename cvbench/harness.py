"""`run(spec, machine, folder) -> Record`: one run from spec to record, for every task and number of devices.

Also a program: `python -m torch.distributed.run … -m cvbench.harness JOB.json` is how an executor starts a run on
several devices. The harness itself never launches processes.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cvbench import catalog
from cvbench.batch_norm import images_normalised
from cvbench.callbacks import OnEvent, Progress, StepSeeds, Throughput, ValidateLast, derived_seed
from cvbench.checkpoints import Checkpoints, TakenUp, Tries
from cvbench.costs import PeakMemory
from cvbench.data.base import DatasetInfo
from cvbench.data.files import sha256
from cvbench.data_here import load_dataset
from cvbench.devices import check_precision, pick_accelerator, set_tf32
from cvbench.events import Event
from cvbench.failure import Failure
from cvbench.finalising import finalise, seed_everything
from cvbench.loading.datamodule import DataModule
from cvbench.logs import logged_to, stacks_after
from cvbench.machine import Machine
from cvbench.models.weights import load_backbone, load_weights
from cvbench.record import Record, write_atomically
from cvbench.results import Tested, conclude, executed
from cvbench.resuming import conditions, fit, look, tell_taken_up
from cvbench.sharding import make_whole
from cvbench.spec import ModelRef, RunSpec, Weights
from cvbench.tasks.base import Predictions, Task
from cvbench.telling import said
from cvbench.trainer import Length, best_checkpoint, build_trainer, check_shares, training_length

log = logging.getLogger(__name__)
_FULL_BYTES = 64 << 10  # less than this is left: what failed, failed of it


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
    rank = _rank(machine)
    own_log = folder / (f"log-rank{rank}.txt" if rank else "log.txt")
    with logged_to(own_log), stacks_after(machine.time_limit, own_log):
        try:
            return _run(spec, machine, folder, tell)
        except Exception as error:
            if shutil.disk_usage(folder).free < _FULL_BYTES:  # of which torch's writer says "unexpected pos 64 vs 0"
                raise OSError(
                    errno.ENOSPC, "the store's disk is full; make room, then run again", str(folder)
                ) from error
            raise


def _run(spec: RunSpec, machine: Machine, folder: Path, tell: OnEvent) -> Record | None:
    tries, memory = Tries(datetime.now(UTC)), PeakMemory()
    recipe, accelerator = spec.recipe, pick_accelerator(machine)
    check_precision(recipe.precision, accelerator)
    share = machine.share(recipe.batch_size)
    set_tf32(recipe.precision)
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
        log.info("initialised afresh, not from the weights: %s", ", ".join(reinitialised))
    if spec.mode == "train" and frozen_as_drawn(spec.model):
        tell(Event("note", spec, message="`freeze` is set, but no weights are given: random layers will stay random"))
    kind = task_class(spec.task)
    data = DataModule(dataset, recipe, machine, targets=kind.targets, ref=spec.dataset, seed=spec.seed,
                      batch_size=share.batch_per_device)  # fmt: skip
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
    if descend:
        check_shares(recipe, machine, len(dataset.splits["train"]))
    data.steps_per_epoch = length.steps_per_epoch
    task = kind(model, info, recipe, length.steps)
    task.accumulate(share.accumulate, share.batch_per_device)
    if share.accumulate > 1 and descend:
        parts = f"{share.accumulate} parts of {share.batch_per_device}"
        log.info("a device's share of a batch is taken in %s, which is all that batch norm sees at once", parts)
    if train and recipe.class_weights != "none":
        task.balance_classes(dataset.splits["train"])
    best = best_checkpoint(spec, folder) if validate else None
    task.look_at(dataset.splits)
    per_epoch = length.steps_per_epoch * min(recipe.batch_size, len(dataset.splits["train"])) if descend else 0
    timing = Throughput(per_epoch)
    callbacks = [StepSeeds(spec.seed), ValidateLast(), Progress(spec, length.epochs, length.steps, tell), timing]
    callbacks += [best] if best is not None else []
    normalised = images_normalised(model, recipe, machine) if descend else None
    now = conditions(spec, machine, accelerator, threads, info)
    taken_up = look(folder, now) if descend else TakenUp()
    if descend:
        callbacks.append(Checkpoints(folder, machine.checkpoint_every, now, taken_up, tries, timing, memory))
    sharded, unsharded = machine.sharded and descend, machine.model_copy(update={"strategy": "ddp"})
    trainer = build_trainer(spec, machine if sharded else unsharded, accelerator, folder, length, validate, callbacks)
    selected_epoch = None
    if descend:
        tell_taken_up(taken_up, spec, (length.epochs, length.steps), tell)
        fit(trainer, task, data, taken_up)
        make_whole(trainer, task)
    if sharded:  # tested as any other checkpoint is: how it was trained must not show
        untracked = unsharded.model_copy(update={"tracker": "none"})
        trainer = build_trainer(spec, untracked, accelerator, folder, length, False, [timing])
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
    execution = executed(spec, machine, accelerator, threads, normalised, tries.resumed)
    return conclude(
        Tested(spec, machine, folder, dataset, info, task, selected_epoch, timing, memory, execution, tries)
    )


def main(job: Path) -> None:
    """One process of a distributed run. JOB.json: {spec, machine, folder}; rank 0 prints events as `said` has them."""
    import json

    given = json.loads(job.read_text(encoding="utf-8"))
    _end_without(given.get("launcher"))
    machine = Machine.model_validate_json(json.dumps(given["machine"]))
    rank, folder = _rank(machine), Path(given["folder"])

    def tell(event: Event) -> None:
        if not rank:
            print(said(event), flush=True)

    if not rank:
        print("@began", flush=True)
    try:
        run(
            RunSpec.model_validate_json(json.dumps(given["spec"])),
            machine,
            folder,
            on_event=tell,
        )
    except Exception as error:
        told = Failure.of(RunSpec.model_validate_json(json.dumps(given["spec"])), error)
        write_atomically(folder / f"failure-rank{rank}.json", told.model_dump_json())
        raise
    if rank:
        (folder / f"log-rank{rank}.txt").unlink(missing_ok=True)  # of use only where something went wrong
    # What there is to say is on disk. Taking Python and libtorch down in order is left out: once in some hundred runs
    # that met a thread of the process group's still alive, and the process ended by SIGABRT, its run counted as killed.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _rank(machine: Machine) -> int:
    """This process's place among those of the run, as its launcher says."""
    return int(os.environ.get("RANK", "0")) if machine.world > 1 else 0


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

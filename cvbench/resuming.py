"""A run that was killed in mid-training goes on from its last checkpoint: on the CPU to the same bits as if it had not.

The working folder holds one checkpoint, `resume.ckpt`, which each new one replaces in one piece, and beside it the best
weights as they were then. In it, besides what Lightning saves: the place in the epoch, the losses and curves so far,
random states, clocks, and the conditions under which it was made. Exact also on two processes; more of them add up the
gradients of the first step after it in another order.
"""

from __future__ import annotations

import logging
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import lightning as L
import torch

from cvbench.callbacks import OnEvent
from cvbench.checkpoints import Checkpoints, TakenUp, clear
from cvbench.data.base import DatasetInfo
from cvbench.data.files import sha256
from cvbench.devices import Accelerator, device_name
from cvbench.environment import environment
from cvbench.events import Event
from cvbench.machine import Machine
from cvbench.spec import RunSpec
from cvbench.tasks.base import Task
from cvbench.working import CHECKPOINT

log = logging.getLogger(__name__)


def conditions(
    spec: RunSpec, machine: Machine, accelerator: Accelerator, threads: int, info: DatasetInfo
) -> dict[str, str | int]:
    """What must be as it was for a run to go on to the same numbers: in people's words -> value."""
    versions = environment()["versions"]
    code = {f"the code of {name}": digest for name, digest in _plugins(spec).items()}
    return {
        "the run": spec.run_id,
        "the data": info.revision,
        **{f"the version of {name}": versions.get(name, "") for name in ("cvbench", "torch", "lightning", "numpy")},
        "the device": device_name(accelerator),
        "the number of devices": machine.devices,
        "the number of threads": threads,
        "the number of nodes": machine.nodes,
        "the strategy": machine.strategy,
        "the number of parts of a batch": machine.share(spec.recipe.batch_size).accumulate,
        **code,
    }


def _plugins(spec: RunSpec) -> dict[str, str]:
    """Somebody's own files that the run names (`my_models:build`), by content; what is shipped has a VERSION."""
    found = {}
    for name in (spec.dataset.name, spec.model.name):
        file = getattr(sys.modules.get(name.partition(":")[0]), "__file__", None) if ":" in name else None
        if file:
            found[name] = sha256(Path(file))
    return found


def look(folder: Path, now: Mapping[str, str | int]) -> TakenUp:
    """Judges the checkpoint in a working folder and changes nothing: each process of a run decides alike."""
    file = folder / CHECKPOINT
    if not file.is_file():
        return TakenUp()
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()  # torch itself does not look at the checksums
        if broken is not None:
            raise ValueError(f"{broken} has another checksum")
        saved = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        ours = saved["callbacks"][Checkpoints.__qualname__]
        epoch, step, best = int(saved["epoch"]), int(saved["global_step"]), ours["best"]
        made = dict(ours["conditions"])
    except Exception as error:  # whatever a damaged file leads to
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return TakenUp(problem=f"its checkpoint is damaged ({reason}) and set aside", damaged=True)
    other = [name for name in {**made, **now} if made.get(name) != now.get(name)]
    if other:
        name = other[0]
        return TakenUp(problem=f"{name} is another one: {made.get(name, 'none')} before, {now.get(name, 'none')} now")
    if best is not None and not (folder / best).is_file():
        return TakenUp(problem="the best weights beside its checkpoint are gone")
    return TakenUp(file, epoch=epoch, step=step, best=best)


def tell_taken_up(found: TakenUp, spec: RunSpec, length: tuple[int, int], tell: OnEvent) -> None:
    """Says where a run goes on, or why it cannot. length: its (epochs, steps)."""
    epochs, steps = length
    if found.file is not None:
        where = f"goes on from its last checkpoint, step {found.step:,} of {steps:,}"
        tell(Event("resume", spec, min(found.epoch + 1, epochs), epochs, found.step / max(1, steps), message=where))
        log.info("%s", where)
    elif found.problem is not None:
        message = f"begins anew and not where it was killed: {found.problem}"
        tell(Event("note", spec, message=message))
        log.warning("%s", message)


def fit(trainer: L.Trainer, task: Task, data: L.LightningDataModule, found: TakenUp) -> None:
    """Trains, from the start or from the checkpoint; one that Lightning cannot go on from is set aside, and raises."""
    checkpoints = next(callback for callback in trainer.callbacks if isinstance(callback, Checkpoints))  # type: ignore[attr-defined]
    try:
        trainer.fit(task, datamodule=data, ckpt_path=found.file, weights_only=True)
    except Exception:
        if found.file is not None and not checkpoints.under_way and trainer.is_global_zero:
            clear(checkpoints.folder, keep_damaged=True)  # the next try is not to fail of it again
        raise

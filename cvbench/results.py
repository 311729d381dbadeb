"""From a tested model to what the store keeps: scores, evidence, truth, curves, weights, and last the record."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cvbench import catalog, costs
from cvbench.arrays import digest, save_arrays
from cvbench.callbacks import Throughput
from cvbench.checkpoints import Tries
from cvbench.data.base import Dataset, DatasetInfo
from cvbench.data.files import sha256
from cvbench.devices import Accelerator, device_name
from cvbench.environment import environment
from cvbench.gallery import GALLERY
from cvbench.language.vocabulary import VOCABULARY_FILE, to_text
from cvbench.machine import Machine
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.pictures import as_input, draw_samples, keep_gallery
from cvbench.record import (
    Costs,
    DatasetFacts,
    EvidenceFile,
    Execution,
    Record,
    Selection,
    write_atomically,
    write_record,
)
from cvbench.scored import on_test, scored
from cvbench.spec import RunSpec
from cvbench.tasks.base import Task
from cvbench.working import clear_checkpoints, to_disk


@dataclass(frozen=True)
class Tested:
    """A run after its test: everything that the record is made from.

    selected_epoch: from 1, of the checkpoint that was tested; None where nothing was selected on val.
    """

    spec: RunSpec
    machine: Machine
    folder: Path
    dataset: Dataset
    info: DatasetInfo
    task: Task
    selected_epoch: int | None
    timing: Throughput
    memory: costs.PeakMemory
    execution: Execution
    tries: Tries


def executed(
    spec: RunSpec,
    machine: Machine,
    accelerator: Accelerator,
    threads: int,
    batch_norm_batch: int | None,
    resumed: int,
) -> Execution:
    """How this machine carried out the recipe."""
    share = machine.share(spec.recipe.batch_size)
    return Execution(
        accelerator=accelerator,
        devices=machine.devices,
        nodes=machine.nodes,
        strategy=machine.strategy if machine.world > 1 else None,
        device_name=device_name(accelerator),
        threads=threads,
        jobs=machine.jobs,
        batch_per_device=share.batch_per_device,
        accumulate=share.accumulate if spec.mode == "train" else 1,
        batch_norm_batch=batch_norm_batch,
        resumed=resumed,
    )


def conclude(run: Tested) -> Record:
    """Scores the gathered evidence and writes everything, the record last. RuntimeError if a sample is missing."""
    spec, task = run.spec, run.task
    ids = np.asarray(run.dataset.splits["test"].ids)
    index = task.tested["index"]
    if not np.array_equal(index, np.arange(len(ids))):
        raise RuntimeError(f"{len(index)} of {len(ids)} test samples were scored; every one must be, exactly once")
    evidence, truth = task.split_evidence(task.tested, ids)
    found = scored(spec.task, evidence, truth)
    if spec.primary not in found.metrics:
        raise ValueError(
            f"{run.info.name}: split 'test': Expected something that the primary metric {spec.primary} is defined by, "
            f"but there is nothing; rank by one of {', '.join(found.metrics)}"
        )
    chosen = next((row for row in task.curves if row["epoch"] == run.selected_epoch), {})
    val = {name: value for name, value in chosen.items() if name.startswith("val/")}
    _, metrics = catalog.metrics(spec.task)
    evidence_file = run.folder / "evidence.npz"
    save_arrays(evidence_file, evidence)
    save_arrays(run.folder / "truth.npz", truth)
    record = Record(
        run_id=spec.run_id,
        group_id=spec.group_id,
        spec=spec,
        dataset=DatasetFacts.of(run.info),
        metrics=on_test(found.metrics) | val,
        directions=on_test(found.directions) | {name: metrics[name.removeprefix("val/")][0] for name in val},
        absent_metrics=found.absent_metrics,
        per_class=found.per_class,
        absent_classes=found.absent_classes,
        costs=_costs(run, len(ids)),
        samples={"test": len(ids)},
        evidence=EvidenceFile(
            sha256=sha256(evidence_file), size_bytes=evidence_file.stat().st_size, truth=digest(truth)
        ),
        selection=_selection(run, chosen),
        execution=run.execution,
        environment=environment(),
        evaluator_version=EVALUATOR_VERSION,
        started_at=run.tries.started_at,
    )
    if run.info.vocabulary is not None:
        write_atomically(run.folder / VOCABULARY_FILE, to_text(run.info.vocabulary))
    _write_curves(run.folder / "curves.csv", task.curves)
    confusion = getattr(task.scores, "confusion", None)
    if confusion is not None:
        _write_confusion(run.folder / "confusion.csv", confusion(evidence, truth), run.info.classes)
    title = f"{spec.name}: image, prediction, truth"
    torch.save(task.model.state_dict(), run.folder / "model.pt")
    draw_samples(task, run.dataset.splits["test"], run.folder / "samples.png", title=title)
    keep_gallery(task, run.dataset.splits["test"], task.scores.by_sample(evidence, truth), run.folder / GALLERY)
    # Whenever it is killed, there is a checkpoint to go on from, or a record with all that it speaks of.
    to_disk(run.folder)
    write_record(record, run.folder / "record.json")
    clear_checkpoints(run.folder)
    return record


def _selection(run: Tested, chosen: dict[str, float]) -> Selection:
    """Which checkpoint was tested, from its row of the curves; an empty row: none was selected."""
    spec = run.spec
    if spec.mode == "evaluate":
        return Selection(rule="the given weights")
    if not run.timing.images:
        return Selection(rule="nothing to select: the model is not trained by gradient descent")
    if not chosen:
        return Selection(rule="last epoch (the data set has no val split)", epoch=spec.recipe.epochs)
    key, (_, metrics) = f"val/{spec.primary}", catalog.metrics(spec.task)
    word = {"max": "highest", "min": "lowest"}[metrics[spec.primary][0]]
    epoch, step = int(chosen["epoch"]), int(chosen["step"])
    return Selection(rule=f"{word} {key}{_validated(run)}", epoch=epoch, step=step, value=chosen[key])


def _validated(run: Tested) -> str:
    """In words, where the selection looked at a part of val only."""
    most, size = run.task.targets.most_validated, len(run.dataset.splits["val"])
    return "" if most is None or size <= most else f" on a fixed sample of {most:,} of {size:,}"


def _costs(run: Tested, tested: int) -> Costs:
    task, timing = run.task, run.timing
    peak = run.memory.read()
    image = as_input(task, run.dataset.splits["test"][0].image)
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(task.recipe.precision)
    accelerator = run.execution.accelerator
    task.to(accelerator)
    use_cache: Callable[[Path | None], None] | None = getattr(task.model, "use_cache", None)
    if use_cache is not None:
        use_cache(None)  # latency is of an image that was never seen
    autocast = torch.autocast(accelerator, dtype=dtype, enabled=dtype is not None)
    p50, p95 = costs.latency(task, image.to(accelerator), autocast=autocast)
    task.to("cpu")
    return Costs(
        parameters=costs.parameters(task.model),
        macs=costs.macs(task.predictor(), image),
        train_seconds=timing.train_seconds + (timing.finalise_seconds or 0.0) or None,
        finalise_seconds=timing.finalise_seconds,
        train_images_per_second=timing.images / timing.train_seconds if timing.train_seconds else None,
        test_seconds=timing.test_seconds,
        test_images_per_second=tested / timing.test_seconds,
        latency_p50_seconds=p50,
        latency_p95_seconds=p95,
        peak_memory_bytes=peak,
        train_energy_joules=timing.train_joules if run.machine.jobs in (None, 1) else None,
    )


def _write_curves(path: Path, rows: list[dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _write_confusion(path: Path, counts: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    """Rows are the truth, columns what was said; `none` counts predictions that are no class."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["truth", *classes, "none"])
        writer.writerows([name, *row] for name, row in zip(classes, counts.tolist(), strict=True))

"""From a tested model to what the store keeps: scores, evidence, truth, curves, weights, and last the record."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from numpy.typing import NDArray

from cvbench import catalog, costs
from cvbench.callbacks import Throughput
from cvbench.data.base import Dataset, DatasetInfo
from cvbench.devices import device_name
from cvbench.environment import environment
from cvbench.machine import Machine
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Costs, DatasetFacts, Execution, Record, Selection, write_record
from cvbench.spec import RunSpec
from cvbench.tasks.base import Task

Arrays = dict[str, NDArray[Any]]


def conclude(
    spec: RunSpec,
    machine: Machine,
    folder: Path,
    dataset: Dataset,
    info: DatasetInfo,
    task: Task,
    best: ModelCheckpoint | None,
    timing: Throughput,
    memory: costs.PeakMemory,
    *,
    accelerator: str,
    threads: int,
    started_at: datetime,
) -> Record:
    """Scores the gathered evidence and writes everything, the record last. Raises RuntimeError if a sample is missing."""
    ids = np.asarray(dataset.splits["test"].ids)
    scored = task.tested["index"]
    if not np.array_equal(scored, np.arange(len(ids))):
        raise RuntimeError(f"{len(scored)} of {len(ids)} test samples were scored; every one must be, exactly once")
    evidence, truth = task.split_evidence(task.tested, ids)
    scores, per_class = task.scores.score(evidence, truth), task.scores.per_class(evidence, truth)
    selection = _selection(spec, task, best)
    val = {} if best is None else _val_scores(task, selection)
    absent = sorted({name for values in per_class.values() for name, value in values.items() if value is None})
    _, metrics = catalog.metrics(spec.task)
    found = {f"test/{name}": value for name, value in scores.items()} | val
    record = Record(
        run_id=spec.run_id,
        group_id=spec.group_id,
        spec=spec,
        dataset=_facts(info),
        metrics=found,
        directions={name: metrics[name.partition("/")[2]][0] for name in found},
        per_class=per_class,
        absent_classes=tuple(absent),
        costs=_costs(task, info, timing, memory, accelerator, len(ids)),
        samples={"test": len(ids)},
        selection=selection,
        execution=Execution(
            accelerator=accelerator,
            devices=machine.devices,
            device_name=device_name(accelerator),  # type: ignore[arg-type]
            threads=threads,
            batch_per_device=spec.recipe.batch_size // machine.devices,
        ),
        environment=environment(),
        evaluator_version=EVALUATOR_VERSION,
        started_at=started_at,
    )
    save_arrays(folder / "evidence.npz", evidence)
    _save_truth(folder, info, truth)
    _write_curves(folder / "curves.csv", task.curves)
    torch.save(task.model.state_dict(), folder / "model.pt")
    (folder / "best.ckpt").unlink(missing_ok=True)
    write_record(record, folder / "record.json")
    return record


def _selection(spec: RunSpec, task: Task, best: ModelCheckpoint | None) -> Selection:
    if spec.mode == "evaluate":
        return Selection(rule="the given weights")
    if best is None:
        return Selection(rule="last epoch (the data set has no val split)", epoch=task.recipe.epochs)
    word = {"max": "highest", "min": "lowest"}[best.mode]
    value = float(best.best_model_score) if best.best_model_score is not None else None
    row = next((row for row in task.curves if row.get(f"val/{spec.primary}") == value), {})
    return Selection(
        rule=f"{word} val/{spec.primary}", epoch=_whole(row.get("epoch")), step=_whole(row.get("step")), value=value
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _val_scores(task: Task, selection: Selection) -> dict[str, float]:
    row = next((row for row in task.curves if row.get("epoch") == selection.epoch), {})
    return {name: value for name, value in row.items() if name.startswith("val/")}


def _costs(
    task: Task, info: DatasetInfo, timing: Throughput, memory: costs.PeakMemory, accelerator: str, tested: int
) -> Costs:
    assert info.input_size is not None
    shape = (info.channels, *info.input_size)
    peak = memory.read()
    device = {"cpu": "cpu", "cuda": "cuda", "mps": "mps"}[accelerator]
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(task.recipe.precision)
    task.to(device)
    autocast = torch.autocast(device, dtype=dtype, enabled=dtype is not None)
    p50, p95 = costs.latency(task, torch.zeros((1, *shape), device=device), autocast=autocast)
    task.to("cpu")
    return Costs(
        parameters=costs.parameters(task.model),
        macs=costs.macs(task.model, shape),
        train_seconds=timing.train_seconds or None,
        train_images_per_second=timing.images / timing.train_seconds if timing.train_seconds else None,
        test_seconds=timing.test_seconds,
        test_images_per_second=tested / timing.test_seconds,
        latency_p50_seconds=p50,
        latency_p95_seconds=p95,
        peak_memory_bytes=peak,
    )


def _facts(info: DatasetInfo) -> DatasetFacts:
    return DatasetFacts(
        protocol=dict(info.protocol),
        revision=info.revision,
        classes=info.classes,
        colours=info.colours,
        split_sizes=dict(info.split_sizes),
        licence=info.licence,
        redistributable=info.redistributable,
    )


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Writes an .npz that `numpy.load(allow_pickle=False)` reads, atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp.npz")
    try:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def truth_path(folder: Path, info: DatasetInfo) -> Path:
    """Where the store keeps the truth of one revision under one protocol: `<store>/<dataset>/truth-….npz`."""
    facts = json.dumps([info.task, info.revision, dict(info.protocol)], sort_keys=True)
    return folder.parents[1] / f"truth-{hashlib.sha256(facts.encode()).hexdigest()[:12]}.npz"


def _save_truth(folder: Path, info: DatasetInfo, truth: Arrays) -> None:
    path = truth_path(folder, info)
    if not path.is_file():
        save_arrays(path, truth)


def _write_curves(path: Path, rows: list[dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)

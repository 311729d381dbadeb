"""A finished run as a model again: from its record and its `model.pt`, without its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from cvbench import catalog
from cvbench.data.base import DatasetInfo
from cvbench.harness import build_model, task_class
from cvbench.language.vocabulary import VOCABULARY_FILE, from_text
from cvbench.models.weights import load_weights
from cvbench.record import Record, read_record
from cvbench.spec import ModelRef
from cvbench.tasks.base import Task

# Options of models that fetch published weights of a part: fcn's, torchvision's and smp's.
FETCHING = ("backbone_weights", "weights_backbone", "encoder_weights")


def load_task(folder: Path | str, *, plugins: bool = False) -> tuple[Task, Record]:
    """The run's task in eval mode on the CPU, with the selected weights, and its record.

    folder: of one run (`runs/<dataset>/<model>/<run_id>`). plugins: run also a model of somebody's own, which the
    record names. Raises ValueError where it holds no finished run, or such a model that is not allowed.
    """
    folder = Path(folder)
    if not (folder / "record.json").is_file():
        found = sorted(path.parent for path in folder.glob("**/record.json"))[:3]
        near = f"; below it: {', '.join(map(str, found))}" if found else ""
        raise ValueError(f"{folder}: Expected the folder of a finished run (with record.json), but it is none{near}")
    record = read_record(folder / "record.json")
    if record.submission is not None:
        raise ValueError(
            f"{folder}: Expected a run with its model, but got a submission, of which only results are here"
        )
    catalog.refuse_plugins([record.spec.model.name], folder / "record.json", allowed=plugins)
    facts = {name: getattr(record.dataset, name) for name in type(record.dataset).model_fields}
    words = folder / VOCABULARY_FILE
    vocabulary = from_text(words.read_text(encoding="utf-8")) if words.is_file() else None
    info = DatasetInfo(name=record.spec.dataset.name, task=record.spec.task, vocabulary=vocabulary, **facts)
    model, _ = build_model(without_weights(record.spec.model), info, record.spec.task, strict_weights=True)
    load_weights(model, folder / "model.pt", strict=True)
    task = task_class(record.spec.task)(model, info, record.spec.recipe, total_steps=1)
    return task.eval(), record


def without_weights(ref: ModelRef) -> ModelRef:
    """The same architecture with no weights to fetch, whole or of a part: the run's own replace them all."""
    options: dict[str, Any] = {name: None if name in FETCHING else value for name, value in ref.options.items()}
    return ref.model_copy(update={"weights": None, "backbone_weights": None, "options": options})


def load_model(folder: Path | str, *, plugins: bool = False) -> nn.Module:
    """The selected model of a finished run: float images (B, C, H, W) in [0, 1] -> what its architecture returns.

    plugins: see `load_task`, also for the errors.
    """
    return load_task(folder, plugins=plugins)[0].model

"""A `Suite` -> the list of its runs. Pure: reads the catalog and the given weights files; no torch, builds nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cvbench import catalog
from cvbench.checks import is_path, weights_file
from cvbench.spec import (
    DEFAULT_EPOCHS,
    Benchmark,
    DatasetEntry,
    DatasetRef,
    ModelEntry,
    ModelRef,
    RunSpec,
    Suite,
    Weights,
)


def plan(suite: Suite) -> list[RunSpec]:
    """Every (benchmark, dataset, model, seed) in the order of the files; options, defaults and VERSIONs are filled in.

    Raises ValueError for names, options and weights that are not there, where no `load_suite` has checked them.
    """
    return [run for benchmark in suite.benchmarks for run in _runs(suite, benchmark)]


def _runs(suite: Suite, benchmark: Benchmark) -> Iterator[RunSpec]:
    task_version = catalog.find("tasks", benchmark.task).version
    assert task_version is not None, f"tasks/{benchmark.task}.py has no literal VERSION"
    primary, _ = catalog.metrics(benchmark.task)
    models = [(item, _model(benchmark, item)) for item in benchmark.models]
    for dataset in benchmark.datasets:
        dataset_ref = _dataset(benchmark, dataset)
        for model, model_ref in models:
            recipe = benchmark.recipe.changed(dataset.recipe, model.recipe)
            if recipe.epochs is None and recipe.steps is None:
                recipe = recipe.changed({"epochs": DEFAULT_EPOCHS})
            for seed in benchmark.seeds:
                yield RunSpec(
                    task=benchmark.task,
                    mode=benchmark.mode,
                    primary=benchmark.primary or primary,
                    dataset=dataset_ref,
                    model=model_ref,
                    recipe=recipe,
                    seed=seed,
                    task_version=task_version,
                    suite=suite.name,
                    benchmark=benchmark.name,
                    label=model.label or model.name,
                    backbone=model.backbone or "",
                    overrides=tuple(sorted(model.recipe)),
                )


def _dataset(benchmark: Benchmark, item: DatasetEntry) -> DatasetRef:
    entry = catalog.find("datasets", item.name, benchmark.task)
    return DatasetRef(name=item.name, options=_options(entry, item), version=entry.version)


def _model(benchmark: Benchmark, item: ModelEntry) -> ModelRef:
    entry = catalog.find("models", item.name, benchmark.task)
    weights = of_backbone = None
    if item.weights is not None:
        local = is_path(item.weights)
        weights = _local(benchmark, "weights", item.weights) if local else Weights(source=item.weights)
    if item.backbone_weights is not None:
        of_backbone = _local(benchmark, "backbone_weights", item.backbone_weights)
    return ModelRef(
        name=item.name,
        options=_options(entry, item),
        version=entry.version,
        weights=weights,
        backbone_weights=of_backbone,
    )


def _local(benchmark: Benchmark, key: str, given: str) -> Weights:
    try:
        file = weights_file(benchmark.file, given)
    except ValueError as error:
        raise ValueError(f"{benchmark.file}: {key}: {error}") from None
    changed = file.stat()
    return Weights(source=str(file), sha256=_sha256(file, changed.st_mtime_ns, changed.st_size))


def _options(entry: catalog.Entry, item: DatasetEntry | ModelEntry) -> dict[str, Any]:
    options, wrong = catalog.complete(entry, item.options)
    if wrong:
        raise ValueError("\n".join(wrong.values()))
    return options


@cache
def _sha256(file: Path, changed_ns: int, size: int) -> str:
    """Of the file as it is now: time and size are there so that a file that was written anew is read anew."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

"""A `Suite` -> the list of its runs. Pure: reads the catalog and the given weights files, imports no torch, builds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cvbench import catalog
from cvbench.spec import Benchmark, DatasetEntry, DatasetRef, ModelEntry, ModelRef, RunSpec, Suite, Weights
from cvbench.suite import merge_recipe, weights_file


def plan(suite: Suite) -> list[RunSpec]:
    """Every (benchmark, dataset, model, seed) in the order of the files; options, defaults and VERSIONs are filled in."""
    return [run for benchmark in suite.benchmarks for run in _runs(suite, benchmark)]


def _runs(suite: Suite, benchmark: Benchmark) -> Iterator[RunSpec]:
    primary, _ = catalog.metrics(benchmark.task)
    task_version = next(entry.version for entry in catalog.entries("tasks") if entry.name == benchmark.task)
    for dataset in benchmark.datasets:
        dataset_ref = _dataset(benchmark, dataset)
        for model in benchmark.models:
            model_ref = _model(benchmark, model)
            recipe = merge_recipe(benchmark.recipe, dataset.recipe, model.recipe)
            if recipe.epochs is None and recipe.steps is None:
                recipe = merge_recipe(recipe, {"epochs": 10})
            for seed in benchmark.seeds:
                yield RunSpec(
                    task=benchmark.task,
                    mode=benchmark.mode,
                    primary=benchmark.primary or primary,
                    dataset=dataset_ref,
                    model=model_ref,
                    recipe=recipe,
                    seed=seed,
                    task_version=task_version or 1,
                    suite=suite.name,
                    benchmark=benchmark.name,
                    label=model.label or model.name,
                    overrides=tuple(sorted(model.recipe)),
                )


def _dataset(benchmark: Benchmark, item: DatasetEntry) -> DatasetRef:
    entry = catalog.find("datasets", item.name, benchmark.task)
    options, _ = catalog.complete(entry, item.options)
    return DatasetRef(name=item.name, options=options, version=entry.version)


def _model(benchmark: Benchmark, item: ModelEntry) -> ModelRef:
    entry = catalog.find("models", item.name, benchmark.task)
    options, _ = catalog.complete(entry, item.options)
    weights = None
    if item.weights:
        file = weights_file(benchmark, item.weights)
        weights = Weights(source=str(file), sha256=_sha256(file)) if file else Weights(source=item.weights)
    return ModelRef(name=item.name, options=options, version=entry.version, weights=weights)


@cache
def _sha256(file: Path) -> str:
    import hashlib

    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

"""A `Suite` -> the list of its runs. Pure: reads the catalog and the given weights files; no torch, builds nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cvbench import catalog
from cvbench.candidates import named, nested
from cvbench.checks import is_path, weights_file
from cvbench.spec import (
    Benchmark,
    Candidates,
    DatasetEntry,
    DatasetRef,
    ModelEntry,
    ModelRef,
    RunSpec,
    Suite,
    Weights,
)


class Line(NamedTuple):
    """One model on one dataset: what becomes a row of a table.

    candidates: with the first seed; values: what each changes. Where nothing is tuned it is one, and values is empty.
    """

    candidates: tuple[RunSpec, ...]
    values: Candidates
    seeds: tuple[int, ...]

    @property
    def tuned(self) -> bool:
        return bool(self.values)

    def final(self, chosen: int) -> list[RunSpec]:
        """The runs of all seeds with the recipe of one candidate; its own run is the first of them."""
        run = self.candidates[chosen]
        return [run.model_copy(update={"seed": seed, "candidate": ""}) for seed in self.seeds]


def plan(suite: Suite) -> list[RunSpec]:
    """Every (benchmark, dataset, model, seed) in the order of the files; options, defaults and VERSIONs are filled in.

    Of a model whose recipe is tuned it is the candidates, each with the first seed: which recipe all seeds get follows
    from their records (`tuning.tuned`). Raises ValueError for names, options and weights that are not there, where no
    `load_suite` has checked them.
    """
    return [run for line in lines(suite) for run in (line.candidates if line.tuned else line.final(0))]


def lines(suite: Suite) -> list[Line]:
    """Every (benchmark, dataset, model), before anything is chosen. Raises as `plan`."""
    return [line for benchmark in suite.benchmarks for line in _lines(suite, benchmark)]


def _lines(suite: Suite, benchmark: Benchmark) -> Iterator[Line]:
    task_version = catalog.find("tasks", benchmark.task).version
    assert task_version is not None, f"tasks/{benchmark.task}.py has no literal VERSION"
    primary, _ = catalog.metrics(benchmark.task)
    models = [(item, _model(benchmark, item)) for item in benchmark.models]
    for dataset in benchmark.datasets:
        dataset_ref, values = _dataset(benchmark, dataset), benchmark.candidates_on(dataset)
        for model, model_ref in models:
            recipe = benchmark.recipe.changed(dataset.recipe, model.recipe)
            run = RunSpec(
                task=benchmark.task,
                mode=benchmark.mode,
                primary=benchmark.primary or primary,
                dataset=dataset_ref,
                model=model_ref,
                recipe=recipe.with_length(),
                seed=benchmark.seeds[0],
                task_version=task_version,
                suite=suite.name,
                benchmark=benchmark.name,
                label=model.label or model.name,
                backbone=model.backbone or "",
                overrides=tuple(sorted(model.recipe)),
            )
            tried = [
                {"recipe": recipe.changed(nested(change)).with_length(), "candidate": named(change)}
                for change in values
            ]
            candidates = tuple(run.model_copy(update=update) for update in tried)
            yield Line(candidates or (run,), values, benchmark.seeds)


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

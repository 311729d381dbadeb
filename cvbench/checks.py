"""Whether what a benchmark names is there and fits: task, metric, datasets, models, options, weights, recipe overrides.

Looks at the mapping as it was read and passes over what is of the wrong type, so that misspelt names are told together
with misspelt keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from cvbench import catalog
from cvbench.spec import Recipe
from cvbench.yamlfile import Document, Loc, Problem

Kind = Literal["datasets", "models"]


def weights_file(benchmark: Path, weights: str) -> Path | None:
    """The local file that `weights:` names, beside the benchmark or in the current folder; None where there is none."""
    places = (benchmark.parent / weights, Path(weights).expanduser())
    return next((place.resolve() for place in places if place.is_file()), None)


def is_path(weights: str) -> bool:
    """Whether `weights:` names a local file, not what a zoo has published."""
    return "/" in weights or Path(weights).suffix in {".pt", ".pth", ".ckpt", ".safetensors"}


def check_names(document: Document, file: Path) -> list[Problem]:
    """Every name in `document.data` that the catalog or the disk does not have, or that does not fit the others."""
    data, problems = document.data, []
    task = data.get("task") if isinstance(data.get("task"), str) else None
    known = [entry.name for entry in catalog.entries("tasks")]
    if task is not None and task not in known:
        problems.append(document.problem(("task",), f"unknown task {task!r}{catalog.nearest(task, known)}"))
        task = None
    primary = data.get("primary")
    if task is not None and isinstance(primary, str):
        _, metrics = catalog.metrics(task)
        if primary not in metrics:
            rule = f"unknown {task} metric {primary!r}{catalog.nearest(primary, metrics)}"
            problems.append(document.problem(("primary",), rule))
    problems += _check_labels(document)
    seeds = data.get("seeds")
    if data.get("mode") == "evaluate" and isinstance(seeds, list) and len(seeds) > 1:
        rule = "mode is evaluate: nothing is drawn, so every seed would repeat one number; give one seed"
        problems.append(document.problem(("seeds",), rule))
    for kind in ("datasets", "models"):
        for index, item in _items(data, kind):
            problems += _check_item(document, task, kind, index, item, file)
    return problems


def _items(data: Mapping[str, Any], kind: str) -> Iterable[tuple[int, dict[str, Any]]]:
    """(index, item) of those items that have a name."""
    items = data.get(kind)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("name"), str) and item["name"]:
            yield index, item


def _check_labels(document: Document) -> list[Problem]:
    """Two models of one label, two equal datasets, a baseline that is no model."""
    problems = []
    labels: list[str] = []
    for index, model in _items(document.data, "models"):
        label = model.get("label") or model["name"]
        if label in labels:
            problems.append(document.problem(("models", index), f"{label!r} stands twice; give one of them a `label`"))
        labels.append(label)
    datasets: list[Any] = []
    for index, dataset in _items(document.data, "datasets"):
        if dataset in datasets:
            problems.append(document.problem(("datasets", index), f"{dataset['name']!r} stands twice; remove one"))
        datasets.append(dataset)
    baseline = document.data.get("baseline")
    if isinstance(baseline, str) and labels and baseline not in labels:
        rule = f"unknown baseline {baseline!r}{catalog.nearest(baseline, map(str, labels))}"
        problems.append(document.problem(("baseline",), rule))
    return problems


def _check_item(
    document: Document, task: str | None, kind: Kind, index: int, item: Mapping[str, Any], file: Path
) -> list[Problem]:
    loc: Loc = (kind, index)
    try:
        entry = catalog.find(kind, item["name"], task)
    except catalog.UnknownNameError as error:
        return [document.problem((*loc, "name"), str(error))]
    problems = []
    options = item.get("options", {})
    if task is not None and isinstance(options, dict):
        _, wrong = catalog.complete(entry, options)
        problems += [document.problem((*loc, "options", option), message) for option, message in wrong.items()]
    if kind == "models":
        problems += _check_weights(document, loc, entry, item.get("weights"), file)
    return problems


def _check_weights(document: Document, loc: Loc, entry: catalog.Entry, weights: Any, file: Path) -> list[Problem]:
    if weights is None and document.data.get("mode") == "evaluate":
        return [document.problem(loc, f"mode is evaluate, so {entry.name} needs `weights`")]
    rule = None
    if isinstance(weights, str) and is_path(weights) and weights_file(file, weights) is None:
        rule = f"weights: no file {weights!r} (looked in {file.parent} and the current folder)"
    elif isinstance(weights, str) and weights and not is_path(weights) and not entry.zoo:
        rule = f"weights: {entry.name} has no published {weights!r}; give a file (.pt, .pth, .ckpt or .safetensors)"
    return [document.problem((*loc, "weights"), rule)] if rule else []


def recipe_errors(data: Mapping[str, Any]) -> Iterable[tuple[Loc, ValidationError]]:
    """Where a dataset's or model's own `recipe` does not fit the benchmark's, or the default where that is wrong."""
    try:
        base = Recipe().changed(data.get("recipe") or {})
    except (ValidationError, AttributeError, TypeError):
        base = Recipe()
    for kind in ("datasets", "models"):
        for index, item in _items(data, kind):
            if isinstance(item.get("recipe"), dict):
                try:
                    base.changed(item["recipe"])
                except ValidationError as error:
                    yield (kind, index, "recipe"), error

"""Whether what a benchmark names is there and fits: task, metric, datasets, models, options, weights, recipe overrides.

Looks at the mapping as it was read and passes over what is of the wrong type, so that misspelt names are told together
with misspelt keys.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from cvbench import catalog
from cvbench.redaction import secret_in, secrets
from cvbench.spec import Recipe
from cvbench.yamlfile import Document, Loc, Problem

Kind = Literal["datasets", "models"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Before the name of a file that lies in an installed Python package.
IN_PACKAGE = "package:"
SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")


def weights_file(benchmark: Path, weights: str) -> Path:
    """The local file that a benchmark names: inside a Python package, beside the benchmark or in the current folder.

    Raises ValueError where there is none, with what to do.
    """
    if weights.startswith(IN_PACKAGE):
        return _packaged(weights.removeprefix(IN_PACKAGE))
    places = (benchmark.parent / weights, Path(weights).expanduser())
    found = next((place.resolve() for place in places if place.is_file()), None)
    if found is None:
        raise ValueError(f"no file {weights!r} (looked in {benchmark.parent} and the current folder)")
    return found


def _packaged(name: str) -> Path:
    """The file PACKAGE/FILE of an installed Python package, which is not imported."""
    package, _, file = name.partition("/")
    if not package.isidentifier() or not file:
        raise ValueError(f"Expected {IN_PACKAGE}PACKAGE/FILE, but got {IN_PACKAGE + name!r}")
    spec = importlib.util.find_spec(package)  # of a name without dots: imports nothing
    if spec is None:
        remedy = f"pip install {package.replace('_', '-')}"
        raise ValueError(f"the Python package {package!r} is not installed: {remedy}")
    folders = [Path(folder).resolve() for folder in spec.submodule_search_locations or ()]
    for folder in folders:
        path = (folder / file).resolve()
        if path.is_file() and path.is_relative_to(folder):
            return path
    raise ValueError(f"no file {file!r} in the Python package {package!r} (looked in {', '.join(map(str, folders))})")


def is_path(weights: str) -> bool:
    """Whether `weights:` names a local file, not what a zoo has published."""
    return "/" in weights or weights.startswith(IN_PACKAGE) or Path(weights).suffix in SUFFIXES


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
        late = catalog.at_test(task) if data.get("mode") != "evaluate" else ()
        usable = ", ".join(name for name, (way, *_) in metrics.items() if way != "none" and name not in late)
        if primary in metrics and metrics[primary][0] == "none":
            rule = f"nothing can be ranked by {primary!r}, of which neither more nor less is better; take {usable}"
            problems.append(document.problem(("primary",), rule))
        elif primary in late:
            rule = f"{primary!r} is measured at the test alone, so that no model can be selected by it; take {usable}"
            problems.append(document.problem(("primary",), rule))
    problems += _check_labels(document)
    seeds = data.get("seeds")
    if data.get("mode") == "evaluate" and isinstance(seeds, list) and len(seeds) > 1:
        rule = "mode is evaluate: nothing is drawn, so every seed would repeat one number; give one seed"
        problems.append(document.problem(("seeds",), rule))
    for kind in KINDS:
        for index, item in items(data, kind):
            problems += _check_item(document, task, kind, index, item, file)
    return problems + list(_secrets(document, (), data, secrets()))


def _secrets(document: Document, loc: Loc, value: Any, known: Mapping[str, str]) -> Iterator[Problem]:
    """Passwords and keys: records and boards repeat what a benchmark says."""
    if isinstance(value, str) and (why := secret_in(value, known)) is not None:
        rule = f"{why}, which records and boards would show; let your own code read it from the environment"
        yield document.problem(loc, rule)
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _secrets(document, (*loc, key), item, known)


def items(data: Mapping[str, Any], kind: str) -> Iterable[tuple[int, dict[str, Any]]]:
    """(index, item) of those items that have a name."""
    found = data.get(kind)
    for index, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("name"), str) and item["name"]:
            yield index, item


def _check_labels(document: Document) -> list[Problem]:
    """Two models of one label, two equal datasets, a baseline that is no model."""
    problems = []
    labels: list[str] = []
    for index, model in items(document.data, "models"):
        label = model.get("label") or model["name"]
        if label in labels:
            problems.append(document.problem(("models", index), f"{label!r} stands twice; give one of them a `label`"))
        labels.append(label)
    datasets: list[Any] = []
    for index, dataset in items(document.data, "datasets"):
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
        problems += _check_backbone_weights(document, loc, item, file)
    return problems


def _check_weights(document: Document, loc: Loc, entry: catalog.Entry, weights: Any, file: Path) -> list[Problem]:
    if weights is None and document.data.get("mode") == "evaluate":
        return [document.problem(loc, f"mode is evaluate, so {entry.name} needs `weights`")]
    rule = None
    if isinstance(weights, str) and is_path(weights):
        rule = _no_file(file, weights)
    elif isinstance(weights, str) and weights and not entry.zoo:
        rule = f"{entry.name} has no published {weights!r}; give a file (.pt, .pth, .ckpt or .safetensors)"
    return [document.problem((*loc, "weights"), f"weights: {rule}")] if rule else []


def _check_backbone_weights(document: Document, loc: Loc, item: Mapping[str, Any], file: Path) -> list[Problem]:
    weights, rule = item.get("backbone_weights"), None
    if not isinstance(weights, str) or not weights:
        return []
    if item.get("weights") is not None:
        rule = "Expected `weights` or `backbone_weights`, but got both; those of the whole model hold the backbone's"
    elif not is_path(weights):
        rule = (
            f"Expected a file ({', '.join(SUFFIXES)}) or {IN_PACKAGE}PACKAGE/FILE, but got {weights!r}; published "
            "weights of a backbone are an option of the model, where it has one"
        )
    else:
        rule = _no_file(file, weights)
    return [document.problem((*loc, "backbone_weights"), f"backbone_weights: {rule}")] if rule else []


def _no_file(benchmark: Path, weights: str) -> str | None:
    """What is wrong with the file that a benchmark names; None if nothing is."""
    try:
        weights_file(benchmark, weights)
    except ValueError as error:
        return str(error)
    return None


def shared_recipe(data: Mapping[str, Any]) -> Recipe:
    """The benchmark's recipe without `tune`, or the default where it is wrong."""
    try:
        return Recipe().changed(data.get("recipe") or {})
    except (ValidationError, AttributeError, TypeError):
        return Recipe()


def recipe_errors(data: Mapping[str, Any]) -> Iterable[tuple[Loc, ValidationError]]:
    """Where a dataset's or model's own `recipe` does not fit the benchmark's, or the default where that is wrong."""
    base = shared_recipe(data)
    for kind in KINDS:
        for index, item in items(data, kind):
            if isinstance(item.get("recipe"), dict):
                try:
                    base.changed(item["recipe"])
                except ValidationError as error:
                    yield (kind, index, "recipe"), error

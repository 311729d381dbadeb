"""YAML benchmarks -> a typed `Suite`, or every mistake in them at once, each with file, line and the nearest valid name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from cvbench import catalog
from cvbench.spec import Augment, Benchmark, DatasetEntry, ModelEntry, Recipe, Suite
from cvbench.yamlfile import Document, Loc, Problem, SpecError, parse_value, read_yaml

# Which class describes the mapping at the end of a path: to name the nearest key where one is misspelt.
_SHAPES: dict[str, type[BaseModel]] = {
    "": Benchmark, "datasets": DatasetEntry, "models": ModelEntry, "recipe": Recipe, "augment": Augment
}  # fmt: skip
_GIVEN_BY_US = {"name", "file"}


def load_suite(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> Suite:
    """Reads benchmark files, folders of them, or names of shipped suites (`quick`, `quick/segmentation`).

    overrides: `dotted.key=value`, applied to every benchmark; items of lists by index or by name
    (`datasets.camvid.options.classes=12`). Raises SpecError with all problems of all files.
    """
    if not paths:
        raise SpecError([Problem("command line", None, "name at least one benchmark file, folder or shipped suite")])
    found = [_resolve(path) for path in paths]
    problems: list[Problem] = []
    benchmarks: list[Benchmark] = []
    for root, files in found:
        for file in files:
            try:
                benchmarks.append(_load(file, file.relative_to(root).with_suffix("").as_posix(), overrides))
            except SpecError as error:
                problems += error.problems
    if problems:
        raise SpecError(problems)
    return Suite(name=_suite_name(paths), benchmarks=tuple(benchmarks))


def _resolve(path: str | Path) -> tuple[Path, list[Path]]:
    """(folder that names are relative to, YAML files) of one argument."""
    given = Path(path)
    candidates = [given, *(folder / given for folder in catalog.benchmark_folders())]
    for candidate in [*candidates, *(c.with_name(c.name + ".yaml") for c in candidates)]:
        if candidate.is_file():
            return candidate.parent, [candidate]
        if candidate.is_dir():
            files = sorted([*candidate.glob("**/*.yaml"), *candidate.glob("**/*.yml")])
            if files:
                return candidate, files
            raise SpecError([Problem(str(candidate), None, "holds no .yaml file")])
    known = {entry.name for entry in catalog.entries("benchmarks")}
    known |= {name.partition("/")[0] for name in known}
    near = catalog.nearest(str(path), known)
    raise SpecError([Problem(str(path), None, f"no such file, folder or shipped suite{near}")])


def _suite_name(paths: Sequence[str | Path]) -> str:
    """`benchmarks/quick` -> quick; `benchmarks/lineage/mnist.yaml` -> lineage-mnist; several -> joined."""
    names = []
    for path in paths:
        parts = [part for part in Path(path).with_suffix("").parts if part not in ("/", ".", "..")]
        kept = parts[parts.index("benchmarks") + 1 :] if "benchmarks" in parts[:-1] else parts[-1:]
        names.append("-".join(kept) or "suite")
    return "+".join(dict.fromkeys(names))


def _load(file: Path, name: str, overrides: Sequence[str]) -> Benchmark:
    document = read_yaml(file)
    data = document.data
    if not isinstance(data, dict):
        raise SpecError([document.problem((), "Expected a mapping with `task`, `datasets` and `models`")])
    for key in ("datasets", "models"):
        if isinstance(data.get(key), list):
            data[key] = [{"name": item} if isinstance(item, str) else item for item in data[key]]
    problems = [problem for override in overrides if (problem := _override(data, override))]
    problems += [document.problem((key,), f"unknown key {key!r}") for key in _GIVEN_BY_US & data.keys()]
    try:
        # JSON's strict mode: a list is taken for a tuple and 1 for 1.0, but "1" never for 1.
        given = json.dumps(data | {"name": name, "file": str(file)}, allow_nan=False)
        benchmark = Benchmark.model_validate_json(given)
    except ValidationError as error:
        raise SpecError(problems + [_explain(document, item) for item in error.errors()]) from error
    except ValueError as error:
        raise SpecError([document.problem((), f"a value is not a finite number ({error})")]) from error
    problems += _check_names(document, benchmark)
    if problems:
        raise SpecError(problems)
    return benchmark


def _override(data: dict[str, Any], override: str) -> Problem | None:
    """Puts one `dotted.key=value` into the raw mapping; what is misspelt is found by the validation that follows."""
    path, _, text = override.partition("=")
    *parents, last = path.split(".")
    here: Any = data
    for depth, part in enumerate(parents):
        if isinstance(here, list):
            here = _item(here, part)
        elif isinstance(here, dict):
            here = here.setdefault(part, {})
        if not isinstance(here, dict | list):
            return Problem(
                "command line", None, f"{override}: there is no {'.'.join(parents[: depth + 1])!r} to change"
            )
    value = parse_value(text)
    if path in ("datasets", "models") and isinstance(value, list):
        value = [{"name": item} if isinstance(item, str) else item for item in value]
    if not isinstance(here, dict):
        return Problem("command line", None, f"{override}: name a key of the item, such as {path}.options.KEY")
    here[last] = value
    return None


def _item(items: list[Any], part: str) -> Any:
    if part.isdecimal() and int(part) < len(items):
        return items[int(part)]
    return next((item for item in items if isinstance(item, dict) and item.get("name") == part), None)


def _explain(document: Document, error: Mapping[str, Any]) -> Problem:
    """One pydantic error in the words of the file: where, what was given, the rule, and the nearest valid key."""
    loc: Loc = tuple(error["loc"])
    where = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        parent = next((part for part in reversed(loc[:-1]) if part in _SHAPES), "")
        known = _SHAPES[str(parent)].model_fields.keys() - (_GIVEN_BY_US if parent == "" else set())
        return document.problem(loc, f"unknown key {loc[-1]!r}{catalog.nearest(str(loc[-1]), known)}")
    if error["type"] == "missing":
        return document.problem(loc[:-1], f"the key {where!r} is missing")
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = "" if "but got" in message or isinstance(error["input"], dict) else f", but got {error['input']!r}"
    return document.problem(loc, f"{where}: {message}{shown}" if where else message + shown)


def _check_names(document: Document, benchmark: Benchmark) -> list[Problem]:
    """Unknown tasks, metrics, models, datasets and options, weights that are not there, and overrides that do not fit."""
    try:
        tasks = [entry.name for entry in catalog.entries("tasks")]
        if benchmark.task not in tasks:
            near = catalog.nearest(benchmark.task, tasks)
            return [document.problem(("task",), f"unknown task {benchmark.task!r}{near}")]
    except OSError as error:
        return [document.problem((), str(error))]
    problems: list[Problem] = []
    _, metrics = catalog.metrics(benchmark.task)
    if benchmark.primary is not None and benchmark.primary not in metrics:
        near = catalog.nearest(benchmark.primary, metrics)
        problems.append(document.problem(("primary",), f"unknown {benchmark.task} metric {benchmark.primary!r}{near}"))
    labels = [model.label or model.name for model in benchmark.models]
    for index, label in enumerate(labels):
        if label in labels[:index]:
            rule = f"{label!r} stands twice; give one of them a `label:`"
            problems.append(document.problem(("models", index), rule))
    if benchmark.baseline is not None and benchmark.baseline not in labels:
        near = catalog.nearest(benchmark.baseline, labels)
        problems.append(document.problem(("baseline",), f"unknown baseline {benchmark.baseline!r}{near}"))
    for kind, items in (("datasets", benchmark.datasets), ("models", benchmark.models)):
        for index, item in enumerate(items):
            problems += _check_item(document, benchmark, kind, index, item)
    return problems


def _check_item(
    document: Document, benchmark: Benchmark, kind: Any, index: int, item: DatasetEntry | ModelEntry
) -> list[Problem]:
    loc: Loc = (kind, index)
    try:
        entry = catalog.find(kind, item.name, benchmark.task)
    except catalog.UnknownName as error:
        return [document.problem((*loc, "name"), str(error))]
    _, wrong = catalog.complete(entry, item.options)
    problems = [document.problem((*loc, "options", option), message) for option, message in wrong.items()]
    try:
        merge_recipe(benchmark.recipe, item.recipe)
    except ValidationError as error:
        for one in error.errors():
            problems.append(_explain(document, {**one, "loc": (*loc, "recipe", *one["loc"])}))
    if isinstance(item, ModelEntry):
        if item.weights and _is_path(item.weights) and weights_file(benchmark, item.weights) is None:
            rule = f"weights: no file {item.weights!r} (looked beside {benchmark.file} and in the current folder)"
            problems.append(document.problem((*loc, "weights"), rule))
        if item.weights and not _is_path(item.weights) and not entry.open_options:
            rule = f"weights: {item.name} has no published weights by name; give a file (.pt, .pth, .safetensors)"
            problems.append(document.problem((*loc, "weights"), rule))
        if benchmark.mode == "evaluate" and not item.weights:
            problems.append(document.problem(loc, f"mode is evaluate, so {item.name} needs `weights:`"))
    return problems


def _is_path(weights: str) -> bool:
    return "/" in weights or Path(weights).suffix in {".pt", ".pth", ".ckpt", ".safetensors"}


def weights_file(benchmark: Benchmark, weights: str) -> Path | None:
    """The local file that `weights:` names, beside the benchmark or in the current folder; None for a zoo's name."""
    if not _is_path(weights):
        return None
    places = (benchmark.file.parent / weights, Path(weights).expanduser())
    return next((place.resolve() for place in places if place.is_file()), None)


def merge_recipe(recipe: Recipe, *changes: Mapping[str, Any]) -> Recipe:
    """The recipe with some keys changed, `augment` key by key. Raises ValidationError."""
    merged = recipe.model_dump(mode="json")
    for change in changes:
        augment = change.get("augment")
        inner = {"augment": merged["augment"] | augment} if isinstance(augment, dict) else {}
        length = {key: None for key in ("epochs", "steps") if {"epochs", "steps"} & change.keys()}
        merged |= length | dict(change) | inner
    return Recipe.model_validate_json(json.dumps(merged))

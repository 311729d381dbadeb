"""YAML benchmarks -> a typed `Suite`, or every mistake in them at once: file, line, rule and the nearest valid name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from cvbench import catalog
from cvbench.checks import check_names, recipe_errors
from cvbench.overrides import NotHereError, override
from cvbench.rules import broken
from cvbench.shipped import benchmark_files, benchmark_folders
from cvbench.spec import Augment, Benchmark, DatasetEntry, ModelEntry, SharedRecipe, Suite
from cvbench.tune_checks import check_tune
from cvbench.yamlfile import Document, Loc, Problem, SpecError, read_yaml

# Which class describes the mapping at the end of a path: to name the nearest key where one is misspelt.
_SHAPES: dict[str, type[BaseModel]] = {
    "": Benchmark, "datasets": DatasetEntry, "models": ModelEntry, "recipe": SharedRecipe, "augment": Augment
}  # fmt: skip
# Keys of `Benchmark` that are no keys of the file.
_GIVEN_BY_US = {"name": "a benchmark is called by its file's name", "file": "the file knows where it lies"}


def load_suite(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> Suite:
    """Reads benchmark files, folders of them, or names of shipped suites (`quick`, `quick/segmentation`).

    overrides: `dotted.key=value`, applied to every benchmark; items of lists by index, name or label
    (`datasets.camvid.options.classes=12`), in those benchmarks that have them. Raises SpecError with all problems of
    all files.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    if not paths:
        raise SpecError([Problem("command line", None, "name at least one benchmark file, folder or shipped suite")])
    problems: list[Problem] = []
    targets: list[Path] = []
    files: dict[Path, str] = {}
    for path in paths:
        try:
            target, below = _resolve(path)
        except SpecError as error:
            problems += error.problems
            continue
        targets.append(target)
        for file, name in below.items():
            if file.resolve() not in {known.resolve() for known in files}:
                files[file] = name if name not in files.values() else f"{file.parent.name}/{name}"
    documents: dict[Path, Document] = {}
    for file in files:
        try:
            documents[file] = _read(file)
        except SpecError as error:
            problems += error.problems
    for text in overrides:
        problems += _override_all(list(documents.values()), text)
    benchmarks: list[Benchmark] = []
    for file, document in documents.items():
        try:
            benchmarks.append(_benchmark(document, file, files[file]))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))
    return Suite(name="+".join(dict.fromkeys(map(_suite_name, targets))), benchmarks=tuple(benchmarks))


def _resolve(path: str | Path) -> tuple[Path, dict[Path, str]]:
    """(what one argument means, its YAML files and the names of these benchmarks)."""
    given, empty = Path(path), None
    bases = [given, *(folder / given for folder in benchmark_folders())]
    for candidate in (Path(f"{base}{ending}") for ending in ("", ".yaml", ".yml") for base in bases):
        if candidate.is_file():
            return candidate, {candidate: candidate.stem}
        if candidate.is_dir():
            files = benchmark_files(candidate)
            if files:
                return candidate, {file: file.relative_to(candidate).with_suffix("").as_posix() for file in files}
            empty = empty or candidate
    if empty is not None:
        raise SpecError([Problem(str(empty), None, "Expected at least one .yaml file in this folder")])
    known = {entry.name for entry in catalog.entries("benchmarks")}
    known |= {name.partition("/")[0] for name in known}
    near = catalog.nearest(str(path), known)
    raise SpecError([Problem(str(path), None, f"no such file, folder or shipped suite{near}")])


def _suite_name(target: Path) -> str:
    """`benchmarks/quick` -> quick; `benchmarks/lineage/mnist.yaml` -> lineage-mnist; any other by its own name."""
    whole = Path(os.path.abspath(target))
    parts = (whole.with_suffix("") if whole.suffix in (".yaml", ".yml") else whole).parts
    if "benchmarks" in parts[:-1]:
        parts = parts[len(parts) - parts[::-1].index("benchmarks", 1) :]
        return "-".join(parts)
    return parts[-1].strip("/") or "suite"


def _read(file: Path) -> Document:
    """The file as a mapping. Raises SpecError where it is none."""
    document = read_yaml(file)
    data = document.data
    if not isinstance(data, dict):
        got = "an empty file" if data is None else "a list" if isinstance(data, list) else repr(data)
        raise SpecError([document.problem((), f"Expected keys such as `task`, `datasets` and `models`, but got {got}")])
    _spell_out(data)
    return document


def _spell_out(data: dict[str, Any]) -> None:
    """`models: [lenet]` is short for `models: [{name: lenet}]`."""
    for key in ("datasets", "models"):
        if isinstance(data.get(key), list):
            data[key] = [{"name": item} if isinstance(item, str) else item for item in data[key]]


def _override_all(documents: Sequence[Document], text: str) -> list[Problem]:
    """Puts one override into every benchmark that has the place; none of them having it is a problem."""
    problems, nowhere = [], 0
    for document in documents:
        try:
            problem = override(document, text)
        except NotHereError as error:
            nowhere += 1
            missing = str(error)
            continue
        problems += [problem] if problem else []
        _spell_out(document.data)
    if documents and nowhere == len(documents):
        rule = f"{missing!r} is the name, label or index of no dataset or model here"
        problems.append(Problem("command line", None, f"{text}: {rule}"))
    return problems


def _benchmark(document: Document, file: Path, name: str) -> Benchmark:
    """The typed benchmark. Raises SpecError with all that is wrong, in the order of the lines."""
    data = document.data
    ours = _GIVEN_BY_US.keys() & data.keys()
    problems = [document.problem((key,), f"unknown key {key!r}: {_GIVEN_BY_US[key]}") for key in sorted(ours)]
    benchmark = None
    try:
        # JSON's strict mode: a list is taken for a tuple and 1 for 1.0, but "1" never for 1.
        benchmark = Benchmark.model_validate_json(json.dumps(data | {"name": name, "file": str(file)}))
    except ValidationError as error:
        problems += [_explain(document, item) for item in error.errors() if not _only_follows(item)]
    for loc, invalid in recipe_errors(data):
        problems += [_explain(document, {**item, "loc": (*loc, *item["loc"])}) for item in invalid.errors()]
    of_tune, mistakes = check_tune(document)
    problems += of_tune + [_explain(document, error, place) for place, error in mistakes]
    problems += check_names(document, file)
    if benchmark is None or problems:
        raise SpecError(sorted(problems, key=lambda problem: problem.line or 0))
    return benchmark


def _only_follows(error: Mapping[str, Any]) -> bool:
    """A list that pydantic calls too short only because its items are wrong, which it tells as well; and `tune`, which
    `check_tune` tells with the line of each value.
    """
    short = error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]
    return bool(short or error["loc"][:2] == ("recipe", "tune"))


def _explain(document: Document, error: Mapping[str, Any], place: Loc | None = None) -> Problem:
    """One pydantic error in the words of the file: where, what was given, the rule, and the nearest valid key.

    place: where the value stands, if that is not what pydantic calls it.
    """
    loc: Loc = tuple(error["loc"])
    place = loc if place is None else place
    where = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        return document.problem(place, _unknown_key(loc))
    if error["type"] == "missing":
        rule = f"{where} is missing" if isinstance(loc[-1], int) else f"the key {where!r} is missing"
        return document.problem(loc[:-1], rule)
    message = broken(error)
    return document.problem(place, f"{where}: {message}" if where else message)


def _unknown_key(loc: Loc) -> str:
    key = str(loc[-1])
    parent = next((str(part) for part in reversed(loc[:-1]) if part in _SHAPES), "")
    known = _SHAPES[parent].model_fields.keys() - (_GIVEN_BY_US if parent == "" else set())
    home = next((name for name, shape in _SHAPES.items() if name != parent and key in shape.model_fields), None)
    near = catalog.nearest(key, known)
    if home is not None:
        near = f"; it belongs {f'under `{home}`' if home else 'at the top'}"
    return f"unknown key {'.'.join(map(str, loc))!r}{near}"

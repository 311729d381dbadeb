"""What there is: tasks, models, datasets, benchmarks and metrics, found by reading folders.

The file system is the registry: `datasets: camvid` is `cvbench/data/camvid.py`, and that file's `build(...)` makes it. What a
listing or `plan` needs (one line, year, source, licence, options with their defaults, `VERSION`) is read by `ast`, without importing.
"""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from cvbench import declaration
from cvbench.declaration import Option

PACKAGE = Path(__file__).parent
KINDS = ("tasks", "models", "datasets", "benchmarks", "metrics")
ZOOS = ("torchvision", "timm", "smp")


class UnknownName(ValueError):
    """A name that the catalog does not have; the message lists the nearest."""


@dataclass(frozen=True)
class Entry:
    """One file of the catalog. `module` is what is imported to build it; `tasks` are those that it serves."""

    kind: str
    name: str
    file: Path | None
    module: str
    summary: str = ""
    year: str = ""
    source: str = ""
    licence: str = ""
    tasks: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    version: int | None = None
    takes_task: bool = False  # `build` of a dataset that serves several tasks asks which
    open_options: bool = False  # a zoo's or somebody's own `build`: options are passed on unchecked

    def build(self) -> Callable[..., Any]:
        """Imports the file and returns its `build`. Importing a plug-in runs its author's code."""
        module, _, function = self.module.partition(":")
        loaded = importlib.import_module(module)
        try:
            return getattr(loaded, function or "build")  # type: ignore[no-any-return]
        except AttributeError:
            raise UnknownName(f"{self.module}: module {module} has no `{function or 'build'}`") from None


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'camvid'?`, or the whole list where nothing is near and it is short."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(repr(match) for match in close) + "?"
    return f"; known: {', '.join(known)}" if len(known) <= 20 else ""


@cache
def entries(kind: str, task: str | None = None) -> tuple[Entry, ...]:
    """All entries of one kind, by name; models and datasets of one task where it is given."""
    readers: dict[str, Callable[[], list[Entry]]] = {
        "tasks": lambda: _files("tasks", PACKAGE / "tasks", "cvbench.tasks", needs="VERSION"),
        "datasets": lambda: _files("datasets", PACKAGE / "data", "cvbench.data", needs="build"),
        "models": _models,
        "metrics": _metrics,
        "benchmarks": _benchmarks,
    }
    if kind not in readers:
        raise UnknownName(f"Expected one of {', '.join(KINDS)}, but got {kind!r}{nearest(kind, KINDS)}")
    return tuple(entry for entry in readers[kind]() if task is None or task in entry.tasks)


def find(kind: Literal["tasks", "models", "datasets"], name: str, task: str | None = None) -> Entry:
    """The entry of that name. Raises UnknownName with the nearest names."""
    if ":" in name:
        return Entry(kind, name, None, name, tasks=(task,) if task else (), open_options=True)
    zoo, _, inner = name.partition("/")
    if kind == "models" and inner and zoo in ZOOS:
        return _zoo(zoo, name, task or "")
    found = {entry.name: entry for entry in entries(kind, task)}
    if name in found:
        return found[name]
    other = {entry.name: entry.tasks for entry in entries(kind)}
    if name in other:
        raise UnknownName(f"{kind[:-1]} {name!r} serves {', '.join(other[name])}, not {task}")
    raise UnknownName(f"unknown {kind[:-1]} {name!r}{nearest(name, found)} (`cvbench list {kind}` shows all)")


def complete(entry: Entry, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The options with their defaults filled in, and what is wrong with those given: option -> message."""
    if entry.open_options:
        return dict(given), {}
    options = {name: option.default for name, option in entry.options.items() if not option.required}
    wrong: dict[str, str] = {}
    for name, value in given.items():
        if name not in entry.options:
            wrong[name] = f"unknown option {name!r} of {entry.name}{nearest(name, entry.options)}"
            continue
        try:
            # JSON's strict mode takes a list for a tuple and 1 for 1.0, and nothing else that is not of the type.
            adapter: TypeAdapter[Any] = TypeAdapter(entry.options[name].annotation)
            checked = adapter.validate_json(json.dumps(value), strict=True)
            options[name] = adapter.dump_python(checked, mode="json")
        except ValidationError as error:
            first = error.errors()[0]
            wrong[name] = f"option {name!r} of {entry.name}: {first['msg']}, but got {value!r}"
    for name, option in entry.options.items():
        if option.required and name not in given:
            wrong[name] = f"{entry.name} needs the option {name!r}"
    return options, wrong


@cache
def metrics(task: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """(primary metric, name -> (direction, definition)) of a task, from the literals of `metrics/<task>.py`."""
    literals = declaration.read(PACKAGE / "metrics" / f"{task}.py").literals
    return literals["PRIMARY"], literals["METRICS"]


def benchmark_folders() -> list[Path]:
    """Where named suites lie: `benchmarks/` here, then beside the package (a checkout), then inside it (a wheel)."""
    folders = [Path("benchmarks"), PACKAGE.parent / "benchmarks", PACKAGE / "benchmarks"]
    seen: dict[Path, Path] = {folder.resolve(): folder for folder in folders if folder.is_dir()}
    return list(seen.values())


def _files(kind: str, folder: Path, package: str, *, needs: str, tasks: tuple[str, ...] = ()) -> list[Entry]:
    found = []
    for file in sorted(folder.glob("*.py")):
        declared = declaration.read(file)
        # Files beside the entries (base.py, files.py …) declare nothing to build; zoo.py is reached by its prefixes.
        if file.stem == "zoo" or needs not in declared.names | declared.literals.keys():
            continue
        found.append(
            Entry(
                kind=kind,
                name=file.stem,
                file=file,
                module=f"{package}.{file.stem}",
                summary=declared.summary,
                year=declared.fields.get("Year", ""),
                source=declared.fields.get("Source", ""),
                licence=declared.fields.get("Licence", ""),
                tasks=tasks or tuple(part.strip() for part in declared.fields.get("Tasks", file.stem).split(",")),
                options=declared.options,
                version=declared.literals.get("VERSION"),
                takes_task=declared.takes_task,
            )
        )
    return found


def _models() -> list[Entry]:
    models = []
    for folder in sorted(path for path in (PACKAGE / "models").iterdir() if path.is_dir()):
        package = f"cvbench.models.{folder.name}"
        models += _files("models", folder, package, needs="build", tasks=(folder.name,))
        models += [
            _zoo("torchvision", f"torchvision/{name}", folder.name) for name in _torchvision().get(folder.name, ())
        ]
    return models


def _zoo(zoo: str, name: str, task: str) -> Entry:
    inner = name.partition("/")[2]
    known = _torchvision().get(task, ())
    if zoo == "torchvision" and inner not in known:
        raise UnknownName(f"unknown model {name!r}{nearest(inner, known)} (torchvision's {task} models)")
    return Entry(
        "models", name, None, f"cvbench.models.{task}.zoo", f"{zoo}'s {inner}", tasks=(task,), open_options=True
    )


@cache
def _torchvision() -> dict[str, tuple[str, ...]]:
    literals = declaration.read(PACKAGE / "models" / "torchvision_names.py").literals
    return next(value for value in literals.values() if isinstance(value, dict))


def _metrics() -> list[Entry]:
    found = []
    for task in entries("tasks"):
        primary, table = metrics(task.name)
        for name, (direction, definition) in table.items():
            better = "higher is better" if direction == "max" else "lower is better"
            mark = ", primary" if name == primary else ""
            found.append(Entry("metrics", name, None, "", f"{definition} ({better}{mark})", tasks=(task.name,)))
    return found


def _benchmarks() -> list[Entry]:
    from cvbench.yamlfile import SpecError, read_yaml

    found = {}
    for folder in benchmark_folders():
        for file in sorted(folder.glob("**/*.yaml")):
            name = file.relative_to(folder).with_suffix("").as_posix()
            try:
                data = read_yaml(file).data
            except SpecError:
                continue
            if isinstance(data, dict) and name not in found:
                summary, task = str(data.get("title", "")), str(data.get("task", ""))
                found[name] = Entry("benchmarks", name, file, "", summary, tasks=(task,))
    return list(found.values())

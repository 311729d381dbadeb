"""What there is: tasks, models, datasets, benchmarks and metrics, found by reading folders.

The file system is the registry: `datasets: camvid` is `cvbench/data/camvid.py`, and that file's `build(...)` makes it.
What a listing or `plan` needs (one line, year, source, licence, options with their defaults, `VERSION`) is read by
`ast`, without importing.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cvbench import declaration
from cvbench.declaration import Option
from cvbench.entry import Entry, UnknownNameError, nearest
from cvbench.rules import rule
from cvbench.shipped import benchmark_entries

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["KINDS", "Entry", "UnknownNameError", "complete", "entries", "find", "metrics", "nearest"]

PACKAGE = Path(__file__).parent
KINDS = ("tasks", "models", "datasets", "benchmarks", "metrics")
# Whose models pass through by name, for which tasks; torchvision's names are known, hence their tasks.
ZOOS = {"torchvision": (), "timm": ("classification",), "smp": ("segmentation",)}
_FOLDERS = {"tasks": "tasks", "datasets": "data"}
# What a file defines that is an entry of its kind; the files beside them (base.py, files.py …) only serve these.
_DEFINES = {"tasks": "TASK", "datasets": "build", "models": "build"}


def entries(kind: str, task: str | None = None) -> tuple[Entry, ...]:
    """All entries of one kind, by name; only those that serve `task` where it is given."""
    readers: dict[str, Callable[[], Iterable[Entry]]] = {
        "tasks": lambda: _in_folder("tasks", PACKAGE / "tasks"),
        "datasets": lambda: _in_folder("datasets", PACKAGE / "data"),
        "models": _models,
        "metrics": _metrics,
        "benchmarks": benchmark_entries,
    }
    if kind not in readers:
        raise UnknownNameError(f"Expected one of {', '.join(KINDS)}, but got {kind!r}{nearest(kind, KINDS)}")
    return tuple(entry for entry in readers[kind]() if task is None or task in entry.tasks)


def find(kind: Literal["tasks", "models", "datasets"], name: str, task: str | None = None) -> Entry:
    """The entry of that name; reads no file but its own. Raises UnknownNameError with the nearest names."""
    if ":" in name:
        return _plugin(kind, name, task)
    zoo, _, inner = name.partition("/")
    if kind == "models" and inner and zoo in ZOOS:
        return _zoo(zoo, inner, task)
    if entry := _own(kind, name, task):
        return entry
    served = sorted({served for entry in entries(kind) if entry.name == name for served in entry.tasks})
    if served:
        raise UnknownNameError(f"{kind[:-1]} {name!r} serves {', '.join(served)}, not {task}")
    near = nearest(name, {entry.name for entry in entries(kind, task)})
    raise UnknownNameError(f"unknown {kind[:-1]} {name!r}{near} (`cvbench list {kind}` shows all)")


def refuse_plugins(names: Iterable[str], where: object, *, allowed: bool) -> None:
    """For what comes out of a record, which anybody may have written: its plug-ins are run only where that is wished.

    where: the record. Raises ValueError that names the plug-ins among `names`, unless they are `allowed`.
    """
    own = [name for name in names if ":" in name]
    if own and not allowed:
        raise ValueError(
            f"{where}: names code that is not cvbench's own, {' and '.join(own)}, which would be run; look at it, then "
            "allow it with --plugins"
        )


def complete(entry: Entry, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The options with their defaults filled in, and what is wrong with those given: option -> message.

    Values are as JSON has them (a list for a tuple) and of the annotated type, so that equal options hash equally.
    """
    from pydantic import ValidationError

    if entry.open_options:
        return dict(given), {}
    options = {name: _typed(option, option.default) for name, option in entry.options.items() if not option.required}
    wrong: dict[str, str] = {}
    for name, value in given.items():
        if name not in entry.options:
            wrong[name] = f"unknown option {name!r} of {entry.name}{nearest(name, entry.options)}"
            continue
        try:
            options[name] = _typed(entry.options[name], value)
        except ValidationError as error:
            rules = dict.fromkeys(rule(item) for item in error.errors())
            wrong[name] = f"option {name!r} of {entry.name}: {' or '.join(rules)}, but got {value!r}"
    for name, option in entry.options.items():
        if option.required and name not in given:
            wrong[name] = f"{entry.name} needs the option {name!r}"
    return options, wrong


def _typed(option: Option, value: Any) -> Any:
    """The value as JSON has it, of the option's type. Raises ValidationError where it is of another."""
    adapter = _adapter(option.annotation)
    # JSON's strict mode takes a list for a tuple and 1 for 1.0, and nothing else that is not of the type.
    return adapter.dump_python(adapter.validate_json(json.dumps(value), strict=True), mode="json")


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(annotation)


@cache
def metrics(task: str) -> tuple[str, dict[str, tuple[str, str, str]]]:
    """(primary metric, name -> (direction, definition, unit)) of a task, from the literals of `metrics/<task>.py`."""
    literals = declaration.read(PACKAGE / "metrics" / f"{task}.py").literals
    return literals["PRIMARY"], literals["METRICS"]


@cache
def at_test(task: str) -> tuple[str, ...]:
    """Metrics of a task that validations leave out, by the literal `AT_TEST` of `metrics/<task>.py`, if any."""
    found: tuple[str, ...] = declaration.read(PACKAGE / "metrics" / f"{task}.py").literals.get("AT_TEST", ())
    return found


def official_sizes(dataset: str, options: Mapping[str, Any]) -> dict[str, int]:
    """role -> images of the whole data set, from the literal `OFFICIAL_SIZES` of its file; empty where that is silent.

    The literal is a list: the first item counts whose keys that are no roles are options with these values. Roles whose
    size follows from an option, such as a share of train that plays val, are not there.
    """
    entry = _own("datasets", dataset, None)
    declared = declaration.read(entry.file).literals.get("OFFICIAL_SIZES", []) if entry and entry.file else []
    for item in declared:
        sizes = {role: item[role] for role in ("train", "val", "test") if role in item}
        if all(options.get(key) == value for key, value in item.items() if key not in sizes):
            return sizes
    return {}


def _own(kind: str, name: str, task: str | None) -> Entry | None:
    """The entry that is a file of this package, or None."""
    if not name.isidentifier():
        return None
    folders = _model_folders() if kind == "models" else [PACKAGE / _FOLDERS[kind]]
    found = (_entry(kind, folder / f"{name}.py") for folder in folders)
    return next((entry for entry in found if entry and (task is None or task in entry.tasks)), None)


def _entry(kind: str, file: Path) -> Entry | None:
    """What a file declares; None where it declares no entry. A zoo.py is reached by its prefixes."""
    if file.stem == "zoo" or not file.is_file() or not declaration.mentions(file, _DEFINES[kind]):
        return None
    declared = declaration.read(file)
    home = file.parent.relative_to(PACKAGE)
    own = home.name if kind == "models" else file.stem if kind == "tasks" else ""
    return Entry(
        kind=kind,
        name=file.stem,
        file=file,
        module=".".join(("cvbench", *home.parts, file.stem)),
        summary=declared.summary,
        year=declared.fields.get("Year", ""),
        source=declared.fields.get("Source", ""),
        licence=declared.fields.get("Licence", ""),
        tasks=(own,) if own else tuple(re.findall(r"\w+", declared.fields.get("Tasks", ""))),
        options=declared.options,
        version=declared.literals.get("VERSION"),
        takes_task=declared.takes_task,
        embedded=bool(declared.literals.get("EMBEDDED")),
    )


def _in_folder(kind: str, folder: Path) -> list[Entry]:
    return [entry for file in sorted(folder.glob("*.py")) if (entry := _entry(kind, file))]


def _model_folders() -> list[Path]:
    return sorted(path for path in (PACKAGE / "models").iterdir() if (path / "__init__.py").is_file())


def _models() -> list[Entry]:
    models: list[Entry] = []
    for folder in _model_folders():
        models += _in_folder("models", folder)
        models += [_zoo("torchvision", name, folder.name) for name in _torchvision().get(folder.name, ())]
    return models


def _plugin(kind: str, name: str, task: str | None) -> Entry:
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name):
        raise UnknownNameError(f"Expected your own {kind[:-1]} as my_package.my_file:build, but got {name!r}")
    version = declaration.version_of(_plugin_file(name.partition(":")[0]))
    return Entry(kind, name, None, name, "your own", tasks=(task,) if task else (), version=version, open_options=True)


def _plugin_file(module: str) -> Path | None:
    """Where Python would find a module, whose packages are not imported for that; None where it would not."""
    for folder in dict.fromkeys([*sys.path, os.getcwd()]):
        path = Path(folder, *module.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def _zoo(zoo: str, name: str, task: str | None) -> Entry:
    """A library's model. torchvision's names are known here; those of timm and smp when the model is built."""
    full, tasks = f"{zoo}/{name}", ZOOS[zoo]
    if zoo == "torchvision":
        known = {of: names for of, names in _torchvision().items() if task in (None, of)}
        tasks = tuple(of for of, names in _torchvision().items() if name in names)
        if not tasks:
            near = nearest(full, [f"torchvision/{one}" for names in known.values() for one in names])
            raise UnknownNameError(f"unknown model {full!r}{near} (`cvbench list models` shows all)")
    if task is not None and task not in tasks:
        raise UnknownNameError(f"model {full!r} serves {', '.join(tasks)}, not {task}")
    if zoo == "smp" and not re.fullmatch(r"[^-]+-.+", name):
        raise UnknownNameError(f"model {full!r}: Expected smp/ARCH-ENCODER, such as smp/Unet-resnet18")
    task = task or tasks[0]
    file = PACKAGE / "models" / task / "zoo.py"
    version = declaration.read(file).literals.get("VERSION")
    return Entry("models", full, file, f"cvbench.models.{task}.zoo", f"{zoo}'s {name}", tasks=(task,), version=version,
                 open_options=True, zoo=True)  # fmt: skip


@cache
def _torchvision() -> dict[str, tuple[str, ...]]:
    return declaration.read(PACKAGE / "models" / "torchvision_names.py").literals["NAMES"]  # type: ignore[no-any-return]


def _metrics() -> list[Entry]:
    found = []
    for task in entries("tasks"):
        primary, table = metrics(task.name)
        for name, (direction, definition, _) in table.items():
            better = {"max": "higher is better", "min": "lower is better"}.get(direction, "neither way is better")
            mark = ", primary" if name == primary else ""
            found.append(Entry("metrics", name, None, "", f"{definition} ({better}{mark})", tasks=(task.name,)))
    return found

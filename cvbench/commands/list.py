"""`cvbench list`: what the catalog holds, read from files without importing them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cvbench import catalog
from cvbench.commands import options
from cvbench.commands.options import Json


def list(
    kind: Annotated[Literal["tasks", "models", "datasets", "benchmarks", "metrics"], Parameter(help="What to list.")],
    name: Annotated[str | None, Parameter(help="One entry: also shows its source, licence and options.")] = None,
    /,
    *,
    task: Annotated[str | None, Parameter(help="Only what serves this task.")] = None,
    json: Json = False,
) -> int:
    """List tasks, models, datasets, benchmarks or metrics."""
    found = catalog.entries(kind)
    if task is not None:
        known = [entry.name for entry in catalog.entries("tasks")]
        if task not in known:
            raise ValueError(f"--task: unknown task {task!r}{catalog.nearest(task, known)}")
        found = catalog.entries(kind, task)
    if name is not None:
        chosen = [entry for entry in found if entry.name == name]
        if not chosen:
            near = catalog.nearest(name, [entry.name for entry in found])
            raise ValueError(f"unknown {kind[:-1]} {name!r}{near}")
        found = tuple(chosen)
    if json:
        options.print_json([_as_json(entry) for entry in found])
    elif name is not None:
        for entry in found:
            _describe(entry)
    else:
        _table(kind, found)
    return 0


def _as_json(entry: catalog.Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "tasks": entry.tasks,
        "summary": entry.summary,
        "year": entry.year or None,
        "source": entry.source or None,
        "licence": entry.licence or None,
        "version": entry.version,
        "options": {key: option.default for key, option in entry.options.items()},
        "file": entry.file,
    }


def _table(kind: str, found: tuple[catalog.Entry, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    columns = ["name"] + ([] if kind == "tasks" else ["task"]) + (["year"] if kind in ("models", "datasets") else [])
    for column in columns:
        table.add_column(column, no_wrap=True)
    table.add_column("")
    for entry in found:
        cells = {"name": entry.name, "task": ", ".join(entry.tasks), "year": entry.year}
        table.add_row(*(Text(cells[column]) for column in columns), Text(entry.summary))
    options.console().print(table)


def _describe(entry: catalog.Entry) -> None:
    print(f"{entry.name}: {entry.summary}")
    for label in ("year", "source", "licence"):
        if value := getattr(entry, label):
            print(f"  {label}: {value}")
    if entry.tasks:
        print(f"  tasks: {', '.join(entry.tasks)}")
    if entry.file is not None:
        print(f"  file: {entry.file}")
    if entry.open_options:
        print("  options: passed on as written")
    for key, option in entry.options.items():
        print(f"  option {key}: {'required' if option.required else option.default!r}")

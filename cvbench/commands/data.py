"""`cvbench data`: list, fetch, verify and preview datasets. Needs no torch."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from cvbench import catalog
from cvbench.commands import options
from cvbench.commands.options import DataRoot, Json, MachineFile
from cvbench.data.base import Dataset

app = App(name="data", help="List, fetch, verify and preview datasets.", help_format="plaintext")

Given = Annotated[str, Parameter(help="Options of the dataset as key=value, such as classes=11 or path=my/photos.")]
Task = Annotated[str | None, Parameter(name="--task", help="For a dataset that serves several tasks: which.")]


@app.command(name="list")
def list_datasets(*, data_root: DataRoot = None, machine: MachineFile = None, json: Json = False) -> int:
    """Every dataset, whether it is here, and how to get it."""
    root = _root(machine, data_root)
    rows = [_state(entry, root) for entry in catalog.entries("datasets")]
    if json:
        options.print_json(rows)
        return 0
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("name", "task", "here", "to get it", "licence"):
        table.add_column(column, no_wrap=column != "licence")
    for row in rows:
        here = Text("yes", style="green") if row["here"] else Text("no", style="dim")
        table.add_row(row["name"], ", ".join(row["tasks"]), here, row["obtain"], Text(row["licence"]))
    options.console().print(table)
    print(f"Data root: {root.resolve()}")
    return 0


@app.command
def fetch(
    *names: Annotated[str, Parameter(help="Datasets to fetch.")],
    data_root: DataRoot = None,
    machine: MachineFile = None,
    json: Json = False,
) -> int:
    """Download datasets whose licence allows it, by checksum, into the data root."""
    from cvbench.data.download import fetch as download

    if not names:
        raise ValueError("name the datasets to fetch; `cvbench data list` shows them")
    root = _root(machine, data_root)
    written: dict[str, list[Path]] = {}
    for name in names:
        written[name] = download(name, root, _downloaded(_Told()))
        here = ", ".join(str(path) for path in written[name])
        options.say(f"{name}: {here or 'everything was here already'}")
    if json:
        options.print_json(written)
    return 0


@app.command
def verify(
    name: Annotated[str, Parameter(help="Dataset to check.")],
    /,
    *given: Given,
    task: Task = None,
    data_root: DataRoot = None,
    machine: MachineFile = None,
    json: Json = False,
) -> int:
    """Read every file of a dataset, and name what is damaged, does not fit, or is in two splits."""
    from cvbench.data.verify import verify as check

    told = _Told()
    report = check(
        _build(name, given, task, _root(machine, data_root)),
        progress=lambda done, total: told(f"{name}: {done:,} of {total:,} samples", end=done == total),
    )
    if json:
        options.print_json({"ok": report.ok, **dataclasses.asdict(report)})
    else:
        print(report)
    return 0 if report.ok else 1


@app.command
def preview(
    name: Annotated[str, Parameter(help="Dataset to draw.")],
    /,
    *given: Given,
    split: Annotated[str, Parameter(help="train, val or test.")] = "train",
    count: Annotated[int, Parameter(help="How many samples.")] = 24,
    seed: Annotated[int, Parameter(help="Another seed draws other samples.")] = 0,
    out: Annotated[Path | None, Parameter(help="The PNG to write [default: NAME_SPLIT.png].")] = None,
    task: Task = None,
    data_root: DataRoot = None,
    machine: MachineFile = None,
) -> int:
    """Draw a contact sheet of a dataset with its labels."""
    from cvbench.data.preview import preview as draw

    target = out or Path(f"{name.replace('/', '-').replace(':', '-')}_{split}.png")
    print(f"Wrote {draw(_build(name, given, task, _root(machine, data_root)), split, count, target, seed)}")
    return 0


def _root(machine: Path | None, data_root: Path | None) -> Path:
    from cvbench.machine import load_machine

    return load_machine(machine, data_root=data_root).data_root


def _build(name: str, given: Sequence[str], task: str | None, root: Path) -> Dataset:
    """The dataset of that name with its options. Raises ValueError for unknown names, options and values."""
    from cvbench.spec import DatasetRef
    from cvbench.store import load_dataset
    from cvbench.yamlfile import parse_value

    entry = catalog.find("datasets", name, task)
    pairs = [text.partition("=") for text in given]
    for key, equals, _ in pairs:
        if not equals:
            raise ValueError(f"Expected an option of {name} as key=value, but got {key!r}")
    values, wrong = catalog.complete(entry, {key: parse_value(value) for key, _, value in pairs})
    if wrong:
        raise ValueError("\n".join(wrong.values()))
    # a plug-in names no tasks: it is built as it is
    chosen = task or (entry.tasks[0] if entry.tasks else "")
    return load_dataset(chosen, DatasetRef(name=name, options=values, version=entry.version), root)


def _state(entry: catalog.Entry, root: Path) -> dict[str, Any]:
    """Whether the dataset is here (with its default options), and how it can be had."""
    from cvbench.declaration import read
    from cvbench.spec import DatasetRef
    from cvbench.store import load_dataset

    literals = read(entry.file).literals if entry.file else {}
    if literals.get("FILES"):
        obtain = f"cvbench data fetch {entry.name}"
    elif literals.get("OBTAIN"):
        obtain = "register at its site"
    else:
        obtain = "your own" if entry.year == "any" else f"by hand: cvbench data verify {entry.name}"
    here, problem, sizes = True, None, None
    try:
        reference = DatasetRef(name=entry.name, options=catalog.complete(entry, {})[0], version=entry.version)
        sizes = dict(load_dataset(entry.tasks[0], reference, root).info.split_sizes)
    except (ValueError, OSError) as error:
        here, problem = False, str(error)
    return {
        "name": entry.name,
        "tasks": entry.tasks,
        "here": here,
        "splits": sizes,
        "obtain": "" if here else obtain,
        "problem": problem,
        "licence": entry.licence,
        "summary": entry.summary,
    }


class _Told:
    """One line on stderr that is written over, at most twice a second, on terminals only."""

    def __init__(self) -> None:
        self.last = 0.0

    def __call__(self, text: str, *, end: bool) -> None:
        if not sys.stderr.isatty() or (time.monotonic() - self.last < 0.5 and not end):
            return
        self.last = time.monotonic()
        print(f"\r{text} ", end="\n" if end else "", file=sys.stderr, flush=True)


def _downloaded(told: _Told) -> Callable[[str, int, int], None]:
    def show(name: str, done: int, total: int) -> None:
        of = f" of {total / 1e6:.1f}" if total else ""
        told(f"{name}: {done / 1e6:.1f}{of} MB", end=done == total)

    return show

"""`cvbench data`: list, fetch, verify and preview datasets. Needs no torch."""

from __future__ import annotations

import csv
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


@app.command
def samples(
    name: Annotated[str, Parameter(help="Dataset whose samples to list.")],
    /,
    *given: Given,
    split: Annotated[str, Parameter(help="train, val or test.")] = "test",
    task: Task = None,
    data_root: DataRoot = None,
    machine: MachineFile = None,
    json: Json = False,
) -> int:
    """List a split's samples, as predictions name them: CSV id,image_id; --json with the classes.

    id: of a CSV's rows and, with .png, of label maps. image_id and category_id: of COCO's files.
    """
    import numpy as np

    from cvbench.metrics.box_columns import image_numbers

    dataset = _build(name, given, task, _root(machine, data_root))
    if split not in dataset.splits:
        near = catalog.nearest(split, dataset.splits)
        raise ValueError(f"--split: Expected a split of {name}, but got {split!r}{near}")
    ids = list(dataset.splits[split].ids)
    numbers = image_numbers(np.asarray(ids)).tolist()
    if json:
        categories = dataset.info.protocol.get("category_ids") or range(1, dataset.info.num_classes + 1)
        named = enumerate(zip(dataset.info.classes, categories, strict=True))
        classes = [{"index": index, "name": called, "category_id": number} for index, (called, number) in named]
        listed = [{"id": one, "image_id": number} for one, number in zip(ids, numbers, strict=True)]
        options.print_json({"samples": listed, "classes": classes})
        return 0
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerows([("id", "image_id"), *zip(ids, numbers, strict=True)])
    return 0


def _root(machine: Path | None, data_root: Path | None) -> Path:
    from cvbench.machine import load_machine

    return load_machine(machine, data_root=data_root).data_root


def _build(name: str, given: Sequence[str], task: str | None, root: Path) -> Dataset:
    """The dataset of that name with its options. Raises ValueError for unknown names, options and values."""
    from cvbench.data_here import load_dataset
    from cvbench.spec import DatasetRef

    entry = catalog.find("datasets", name, task)
    values, wrong = catalog.complete(entry, options.key_values(given, name))
    if wrong:
        raise ValueError("\n".join(wrong.values()))
    # a plug-in names no tasks: it is built as it is
    chosen = task or (entry.tasks[0] if entry.tasks else "")
    return load_dataset(chosen, DatasetRef(name=name, options=values, version=entry.version), root)


def _state(entry: catalog.Entry, root: Path) -> dict[str, Any]:
    """Whether the dataset is here (with its default options), and how it can be had."""
    from cvbench.data_here import load_dataset
    from cvbench.declaration import read
    from cvbench.spec import DatasetRef

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

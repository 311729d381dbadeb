"""`cvbench reproduce`: a record's run once more, from the record alone, and whether its numbers come out."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import DEFAULT_STORE, Json, MachineOptions, Plugins, Store

if TYPE_CHECKING:
    from cvbench.machine import Machine
    from cvbench.record import Record
    from cvbench.reproduction import Changed, Compared
    from cvbench.spec import RunSpec

DEFAULT_MACHINE = MachineOptions()


def reproduce(
    run: Annotated[str, Parameter(help="A run's folder, its record.json, or a run_id in the store.")],
    /,
    *,
    into: Annotated[
        Path | None, Parameter(help="Store to keep the new run in [default: one that is removed again].")
    ] = None,
    tolerance: Annotated[
        float | None,
        Parameter(help="Largest difference [default: 0, bit for bit, on the same machine; 0.01 elsewhere]."),
    ] = None,
    weights: Annotated[
        list[Path] | None, Parameter(help="Where weights files lie now, for those that were moved; may be repeated.")
    ] = None,
    anyway: Annotated[bool, Parameter(help="Also with other data, or code that has moved on since.")] = False,
    plugins: Plugins = False,
    store: Store = DEFAULT_STORE,
    on: MachineOptions = DEFAULT_MACHINE,
    json: Json = False,
    quiet: Annotated[bool, Parameter(help="No progress; only results and errors.")] = False,
) -> int:
    """Run a record again from its own spec, elsewhere, and compare every metric. Exit 0: reproduced, 1: not.

    Threads, devices and their kind are the record's unless they are given here.
    """
    from cvbench import reproducible
    from cvbench.catalog import refuse_plugins
    from cvbench.record import read_record

    if tolerance is not None and not 0 <= tolerance < float("inf"):
        raise ValueError(f"--tolerance: Expected a number from 0, but got {tolerance}")
    path = reproducible.find_record(run, store)
    record = read_record(path)
    reproducible.check_trained_here(record)
    refuse_plugins([record.spec.dataset.name, record.spec.model.name], path, allowed=plugins)
    machine = _machine(record, on)
    if into is None and machine.executor != "local":
        rule = f"Expected a store on the disk that all nodes share, with executor {machine.executor}, but got none"
        raise ValueError(f"--into: {rule}; give one, or --executor local")
    obstacles = reproducible.moved_on(record) + reproducible.data_differences(record, machine.data_root)
    if obstacles and not anyway:
        said = "\n".join(f"  {obstacle}" for obstacle in obstacles)
        remedy = "bring back what it was made with, or see what comes out with --anyway"
        raise ValueError(f"{path}: its numbers cannot be expected here; {remedy}:\n{said}")
    spec = reproducible.with_weights(record.spec, weights or ())
    with _place(into, spec, path) as folder:
        made, failure = _run(spec, folder, machine, quiet=quiet)
        if made is None:
            _report(record, path, {"failure": failure}, json=json)
            return 1
        told = _judged(record, made, tolerance) | {"obstacles": obstacles, "noise": _noise(record, made, path)}
        told["folder"] = None if into is None else folder
        _report(record, path, told, json=json)
        return 0 if told["reproduced"] else 1


def _machine(record: Record, on: MachineOptions) -> Machine:
    """As the command line says, else as the record does: whatever both an execution and a machine speak of."""
    from cvbench.machine import Machine
    from cvbench.record import Execution

    # What several nodes made is made by one here: they do not meet for this.
    both = (Execution.model_fields.keys() & Machine.model_fields.keys()) - {"jobs", "nodes"}
    recorded = {name: value for name in both if (value := getattr(record.execution, name)) is not None}
    given = {name for name in both if getattr(on, name, None) is not None}
    # One run: another job beside it would only change its costs.
    machine = replace(on, jobs=on.jobs or 1).load()
    return machine.model_copy(update={name: value for name, value in recorded.items() if name not in given})


@contextlib.contextmanager
def _place(into: Path | None, spec: RunSpec, original: Path) -> Iterator[Path]:
    """The store to run in, never one that has this run. Raises ValueError for one that has."""
    from cvbench.store import Store as RunStore

    if into is None:
        with tempfile.TemporaryDirectory(prefix="cvbench-reproduce-") as folder:
            yield Path(folder)
        return
    there = RunStore(into).folder(spec)
    if (there / "record.json").exists() or there.resolve() == original.parent.resolve():
        raise ValueError(f"--into {into}: has this run already, in {there}; give another folder")
    yield into


def _run(spec: RunSpec, folder: Path, machine: Machine, *, quiet: bool) -> tuple[Record | None, str]:
    """The new record, or None and why there is none."""
    from cvbench.executors.execute import execute
    from cvbench.progress import progress
    from cvbench.store import Store as RunStore

    runs = RunStore(folder)
    with progress([spec], quiet=quiet) as on_event:
        outcomes = execute([spec], runs, machine, rerun="all", on_event=on_event)
    if outcomes.failed:
        (_, failure) = outcomes.failed[0]
        return None, f"{failure.kind}: {failure.message}"
    return runs.record(spec), ""


def _judged(record: Record, made: Record, tolerance: float | None) -> dict[str, Any]:
    from cvbench.reproduction import TOLERANCE, changed, compared, same_machine

    same = same_machine(record, made)
    allowed = tolerance if tolerance is not None else 0.0 if same else TOLERANCE
    metrics = compared(record, made, allowed)
    known = record.evidence is not None and made.evidence is not None
    return {
        "reproduced": all(one.verdict in ("equal", "within", "absent") for one in metrics),
        "same_machine": same,
        "tolerance": allowed,
        "metrics": metrics,
        "same_predictions": record.evidence == made.evidence if known else None,
        "changed": changed(record, made),
    }


def _noise(record: Record, made: Record, path: Path) -> dict[str, Any] | None:
    """The record's own 95 % interval of its primary metric over test images, and whether the new value lies in it.

    None where its evidence is not here. It says how finely this test split can tell, not how much training varies.
    """
    from cvbench.evidence import RunEvidence
    from cvbench.index import Index
    from cvbench.standings import prove
    from cvbench.store import Store as RunStore
    from cvbench.table import Group, PlannedRun

    folder = path.resolve().parent
    store = RunStore(folder.parents[2]) if len(folder.parents) > 2 else None
    if store is None or store.folder(record.spec) != folder:
        return None
    group = Group((PlannedRun(record.spec, "done", record),), record.dataset)
    found = prove(group, RunEvidence(store, Index(None)))[1].interval  # an index of the original's is not ours to write
    value = made.metrics.get(f"test/{record.spec.primary}")
    if found is None or value is None:
        return None
    return {
        "metric": f"test/{record.spec.primary}",
        "low": found.low,
        "high": found.high,
        "inside": found.low <= value <= found.high,
    }


def _report(record: Record, path: Path, told: dict[str, Any], *, json: bool) -> None:
    head = {"run_id": record.run_id, "name": record.spec.name, "record": path}
    if json:
        rows = {key: [one._asdict() for one in told[key]] for key in ("metrics", "changed") if key in told}
        options.print_json({**head, "reproduced": False, **told, **rows})
        return
    print(f"{record.spec.name} ({record.run_id}), {path}")
    if "failure" in told:
        print(f"NOT REPRODUCED: the run failed: {told['failure']}")
        return
    for obstacle in told["obstacles"]:
        print(f"  although {obstacle}")
    _show_metrics(told["metrics"])
    _show_changed(told["changed"])
    if told["same_predictions"] is not None:
        print(f"Predictions of the test images: {'equal' if told['same_predictions'] else 'not equal'}")
    if (noise := told["noise"]) is not None:
        between = f"{noise['low']:.4f} to {noise['high']:.4f}"
        where = "inside" if noise["inside"] else "outside"
        print(f"{noise['metric']} is {where} the record's 95 % interval over test images, {between}")
    print(_verdict(told))
    if told["folder"] is not None:
        print(f"Kept in {told['folder']}")


def _verdict(told: dict[str, Any]) -> str:
    allowed = f"to {told['tolerance']:g}" if told["tolerance"] else "bit for bit"
    machine = "on a machine of the same kind" if told["same_machine"] else "on another machine or with other libraries"
    return f"{'REPRODUCED' if told['reproduced'] else 'NOT REPRODUCED'} {allowed}, {machine}"


def _show_metrics(metrics: Sequence[Compared]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("metric", "recorded", "reproduced", "difference", "verdict"):
        table.add_column(column, justify="left" if column in ("metric", "verdict") else "right")
    for one in metrics:
        numbers = [_number(one.recorded), _number(one.reproduced), _number(one.difference, sign="+")]
        table.add_row(one.metric, *numbers, one.verdict, style="red" if one.verdict in ("differs", "missing") else "")
    options.console().print(table)


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else "0" if value == 0 else f"{value:{sign}.6g}"  # noqa: RUF001


def _show_changed(changed: Sequence[Changed]) -> None:
    for one in changed:
        print(f"  {one.what}: {_said(one.recorded)} then, {_said(one.here)} now")


def _said(value: Any) -> str:
    return "unknown" if value is None else str(value)

"""`cvbench rescore`: finished runs scored again from their evidence, after the evaluator changed. Imports no torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import DEFAULT_STORE, Json, Paths, Store

if TYPE_CHECKING:
    from cvbench.record import Record
    from cvbench.store import Store as RunStore


def rescore(
    *paths: Paths,
    all_runs: Annotated[
        bool, Parameter(name="--all", help="Also runs that this evaluator has scored, such as edited ones.")
    ] = False,
    dry_run: Annotated[bool, Parameter(name="--dry-run", help="Say what would change, write nothing.")] = False,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """Score finished runs again from their evidence, without training or model: those that are stale.

    Without PATH every run of the store; else those that the benchmarks name.
    """
    from cvbench.evidence import RunEvidence
    from cvbench.index import Index
    from cvbench.metrics.version import EVALUATOR_VERSION
    from cvbench.rescoring import rescored
    from cvbench.store import Store as RunStore

    runs = RunStore(store)
    due = [one for one in _records(paths, runs) if all_runs or one.evaluator_version != EVALUATOR_VERSION]
    told: list[dict[str, Any]] = []
    with Index(runs.root) as index:
        evidence = RunEvidence(runs, index)
        for record in due:
            try:
                new = rescored(record, evidence)
                if not dry_run:
                    _keep(runs, record, new)
                told.append(_as_json(record, changes=_changes(record, new)))
            except ValueError as error:
                told.append(_as_json(record, error=str(error)))
    failed = [one for one in told if one["error"]]
    if json:
        options.print_json({"evaluator_version": EVALUATOR_VERSION, "dry_run": dry_run, "runs": told})
    else:
        _show(told, dry_run)
    for one in failed:
        print(f"{one['name']} ({one['run_id']}): {one['error']}", file=sys.stderr)
    return 1 if failed else 0


def _records(paths: tuple[str, ...], store: RunStore) -> list[Record]:
    from cvbench.record import load_records

    if not paths:
        from cvbench.table import by_run

        return list(by_run(load_records(store.root)).values())
    from cvbench.suite import load_suite
    from cvbench.tuning import tuned_in

    suite = load_suite(*options.paths_and_overrides(paths))
    found = tuned_in(store, suite, lambda runs: {}, any_evaluator=True)
    planned = {run.run_id: run for run in [*found.candidates, *found.runs]}
    return [record for run in planned.values() if (record := store.record(run)) is not None]


def _keep(store: RunStore, old: Record, new: Record) -> None:
    from cvbench.record import write_record

    with store.lock(old.spec) as folder:
        if store.record(old.spec) != old:
            raise ValueError("it was written by somebody else meanwhile; rescore again")
        write_record(new, folder / "record.json")


def _changes(old: Record, new: Record) -> dict[str, tuple[float | None, float | None]]:
    names = dict.fromkeys([*old.metrics, *new.metrics])
    return {
        name: (old.metrics.get(name), new.metrics.get(name))
        for name in names
        if old.metrics.get(name) != new.metrics.get(name)
    }


def _as_json(
    record: Record, *, changes: dict[str, tuple[float | None, float | None]] | None = None, error: str = ""
) -> dict[str, Any]:
    facts = {"run_id": record.run_id, "name": record.spec.name, "was_evaluator": record.evaluator_version}
    return facts | {"changes": changes or {}, "error": error}


def _show(told: list[dict[str, Any]], dry_run: bool) -> None:
    done = [one for one in told if not one["error"]]
    for one in done:
        changes = ", ".join(f"{name} {_number(old)} -> {_number(new)}" for name, (old, new) in one["changes"].items())
        print(f"{one['name']}: {changes or 'no number changed'}")
    print(f"{len(done)} {'would be' if dry_run else ''} rescored".replace("  ", " "))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6f}"  # noqa: RUF001

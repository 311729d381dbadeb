"""`cvbench plan`: the runs of a benchmark and where each stands. Imports no torch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cvbench.commands import options
from cvbench.commands.options import DEFAULT_STORE, DataRoot, Json, MachineFile, Only, Paths, Store

if TYPE_CHECKING:
    from cvbench.spec import RunSpec

# What `cvbench run` would do about each state.
MEANING = {
    "done": "kept",
    "missing": "to run",
    "failed": "failed last time, to run again",
    "outdated": "the data have changed since, to run again",
    "stale": "scored by an older evaluator, to run again",
}


def plan(
    *paths: Paths,
    only: Only = None,
    store: Store = DEFAULT_STORE,
    data_root: DataRoot = None,
    machine: MachineFile = None,
    json: Json = False,
) -> int:
    """Show the runs of a benchmark: which are done, missing, failed or outdated. Runs nothing."""
    from cvbench.commands.stages import first_stage, listed, remarks, standing
    from cvbench.machine import load_machine
    from cvbench.store import DataState, data_states
    from cvbench.store import Store as RunStore
    from cvbench.suite import load_suite

    targets, overrides = options.paths_and_overrides(paths)
    root = load_machine(machine, data_root=data_root).data_root
    suite = load_suite(targets, overrides)
    held = RunStore(store)
    found = standing(suite, held, root)
    first_stage(found, only)  # refuses a GLOB that fits nothing
    runs = listed(found, only)
    # What is embedded is always here, and is asked (which takes numpy) only where a record has to fit its revision.
    asked = [run for run in runs if (held.folder(run) / "record.json").is_file() or not _embedded(run)]
    data = dict.fromkeys((run.run_id for run in runs), DataState(None)) | data_states(asked, root)
    states = {run.run_id: held.state(run, data[run.run_id].revision) for run in runs}
    counts = Counter(states[run.run_id] for run in runs)
    if json:
        shown = [
            {
                "run_id": run.run_id,
                "group_id": run.group_id,
                "benchmark": run.benchmark,
                "task": run.task,
                "dataset": run.dataset.name,
                "model": run.label or run.model.name,
                "seed": run.seed,
                "candidate": run.candidate or None,
                "state": states[run.run_id],
                "problem": data[run.run_id].problem,
                "folder": held.folder(run),
                "spec": run.model_dump(mode="json"),
            }
            for run in runs
        ]
        options.print_json({"suite": suite.name, "counts": dict(counts), "runs": shown, "tuning": remarks(found, only)})
        return 0
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("state", "benchmark", "dataset", "model", "seed", "run_id"):
        table.add_column(column, justify="right" if column == "seed" else "left")
    for run in runs:
        state = states[run.run_id]
        label = (run.label or run.model.name) + (f" ({run.candidate})" if run.candidate else "")
        table.add_row(
            state, run.benchmark, run.dataset.name, escape(label), str(run.seed), run.run_id, style=_style(state)
        )
    options.console().print(table)
    for state, count in counts.items():
        print(f"{count} {state}: {MEANING[state]}")
    for line in remarks(found, only):
        print(line)
    # One line a dataset, and one more where the same dataset with other options has another problem.
    for name, problem in dict.fromkeys((run.dataset.name, data[run.run_id].problem) for run in runs):
        if problem is not None:
            print(f"data not here: {name}: {problem}")
    return 0


def _style(state: str) -> str:
    return {"done": "green", "failed": "red", "missing": ""}.get(state, "yellow")


def _embedded(run: RunSpec) -> bool:
    from cvbench import catalog

    return catalog.find("datasets", run.dataset.name).embedded

"""`cvbench plan`: the runs of a benchmark and where each stands. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvbench.commands import options
from cvbench.commands.options import DEFAULT_STORE, Json, MachineOptions, Only, Paths, Store

if TYPE_CHECKING:
    from cvbench.spec import RunSpec

DEFAULT_MACHINE = MachineOptions()

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
    on: MachineOptions = DEFAULT_MACHINE,
    json: Json = False,
) -> int:
    """Show the runs of a benchmark: which are done, missing, failed or outdated, and where they would go. Runs nothing.

    Takes the machine options of `cvbench run`, to show what it would do with them.
    """
    from dataclasses import asdict

    from cvbench import catalog
    from cvbench.commands.stages import first_stage, listed, remarks, standing
    from cvbench.data_here import DataState, data_states
    from cvbench.placement import placement
    from cvbench.queued import queued
    from cvbench.store import Store as RunStore
    from cvbench.suite import load_suite

    targets, overrides = options.paths_and_overrides(paths)
    machine = on.load()
    suite = load_suite(targets, overrides)
    held = RunStore(store)
    found = standing(suite, held, machine.data_root)
    first_stage(found, only)  # refuses a GLOB that fits nothing
    runs = listed(found, only)
    place = placement(machine, found.size)
    for batch_size in sorted({run.recipe.batch_size for run in runs}):
        machine.share(batch_size)
    # What is embedded is always here, and is asked (which takes numpy) only where a record has to fit its revision.
    embedded = {name: catalog.find("datasets", name).embedded for name in {run.dataset.name for run in runs}}
    asked = [run for run in runs if not embedded[run.dataset.name] or (held.folder(run) / "record.json").is_file()]
    data = dict.fromkeys((run.run_id for run in runs), DataState(None)) | data_states(asked, machine.data_root)
    states = {run.run_id: held.state(run, data[run.run_id].revision) for run in runs}
    jobs = queued(held, [run for run in runs if states[run.run_id] != "done"])
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
                "job": jobs.get(run.run_id),
                "problem": data[run.run_id].problem,
                "reason": held.reason(run) if states[run.run_id] == "failed" else None,
                "folder": held.folder(run),
                "spec": run.model_dump(mode="json"),
            }
            for run in runs
        ]
        whole = {"suite": suite.name, "counts": dict(counts), "placement": asdict(place)}
        options.print_json(whole | {"runs": shown, "tuning": remarks(found, only)})
        return 0
    rows = [
        (states[run.run_id], run.benchmark, run.dataset.name, _label(run), str(run.seed), run.run_id) for run in runs
    ]
    _print_table(("state", "benchmark", "dataset", "model", "seed", "run_id"), rows)
    for state, count in counts.items():
        print(f"{count} {state}: {MEANING[state]}")
    if jobs:
        print(f"{len(jobs)} of them in the queue already: {', '.join(f'job {job}' for job in jobs.values())}")
    for line in remarks(found, only):
        print(line)
    print(place)
    for run in runs:
        if states[run.run_id] == "failed":
            print(f"failed: {run.name}: {held.reason(run)}")
    # One line a dataset, and one more where the same dataset with other options has another problem.
    for name, problem in dict.fromkeys((run.dataset.name, data[run.run_id].problem) for run in runs):
        if problem is not None:
            print(f"data not here: {name}: {problem}")
    return 0


def _label(run: RunSpec) -> str:
    return (run.label or run.model.name) + (f" ({run.candidate})" if run.candidate else "")


def _print_table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns of text, coloured by state on terminals. rich's own table takes 6 s for 10,000 runs."""
    from rich.cells import cell_len
    from rich.color import ColorSystem
    from rich.style import Style

    widths = [max(map(cell_len, column)) for column in zip(heads, *rows, strict=True)]
    seed = heads.index("seed")
    to = options.console()
    coloured = to.is_terminal and not to.no_color
    styles = {"done": "green", "failed": "red", "missing": "none", heads[0]: "bold"}
    lines = []
    for row in (heads, *rows):
        spaces = [" " * (width - cell_len(cell)) for width, cell in zip(widths, row, strict=True)]
        cells = [f"{s}{c}" if at == seed else f"{c}{s}" for at, (c, s) in enumerate(zip(row, spaces, strict=True))]
        line = "  ".join(cells).rstrip()
        style = Style.parse(styles.get(row[0], "yellow"))
        lines.append(style.render(line, color_system=ColorSystem.STANDARD) if coloured else line)
    print("\n".join(lines))

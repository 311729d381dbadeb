"""`cvbench run`: plan, execute what the store lacks, publish the board into the store, show the table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import DEFAULT_STORE, Json, MachineOptions, Only, Paths, Store
from cvbench.unread import discard

if TYPE_CHECKING:
    from cvbench.events import Event
    from cvbench.executors.base import Outcomes, Rerun
    from cvbench.executors.meeting import Meeting
    from cvbench.machine import Machine
    from cvbench.spec import RunSpec, Suite
    from cvbench.store import Store as RunStore

DEFAULT_MACHINE = MachineOptions()


def run(
    *paths: Paths,
    only: Only = None,
    rerun: Annotated[
        Literal["missing", "failed", "all"],
        Parameter(help="missing: what has no valid record; failed: only what failed; all: everything anew."),
    ] = "missing",
    store: Store = DEFAULT_STORE,
    on: MachineOptions = DEFAULT_MACHINE,
    detach: Annotated[bool, Parameter(help="Leave the jobs to SLURM and return; run again to see the board.")] = False,
    json: Json = False,
    quiet: Annotated[bool, Parameter(help="No progress; only results and errors.")] = False,
) -> int:
    """Train and evaluate what a benchmark names and the store lacks, then show its leaderboard."""
    from cvbench.executors.distributed import follow
    from cvbench.executors.meeting import joined

    machine = on.load()
    with joined(machine, lambda line: options.say(line, quiet=quiet)) as meeting:
        if meeting is not None and not meeting.place.leads:
            return follow(meeting, machine)
        return _run(paths, only, rerun, store, machine, meeting, detach=detach, json=json, quiet=quiet)


def _run(
    paths: Sequence[str],
    only: str | None,
    rerun: Rerun,
    store: Path,
    machine: Machine,
    meeting: Meeting | None,
    *,
    detach: bool,
    json: bool,
    quiet: bool,
) -> int:
    from cvbench.commands.boards import show_failures
    from cvbench.commands.stages import first_stage, second_stage, standing
    from cvbench.store import Store as RunStore
    from cvbench.suite import load_suite

    targets, overrides = options.paths_and_overrides(paths)
    suite = load_suite(targets, overrides)
    runs = RunStore(store)
    before = standing(suite, runs, machine.data_root, plugins=True)
    first = first_stage(before, only)
    number = len(first.runs) + first.later
    options.say(summary(suite.name, len(suite.benchmarks), number, before.size), quiet=quiet)

    from cvbench.executors.execute import execute
    from cvbench.progress import progress

    with progress(first.runs, more=first.later, quiet=quiet) as on_event:

        def do(some: Sequence[RunSpec]) -> Outcomes:
            tell = lambda event: on_event(_with_score(event, runs))  # noqa: E731
            return execute(
                some,
                runs,
                machine,
                rerun=rerun,
                on_event=tell,
                planned=before.size,
                detach=detach,
                meeting=meeting,
            )

        outcomes = do(first.runs)
        if first.later:
            now = standing(suite, runs, machine.data_root, plugins=True)
            outcomes.add(do(second_stage(now, first.runs, only)))

    try:
        _show(suite, runs, machine, overrides, outcomes, json=json, quiet=quiet)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on: what was done is done
        discard(sys.stdout)
    except (OSError, ValueError) as error:  # a full disk, say, of which runs have failed before
        if not outcomes.failed:
            raise
        options.say(f"cvbench: no board: {error}")
    if outcomes.submitted:
        options.say(f"{_count(len(outcomes.submitted), 'run')} left to SLURM; `cvbench plan` says where they stand")
    show_failures(outcomes.failed, runs)
    return 1 if outcomes.failed else 0


def _show(
    suite: Suite,
    runs: RunStore,
    machine: Machine,
    overrides: Sequence[str],
    outcomes: Outcomes,
    *,
    json: bool,
    quiet: bool,
) -> None:
    """The board: into the store, and as a table or JSON on stdout."""
    from cvbench.commands.boards import finished, publish_board, show_table

    leaderboard = finished(suite, runs, machine.data_root, overrides, quiet=quiet)
    folder = runs.root / "boards" / suite.name
    problem: Exception | None = None
    try:
        runs.refuse_links(folder)
        publish_board(leaderboard, folder)
    except (OSError, ValueError) as error:  # a read-only disk, say: it can be shown all the same
        problem = error
    if json:
        options.print_json(
            {
                "suite": suite.name,
                "done": [_named(one) for one in outcomes.done],
                "skipped": [_named(one) for one in outcomes.skipped],
                "submitted": [_named(one) for one in outcomes.submitted],
                "failed": [
                    _named(one)
                    | {"kind": failure.kind, "reason": failure.message, "folder": runs.folder(one)}
                    | {"attempts": [attempt.model_dump(mode="json") for attempt in failure.attempts]}
                    for one, failure in outcomes.failed
                ],
                "board": None if problem else folder,
                "leaderboard": leaderboard.model_dump(mode="json"),
            }
        )
    else:
        show_table(leaderboard)
        if problem is None:
            print(f"Board: {folder.resolve()}")
    if problem is not None:
        raise problem


def _with_score(event: Event, store: RunStore) -> Event:
    """A finished run's event, with what it scored; a candidate on val, since nothing else counts for it."""
    if event.kind != "done" or event.metrics or (record := store.record(event.run)) is None:
        return event
    key = f"{'val' if event.run.candidate else 'test'}/{event.run.primary}"
    return event._replace(metrics={key: record.metrics[key]} if key in record.metrics else {})


def summary(suite: str, benchmarks: int, chosen: int, planned: int) -> str:
    """`quick: 2 benchmarks, 18 runs`, and of how many where `--only` left some out."""
    of = "" if chosen == planned else f" of {planned}"
    return f"{suite}: {_count(benchmarks, 'benchmark')}, {chosen}{of} {'run' if planned == 1 else 'runs'}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _named(one: Any) -> dict[str, Any]:
    return {"run_id": one.run_id, "name": one.name}

"""`execute(runs, store, machine) -> Outcomes`: does what the store lacks, on whatever executor the machine names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from cvbench.data_here import revisions
from cvbench.events import Event
from cvbench.executors.base import Executor, Job, OnEvent, Outcomes, Rerun, is_due, unique
from cvbench.executors.meeting import Meeting
from cvbench.machine import Machine
from cvbench.placement import Placement, placement
from cvbench.spec import RunSpec
from cvbench.store import Store


def execute(
    runs: Sequence[RunSpec],
    store: Store | Path | str = "runs",
    machine: Machine | None = None,
    *,
    rerun: Rerun = "missing",
    on_event: OnEvent | None = None,
    planned: int | None = None,
    detach: bool = False,
    meeting: Meeting | None = None,
) -> Outcomes:
    """Does what `rerun` asks for and the store lacks. A run that fails costs itself only.

    on_event is called in the calling thread. KeyboardInterrupt ends what runs and passes on; what is done is kept, and
    a second one ends it at once. What a run is tried again for, `Machine.retries` says.
    planned: runs of the whole plan, where `runs` are only some of them. detach: leave the jobs to SLURM and return.
    meeting: where this process is the first of several posts: `with joined(machine) as meeting`. Raises ValueError for
    what no run could do, a store that cannot be written included.
    """
    tell = on_event or (lambda event: None)
    store = store if isinstance(store, Store) else Store(store)
    machine = machine or Machine()
    if detach and machine.executor != "slurm":
        raise ValueError(
            f"Expected executor slurm with detach, but got {machine.executor!r}: only its queue goes on alone"
        )
    wanted = unique(runs)
    for run in wanted:
        machine.share(run.recipe.batch_size)  # a mistake that all processes would only repeat
    if meeting is None and machine.nodes > 1 and machine.executor == "local":
        raise ValueError(
            f"Expected a meeting of {machine.nodes} nodes (`cvbench.executors.meeting.joined`), but got none"
        )
    place = placement(machine, planned or len(wanted), together=meeting is not None)
    known = revisions(wanted, machine.data_root, plugins=True)
    on = machine.model_copy(update={"threads": place.threads, "jobs": place.jobs})
    root = store.root
    if machine.executor != "local":  # whoever runs there may stand in another folder
        root = root.absolute()
        paths = {"data_root": machine.data_root.absolute(), "cache": machine.cache.absolute()}
        # What the placement says, and not what a node happens to have.
        on = on.model_copy(update=paths | {"accelerator": machine.accelerator if place.gpus else "cpu"})
    outcomes, jobs = Outcomes(), []
    for run in wanted:
        if is_due(run, store, known[run.run_id], rerun):
            jobs.append(Job(run, root, on, rerun, known[run.run_id]))
        else:
            outcomes.skipped.append(run)
            tell(Event("skipped", run))
    if not jobs:
        return outcomes
    store.check_writable()
    with closing(_executor(on, place, detach, meeting)) as executor:
        for event in executor.outcomes(jobs):
            if event is not None:
                outcomes.note(event)
                tell(event)
    return outcomes


def _executor(machine: Machine, place: Placement, detach: bool, meeting: Meeting | None) -> Executor:
    if machine.executor == "ray":
        from cvbench.executors.ray import RayExecutor

        return RayExecutor(machine, place)
    if machine.executor == "slurm":
        from cvbench.executors.slurm import SlurmExecutor

        return SlurmExecutor(machine, place, detach=detach)
    from cvbench.executors.local import LocalExecutor

    return LocalExecutor(machine, place, meeting)

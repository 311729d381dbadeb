"""A run that failed is tried again where that may help, as `Machine.retries` says; one place for all executors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from cvbench.events import Event
from cvbench.executors.base import OnEvent, Work
from cvbench.failure import Attempt, Failure, Retried
from cvbench.machine import Machine
from cvbench.spec import RunSpec


def run_with_retries(
    work: Work, run: RunSpec, machine: Machine, begin: Callable[[bool], Path], tell: OnEvent
) -> Failure | None:
    """Runs to the end and returns None, or the last try's failure, with all of them in its `attempts`.

    begin: gives the working folder of a try; its argument says that nothing is to be gone on from.
    """
    attempts: list[Attempt] = []
    folder = begin(False)
    while True:
        failure = work(run, machine, folder, tell)
        if failure is None:
            return None
        told = failure.model_dump(include={"kind", "message", "failed_at"})
        attempts.append(Attempt(**told, accumulate=machine.share(run.recipe.batch_size).accumulate))
        again = next_try(run, machine, [attempt.kind for attempt in attempts])
        if again is None:
            return failure if len(attempts) == 1 else failure.model_copy(update={"attempts": tuple(attempts)})
        tell(Event("retry", run, message=_in_words(run, machine, again, failure)))
        folder, machine = begin(not failure.leaves_a_checkpoint), again


def next_try(run: RunSpec, machine: Machine, kinds: list[str]) -> Machine | None:
    """The machine of the next try after tries that ended so (`Failure.kind`); None where there is to be none."""
    kind = kinds[-1]
    if kind not in get_args(Retried) or kinds.count(kind) > getattr(machine.retries, kind):
        return None
    if kind != "out_of_memory":
        return machine
    share = machine.share(run.recipe.batch_size)
    if run.mode != "train" or share.batch_per_device % 2:  # an odd number of samples has no half
        return None
    return machine.model_copy(update={"accumulate": share.accumulate * 2})


def _in_words(run: RunSpec, before: Machine, now: Machine, failure: Failure) -> str:
    batch = run.recipe.batch_size
    was, half = before.share(batch), now.share(batch)
    if was == half:
        return f"{failure.message}; tries again, from its last checkpoint if there is one"
    each = half.batch_per_device
    return (
        f"out of memory with {was.batch_per_device} samples at once; tries again with {each}, {half.accumulate} times "
        f"a step: the batch stays {batch}, but batch norm, where the model has it, sees {each}"
    )

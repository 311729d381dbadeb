"""A suite that tunes, in two stages, as `run` does and `plan` shows it: candidates, then the runs that follow.

`--only` names candidates (`digits/mlp (lr 0.001) seed 0`) and final runs alike; a final run whose recipe is not chosen
yet brings the candidates along that it waits for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cvbench.commands import options

if TYPE_CHECKING:
    from cvbench.data_here import DataState
    from cvbench.plan import Line
    from cvbench.spec import RunSpec, Suite
    from cvbench.store import Store
    from cvbench.tuning import Tuned, Tuning


class First(NamedTuple):
    """What can be run before anything is chosen. later: how many runs follow."""

    runs: list[RunSpec]
    later: int


def standing(suite: Suite, store: Store, data_root: Path, *, plugins: bool = False) -> Tuned:
    """The suite as far as the store's candidates tell. plugins: see `data_here.data_states`.

    Raises ValueError where candidates could not be chosen among, because their data have no val split.
    """
    from cvbench.data_here import data_states
    from cvbench.plan import lines
    from cvbench.tuning import tuned_in

    candidates = [run for line in lines(suite) if line.tuned for run in line.candidates]
    data = data_states(candidates, data_root, plugins=plugins)
    _refuse_without_val(candidates, data)
    return tuned_in(store, suite, lambda held: {run.run_id: data[run.run_id].revision for run in held})


def _refuse_without_val(candidates: Sequence[RunSpec], data: Mapping[str, DataState]) -> None:
    for run in candidates:
        sizes = data[run.run_id].split_sizes
        if sizes is not None and not sizes.get("val"):
            raise ValueError(
                f"{run.benchmark}: {run.dataset.name}: `tune` chooses by the score on val, and this data set has no "
                "val split here; give it one, or `recipe: {tune: null}` under this data set"
            )


def first_stage(found: Tuned, only: str | None) -> First:
    """Candidates, and the runs of what is not tuned. Raises ValueError where `only` names nothing at all."""
    options.select([run for part in found.parts for run in (*_named(*part), *part[0].candidates)], only)
    runs: list[RunSpec] = []
    later = 0
    for line, tuning in found.parts:
        wanted = _wanted(line, tuning, only)
        if tuning is None:
            runs += wanted
            continue
        waits = bool(wanted) and tuning.stage != "chosen"
        tried = [run for run in line.candidates if waits or options.fits(run, only)]
        runs += tried
        ids = {run.run_id for run in tried}
        later += len([run for run in wanted if run.seed != line.seeds[0] or not (waits or run.run_id in ids)])
    return First(runs, later)


def second_stage(found: Tuned, first: Sequence[RunSpec], only: str | None) -> list[RunSpec]:
    """The runs of tuned models whose recipe is known by now, but for those of the first stage."""
    before = {run.run_id for run in first}
    tuned = [run for line, tuning in found.parts if tuning and tuning.runs for run in _wanted(line, tuning, only)]
    return [run for run in tuned if run.run_id not in before]


def listed(found: Tuned, only: str | None) -> list[RunSpec]:
    """All runs that are known, in the order of the files; the chosen candidate is the run of its seed."""
    runs: list[RunSpec] = []
    for line, tuning in found.parts:
        tried = [run for run in line.candidates if options.fits(run, only)] if tuning else []
        ids = {run.run_id for run in tried}
        final = _wanted(line, tuning, only) if tuning is None or tuning.runs else []
        runs += tried + [run for run in final if run.run_id not in ids]
    return runs


def remarks(found: Tuned, only: str | None) -> list[str]:
    """What of each tuned model is chosen, still open, or cannot be: a line each."""
    return [_remark(tuning) for line, tuning in found.parts if tuning and _wanted(line, tuning, only)]


def _remark(tuning: Tuning) -> str:
    run, number = tuning.line.candidates[0], len(tuning.tried)
    name = f"{run.dataset.name}/{run.label or run.model.name}"
    if tuning.chosen is not None:
        best = tuning.tried[tuning.chosen]
        val = "" if best.val is None else f", val/{run.primary} {best.val:.4f}"
        failed = len(tuning.tried) - len(tuning.finished)
        return (
            f"chosen: {name}: {best.run.candidate}, of {number} candidates" + f" ({failed} failed)" * bool(failed) + val
        )
    if tuning.stage == "failed":
        return f"not chosen: {name}: {tuning.why}"
    seeds = len(tuning.line.seeds)
    tried = number - tuning.waiting
    more = f" ({tried} tried so far)" if tried else ""
    return f"open: {seeds} {'seed' if seeds == 1 else 'seeds'} of {name} once its {number} candidates are done{more}"


def _wanted(line: Line, tuning: Tuning | None, only: str | None) -> list[RunSpec]:
    """The final runs that `only` names; of an open line, runs of their names."""
    known = tuning is None or bool(tuning.runs)
    return [run for run in _named(line, tuning) if options.fits(run, only, by_id=known)]


def _named(line: Line, tuning: Tuning | None) -> list[RunSpec]:
    return (tuning.runs if tuning else []) or line.final(0)

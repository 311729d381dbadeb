"""A published board against the store that it came from: every number is computed anew, nothing is taken from a cache.

`leaderboard --check` without a store asks whether a board's files follow from board.json; this, whether board.json
follows from the records and their evidence. Never torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cvbench.board import Board, Leaderboard, Row, Tuned
from cvbench.evidence import RunEvidence
from cvbench.index import Index
from cvbench.leaderboard import Member, compared, direction_of, suite_scores_of
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.plan import Line
from cvbench.record import Record, read_record
from cvbench.rows import build_row, curves_of, tuned_of
from cvbench.spec import Recipe, RunSpec
from cvbench.standings import prove
from cvbench.store import Store
from cvbench.table import Group, PlannedRun
from cvbench.tuning import Tried, Tuning

# What of a row follows from its runs.
_FIELDS = (
    *("mean", "sd", "n", "runs", "interval", "unranked", "standing", "versus_baseline", "origin", "scores"),
    *("per_class", "costs", "front", "curves", "calibration", "tuned"),
)


def differences(leaderboard: Leaderboard, store: Store) -> list[str]:
    """What the board says that its runs in this store do not give; empty where all of it follows."""
    found = {path.parent.name: path for path in store.root.glob("*/*/*/record.json")}
    evidence = RunEvidence(store, Index(None))
    problems: list[str] = []
    members: list[list[Member]] = []
    for board in leaderboard.boards:
        records, missing = _records(board, found)
        problems += missing
        rows = [row for row in board.rows if any(run.run_id in records for run in row.runs)]
        members.append([_member(row, board, records, evidence) for row in rows])
        problems += _of_board(board, rows, members[-1], records, evidence) if not missing else []
    if not problems and suite_scores_of(leaderboard.boards, members) != leaderboard.suite_scores:
        problems.append("the suite scores are not those that the runs give")
    return problems


def _records(board: Board, found: Mapping[str, Any]) -> tuple[dict[str, Record], list[str]]:
    """run_id -> record of the board's finished runs and candidates, and what of them is not in the store or of use."""
    records, missing = {}, []
    for row in board.rows:
        for run_id in _finished(row):
            if run_id not in found:
                missing.append(f"{_where(board, row)}: run {run_id} is not in this store")
                continue
            try:
                record = read_record(found[run_id])
            except ValueError as error:
                missing.append(str(error))
                continue
            if record.evaluator_version != EVALUATOR_VERSION:
                stale = f"scored by evaluator {record.evaluator_version}, this is {EVALUATOR_VERSION}"
                missing.append(f"{found[run_id]}: {stale}; `cvbench rescore`, and make the board again")
                continue
            if record.run_id != run_id or record.spec.run_id != run_id:
                missing.append(f"{found[run_id]}: not the record of run {run_id}")
                continue
            records[run_id] = record
    return records, missing


def _finished(row: Row) -> list[str]:
    """Ids of a row's finished runs; where its recipe was chosen, of the candidates that have a score as well."""
    candidates = row.tuned.candidates if row.tuned is not None and row.tuned.chosen is not None else ()
    runs = [run.run_id for run in row.runs if run.state == "done"]
    return runs + [one.run_id for one in candidates if not one.reason and one.run_id not in runs]


def _member(row: Row, board: Board, records: Mapping[str, Record], evidence: RunEvidence) -> Member:
    """The row's runs as a group; those that were not finished are as the board says."""
    known = next(records[run.run_id] for run in row.runs if run.run_id in records)
    named = {"benchmark": board.benchmark, "backbone": row.backbone, "primary": board.primary.name}
    spec = known.spec.model_copy(update=named)
    runs = [
        PlannedRun(spec.model_copy(update={"seed": run.seed}), run.state, records.get(run.run_id), run.reason)
        for run in row.runs
    ]
    return Member(*prove(Group(tuple(runs), known.dataset), evidence), row.label, row.pictures)


def _tuned(tuned: Tuned | None, spec: RunSpec, records: Mapping[str, Record]) -> Tuned | None:
    """The candidates and the choice anew from records. Candidates that failed left none, and are as the board says."""
    if tuned is None or tuned.chosen is None:
        return tuned
    tried = [
        Tried(spec, failure=one.reason) if one.reason else Tried(records[one.run_id].spec, records[one.run_id])
        for one in tuned.candidates
    ]
    values = tuple(_values(one.run.recipe, told.values) for one, told in zip(tried, tuned.candidates, strict=True))
    found = tuned_of(Tuning(Line(tuple(one.run for one in tried), values, (tuned.seed,)), tuple(tried)))
    told = [theirs if theirs.reason else ours for ours, theirs in zip(found.candidates, tuned.candidates, strict=True)]
    return found.model_copy(update={"candidates": tuple(told)})


def _values(recipe: Recipe, keys: Iterable[str]) -> dict[str, Any]:
    """What a recipe says of these keys, `augment.flip` for one below `augment`."""
    flat = recipe.model_dump(mode="json")
    flat |= {f"augment.{key}": value for key, value in flat["augment"].items()}
    return {key: flat[key] for key in keys}


def _of_board(
    board: Board, rows: list[Row], members: list[Member], records: Mapping[str, Record], evidence: RunEvidence
) -> list[str]:
    """rows: those with a finished run, and their members."""
    environments = {run.run_id: 0 for row in rows for run in row.runs}
    built = [
        build_row(
            member.group,
            member.label,
            board.metrics,
            recipe={},
            environments=environments,
            proven=member.proven,
            curves=curves_of(member.group, evidence),
        ).model_copy(update={"tuned": _tuned(row.tuned, member.group.spec, records)})
        for row, member in zip(rows, members, strict=True)
    ]
    baseline = next((member for member in members if member.label == board.baseline), None)
    expected = compared(built, members, baseline, direction_of(board.primary))
    return [
        f"{_where(board, row)}: Expected {name} {_shown(ours)}, as its runs give, but the board has {_shown(theirs)}"
        for row, new in zip(rows, expected, strict=True)
        for name in _FIELDS
        if (ours := getattr(new, name)) != (theirs := getattr(row, name))
    ]


def _where(board: Board, row: Row) -> str:
    return f"{board.benchmark}, {board.dataset}, {row.label}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:199] + "…"

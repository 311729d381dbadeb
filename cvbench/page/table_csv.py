"""metrics.csv: one line a row of the board, fractions as frozen, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from typing import Any

from cvbench.board import Board, Leaderboard, Row, Tuned
from cvbench.page.text import csv_cell, settings
from cvbench.record import Costs
from cvbench.table import STATES, canonical


def render(leaderboard: Leaderboard) -> str:
    """The columns of `table.metrics_table`, the statistics, run ids, and what was tuned; what a row does not have stays
    empty.
    """
    rows = [_flat(board, row) for board in leaderboard.boards for row in board.rows]
    others = dict.fromkeys(key for row in rows for key in row if key.endswith(("_mean", "_sd")))
    tuned = _TUNED if any(row.tuned for board in leaderboard.boards for row in board.rows) else ()
    first = [*_FACTS, *tuned, *others, *Costs.model_fields, "seeds", "run_ids"]
    text = io.StringIO()
    writer = csv.DictWriter(text, first, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


_FACTS = (
    *("benchmark", "task", "dataset", "dataset_options", "model", "group_id", "protocol", "revision"),
    *("primary", "rank", "best_rank", "worst_rank", "mean", "sd", "low", "high"),
    *("difference_to_baseline", "difference_low", "difference_high", "p_baseline"),
    *("n", "planned", *STATES[1:], "state", "overrides", "origin"),
)
_TUNED = ("tuned", "candidates", "candidates_val", "candidates_train_seconds")


def _flat(board: Board, row: Row) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "benchmark": board.benchmark,
        "task": board.task,
        "dataset": board.dataset,
        "dataset_options": canonical(board.options),
        "model": row.label,
        "group_id": row.group_id,
        "protocol": board.protocol_hash,
        "revision": board.revision,
        "primary": board.primary.name,
        "mean": row.mean,
        "sd": row.sd,
        "n": row.n,
        "planned": row.planned,
        **{state: sum(run.state == state for run in row.runs) for state in STATES[1:]},
        "state": row.state,
        "overrides": ", ".join(row.overrides),
        "origin": row.origin,
        **(_tuned(row.tuned) if row.tuned else {}),
    }
    scores = {
        f"{metric.name}_{part}": getattr(row.scores[metric.name], part)
        for metric in board.metrics[1:]
        for part in ("mean", "sd")
    }
    costs = row.costs.model_dump() if row.costs else {}
    runs = {"seeds": " ".join(str(run.seed) for run in row.runs), "run_ids": " ".join(run.run_id for run in row.runs)}
    return facts | _statistics(row) | scores | costs | runs


def _statistics(row: Row) -> dict[str, Any]:
    """Empty where the row has none."""
    standing, interval, difference = row.standing, row.interval, row.versus_baseline
    return {
        "rank": standing and standing.rank,
        "best_rank": standing and standing.best,
        "worst_rank": standing and standing.worst,
        "low": interval and interval.low,
        "high": interval and interval.high,
        "difference_to_baseline": difference and difference.value,
        "difference_low": difference and difference.low,
        "difference_high": difference and difference.high,
        "p_baseline": difference and difference.p,
    }


def _tuned(found: Tuned) -> dict[str, Any]:
    """tuned: what the chosen candidate changes; candidates_val: the score of each, in their order, as JSON."""
    return {
        "tuned": "" if found.chosen is None else settings(found.values) or "as written",
        "candidates": len(found.candidates),
        "candidates_val": canonical([candidate.val for candidate in found.candidates]),
        "candidates_train_seconds": found.train_seconds,
    }

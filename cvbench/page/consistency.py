"""Does a board follow from its own runs: what somebody changed by hand is found without the store."""

from __future__ import annotations

import math

from cvbench.board import METRIC_DECIMALS, Board, Leaderboard, Row, sort_key
from cvbench.table import spread


def inconsistencies(leaderboard: Leaderboard) -> list[str]:
    """What a board says that does not follow from its own runs: a mean, sd, count or order that somebody changed."""
    found = []
    for board in leaderboard.boards:
        for row in board.rows:
            where = f"{board.benchmark}, {board.dataset}, {row.label}"
            values = [run.value for run in row.runs if run.value is not None]
            if (row.n, row.planned) != (len(values), len(row.runs)):
                found.append(f"{where}: Expected n {len(values)} of {len(row.runs)}, but got {row.n} of {row.planned}")
            expected = spread(values)
            for name, ours, theirs in (("mean", expected.mean, row.mean), ("sd", expected.sd, row.sd)):
                # values are rounded one by one, so the last digit of their mean may differ
                same = theirs is None if math.isnan(ours) else _close(ours, theirs)
                if not same:
                    found.append(f"{where}: Expected {name} {ours:.6f} of its runs' values, but got {theirs}")
            found += [f"{where}: {text}" for text in _impossible(row, board)]
        if list(board.rows) != sorted(board.rows, key=lambda row: sort_key(row, board.primary.direction)):
            found.append(f"{board.benchmark}, {board.dataset}: rows are not in the order of {board.primary.name}")
    return found


def _impossible(row: Row, board: Board) -> list[str]:
    """What cannot be of one row's statistics."""
    found = []
    if row.interval is not None and (row.mean is None or not row.interval.low <= row.mean <= row.interval.high):
        found.append(f"Expected an interval around {row.mean}, but got {row.interval.low} … {row.interval.high}")
    if row.standing is not None and row.interval is None:
        found.append("Expected no rank without an interval")
    if row.standing is not None and not 1 <= row.standing.best <= row.standing.worst <= len(board.rows):
        found.append(f"Expected ranks in 1..{len(board.rows)}, but got {row.standing.best} … {row.standing.worst}")
    return found


def _close(ours: float, theirs: float | None) -> bool:
    return theirs is not None and abs(ours - theirs) < 2 * 10.0**-METRIC_DECIMALS

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
        found += [f"{board.benchmark}, {board.dataset}: {text}" for text in _together(board)]
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
    score = row.scores.get(board.primary.name)
    if score is None or (score.mean, score.sd) != (row.mean, row.sd):
        found.append(f"Expected {board.primary.name} to be what the row is ranked by, but got {score}")
    return found


def _together(board: Board) -> list[str]:
    """What cannot be of the rows of one board: ranks with gaps, a difference that is not that of two means."""
    found = []
    ranks = [row.standing.rank for row in board.rows if row.standing is not None]
    if any(step not in (0, 1) for step in map(int.__sub__, ranks, [0, *ranks])) or ranks[:1] not in ([], [1]):
        found.append(f"Expected dense ranks from 1 on in the order of the rows, but got {ranks}")
    baseline = next((row for row in board.rows if row.label == board.baseline), None)
    for row in board.rows:
        apart = row.versus_baseline
        if apart is None:
            continue
        if baseline is None or baseline.mean is None or row.mean is None:
            found.append(f"{row.label}: Expected no difference to a baseline that is not there")
        elif not (apart.low <= apart.value <= apart.high and _close(row.mean - baseline.mean, apart.value)):
            expected = f"{row.mean - baseline.mean:.6f}"
            found.append(f"{row.label}: Expected the difference {expected} in its interval, but got {apart.value}")
    return found


def _close(ours: float, theirs: float | None) -> bool:
    return theirs is not None and abs(ours - theirs) < 2 * 10.0**-METRIC_DECIMALS

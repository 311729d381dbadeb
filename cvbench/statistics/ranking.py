"""Ranks that say no more than the tests do: ties with the best of a group, and the ranks that each row may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cvbench.statistics.comparison import Direction, p_value
from cvbench.statistics.interval import Seeds, combined, seeds_of
from cvbench.statistics.resamples import Floats, Scores, check_alike, defined

ALPHA = 0.05


class Standing(NamedTuple):
    """Where a row stands. rank: dense, 1 the best, shared inside a tie group.

    best_rank, worst_rank: 95 % interval of its rank among all rows. p: adjusted (Holm), against the best of its group,
    which it is tied with; 1 for the best itself.
    """

    rank: int
    best_rank: int
    worst_rank: int
    p: float


def tie_groups(rows: Sequence[Scores], direction: Direction = "max", alpha: float = ALPHA) -> list[Standing]:
    """The standing of each row, in the order given; all rows on the same images and resamples.

    Ties: rows are taken in the order of their means. The first is the best of group 1. Every row below is compared
    with it (`compare`), with Holm's correction over these comparisons; down to the first row that it is separated from,
    all share its rank. That row is the best of the next group, and so on: a row is held against its group's best, not
    against its neighbour, so a group is never longer than the test allows.

    Rank interval: 1 + the rows that are surely better to the number of rows less those that are surely worse, tested
    against each of the others with Holm's correction over these (Mogstad, Romano, Shaikh & Wilhelm, "Inference for
    ranks", Review of Economic Studies 2024: the marginal confidence set of one row's rank). Among rows that share a
    mean exactly, order is that given.
    """
    worth = np.array([row.mean if direction == "max" else -row.mean for row in rows])
    p_values = _p_values(rows)
    ranks, adjusted = np.zeros(len(rows), dtype=int), np.ones(len(rows))
    left, rank = np.argsort(-worth, kind="stable").tolist(), 0
    while left:
        rank += 1
        best, below = left[0], left[1:]
        p = holm(p_values[best, below])
        tied = next((place for place, value in enumerate(p) if value <= alpha), len(below))
        ranks[left[: tied + 1]] = rank
        adjusted[below[:tied]] = p[:tied]
        left = below[tied:]
    ends = [_rank_interval(row, worth - worth[row], p_values[row], alpha) for row in range(len(rows))]
    return [Standing(int(ranks[row]), first, last, float(adjusted[row])) for row, (first, last) in enumerate(ends)]


def holm(p: Sequence[float] | Floats) -> Floats:
    """p adjusted for as many comparisons, in the order given: at or below alpha where Holm's procedure rejects.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979: the chance
    of a single false rejection among them stays below alpha, whatever their dependence.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def _p_values(rows: Sequence[Scores]) -> Floats:
    """Of each row against each other one, float64 (rows, rows): what `compare` gives, all pairs at once."""
    check_alike(rows)
    if not rows:
        return np.ones((0, 0))
    together = np.atleast_2d(np.cov(defined(np.stack([row.resampled_mean for row in rows]))))
    alone = np.diagonal(together)
    images = np.maximum(0, alone[:, None] + alone - 2 * together)
    seeds = Seeds._make(np.array(column) for column in zip(*map(seeds_of, rows), strict=True))
    means = np.array([row.mean for row in rows])
    variance, df = combined(images, [Seeds._make(part[:, None] for part in seeds), seeds], rows[0].num_images)
    return p_value(means[:, None] - means, variance, df, rows[0].num_images)


def _rank_interval(row: int, ahead: Floats, p: Floats, alpha: float) -> tuple[int, int]:
    """ahead: by how much each row is better than this one. p: of this row against each."""
    others = np.delete(np.arange(len(p)), row)
    surely = np.zeros(len(p), dtype=bool)
    surely[others] = holm(p[others]) <= alpha
    return 1 + int((surely & (ahead > 0)).sum()), len(p) - int((surely & (ahead < 0)).sum())

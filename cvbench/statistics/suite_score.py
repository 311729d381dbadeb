"""One number for a row over the datasets of a task, in units in which magnitude counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import special

from cvbench.statistics.comparison import Direction
from cvbench.statistics.interval import LEVEL
from cvbench.statistics.resamples import SEED, Floats, Scores, defined, uniform


class SuiteScore(NamedTuple):
    """score: 1 for a row that is the best everywhere, the higher the further behind. low, high: 95 % interval, low <=
    score <= high. datasets: how many it is the mean of."""

    score: float
    low: float
    high: float
    datasets: int


def suite_scores(
    datasets: Mapping[str, Mapping[str, Scores | None]], direction: Direction = "max", seed: int = SEED
) -> dict[str, SuiteScore | None]:
    """Row -> the mean over datasets of 1 + (best mean - mean) / pooled sd; None for a row that a dataset lacks.

    After EuroEval's ranking (Nielsen, Enevoldsen & Schneider-Kamp, "Encoder vs decoder", NoDaLiDa 2025): the distance
    to the best in units of sd, so that magnitude counts, unlike in a mean of ranks. pooled sd: the root of the mean
    variance of single runs over the bootstrap's resamples, over all rows of the dataset; a dataset where it is 0 says
    nothing and is left out. The unit is a dataset's own noise: the more images it has, the smaller. Rows without a
    score are no one's best and in no pooled sd.

    The interval: on each resample the score anew (the best may then be another row), each mean shifted besides by its
    standard error over seeds times a draw of Student's t; the middle 95 %, extended to hold the score itself. Datasets
    vary independently of each other.

    datasets: name -> row -> scores, all rows of a dataset on the same resamples, of which all datasets have as many;
    None or missing where a row has no finished run there. direction: of the metric, equal on all of them.
    """
    labels = list(dict.fromkeys(label for rows in datasets.values() for label in rows))
    scores: dict[str, SuiteScore | None] = dict.fromkeys(labels)
    # sorted: what is drawn for a row must not depend on the order in which rows are given
    complete = [label for label in sorted(labels) if all(rows.get(label) is not None for rows in datasets.values())]
    found = []
    for place, rows in enumerate(datasets.values()):
        compared = {label: row for label in complete if (row := rows[label]) is not None}
        behind = _behind(compared, direction, np.random.PCG64([seed, place])) if compared else None
        found += [behind] if behind else []
    for label in found[0] if found else ():
        mean, *drawn = np.mean([behind[label] for behind in found], axis=0)
        low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        scores[label] = SuiteScore(float(mean), float(min(low, mean)), float(max(high, mean)), len(found))
    return scores


def _behind(rows: Mapping[str, Scores], direction: Direction, stream: np.random.PCG64) -> dict[str, Floats] | None:
    """Of each row 1 + (best - mean) / pooled sd, float64 (1 + R,): as measured, then resampled; None for sd 0."""
    sign = 1.0 if direction == "max" else -1.0
    resampled = np.concatenate([row.resampled for row in rows.values()])
    varied = defined(resampled)
    if not np.ptp(varied, axis=1).any():
        return None
    pooled = math.sqrt(float(varied.var(axis=1, ddof=1).mean()))
    # datasets of one size have the same draws: another order makes them independent
    order = np.argsort(uniform(stream, resampled.shape[1]))
    means = np.stack([np.append(row.mean, _varied(row, stream)[order]) for row in rows.values()]) * sign
    behind = 1 + (means.max(axis=0) - means) / pooled
    return dict(zip(rows, behind, strict=True))


def _varied(row: Scores, stream: np.random.PCG64) -> Floats:
    """The mean on each resample, shifted by what other seeds might change."""
    if row.sd is None:
        return row.resampled_mean
    shifts = special.stdtrit(row.n - 1, uniform(stream, row.resampled.shape[1]))
    return np.asarray(row.resampled_mean + shifts * row.sd / math.sqrt(row.n))

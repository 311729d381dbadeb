"""What the evidence adds to the rows of a board: intervals, tie groups, differences, suite scores. Never torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cvbench import catalog
from cvbench.board import METRIC_DECIMALS, CalibrationBin, Difference, Interval, Origin, Standing, SuiteRow, SuiteScore
from cvbench.evidence import RunEvidence
from cvbench.proof import Contradicted, Proof, Unproven
from cvbench.statistics import comparison, ranking
from cvbench.statistics.comparison import Direction
from cvbench.statistics.interval import ANY, FRACTION, interval
from cvbench.statistics.resamples import Scores
from cvbench.statistics.suite_score import suite_scores
from cvbench.table import Group, PlannedRun

# The range of a metric by its unit: an interval does not leave it.
_BOUNDS = {"%": FRACTION, "x100": (0.0, math.inf), "nats": (0.0, math.inf)}
_P_DIGITS = 4


@dataclass(frozen=True)
class Proven:
    """What stands behind a group. scores: None where `why` says that there is no interval."""

    origin: Origin
    scores: Scores | None = None
    interval: Interval | None = None
    calibration: NDArray[np.float64] | None = None
    why: str = ""


def prove(group: Group, evidence: RunEvidence | None) -> tuple[Group, Proven]:
    """The group's finished runs held against their evidence; a run that its evidence contradicts has failed."""
    proofs: list[Proof] = []
    runs, missing = [], ""
    for run in group.runs:
        if run.record is not None and evidence is not None:
            try:
                proofs.append(evidence.proof(run.record, group.spec.primary))
            except Unproven as error:
                missing = missing or str(error)
            except Contradicted as error:
                run = PlannedRun(run.spec, "failed", None, str(error))
        runs.append(run)
    group = dataclasses.replace(group, runs=tuple(runs))
    if not group.records:
        return group, Proven("reproduced")
    if evidence is None:
        return group, Proven("reproduced", why="no evidence was looked for")
    if missing:
        return group, Proven("self-reported", why=missing)
    return group, _proven(group, proofs)


def _proven(group: Group, proofs: Sequence[Proof]) -> Proven:
    origin: Origin = "re-scored" if any(record.submission for record in group.records) else "reproduced"
    values = [record.metrics[f"test/{group.spec.primary}"] for record in group.records]
    first = proofs[0]
    try:
        scores = Scores(np.array(values), np.stack([proof.resampled for proof in proofs]), first.num_images)
        between = _interval(scores, first.images_per_class, _BOUNDS.get(_unit(group), ANY))
    except ValueError as error:  # too few images for the metric, or for any statistics
        return Proven(origin, why=str(error))
    known = [proof.calibration for proof in proofs if proof.calibration is not None]
    return Proven(origin, scores, between, sum(known[1:], known[0]) if known else None)


def _unit(group: Group) -> str:
    try:
        _, declared = catalog.metrics(group.spec.task)
    except (KeyError, OSError):  # a task of somebody's own
        return ""
    return declared[group.spec.primary][2] if group.spec.primary in declared else ""


def _interval(scores: Scores, images_per_class: NDArray[np.int64], bounds: tuple[float, float]) -> Interval:
    """The 95 % interval, rounded away from the mean, so that what is shown still holds it."""
    found = interval(scores, bounds=bounds, images_per_class=images_per_class)
    unit = 10.0**METRIC_DECIMALS
    low, high = math.floor(found.low * unit) / unit + 0.0, math.ceil(found.high * unit) / unit + 0.0
    return Interval(low=low, high=high, image_only=found.image_only, few_positives=found.few_positives)


def standings(rows: Mapping[str, Proven], direction: Direction) -> dict[str, Standing]:
    """Rank and rank interval of each row that has scores, among these; key -> standing."""
    ranked = {key: row.scores for key, row in rows.items() if row.scores is not None}
    found = ranking.tie_groups(list(ranked.values()), direction)
    return {
        key: Standing(rank=one.rank, best=one.best_rank, worst=one.worst_rank, p=round(one.p, _P_DIGITS))
        for key, one in zip(ranked, found, strict=True)
    }


def difference(row: Proven, baseline: Proven, direction: Direction) -> Difference | None:
    """The row minus the baseline; None where either has no scores."""
    if row.scores is None or baseline.scores is None:
        return None
    found = comparison.compare(row.scores, baseline.scores, direction)
    better = found.probability_better
    return Difference(
        value=round(found.difference, METRIC_DECIMALS) + 0.0,
        low=round(found.low, METRIC_DECIMALS) + 0.0,
        high=round(found.high, METRIC_DECIMALS) + 0.0,
        p=round(found.p, _P_DIGITS),
        probability_better=None if math.isnan(better) else round(better, _P_DIGITS),
    )


def calibration_of(proven: Proven) -> tuple[CalibrationBin, ...]:
    """The bins that hold samples, over all seeds: sums first, one division at the end."""
    if proven.calibration is None:
        return ()
    return tuple(
        CalibrationBin(
            confidence=round(confidence / count, METRIC_DECIMALS),
            accuracy=round(correct / count, METRIC_DECIMALS),
            count=int(count),
        )
        for count, confidence, correct in proven.calibration.T.tolist()
        if count
    )


def suite_score(task: str, boards: Iterable[Mapping[str, tuple[Proven, Direction]]]) -> SuiteScore | None:
    """Rows of several boards by their name; None where there are fewer than two boards, or no row is on all of them.

    boards: of each, name -> (what is proven of the row, the direction of the board's metric).
    """
    upwards = {str(place): _upwards(board) for place, board in enumerate(boards)}
    if len(upwards) < 2:
        return None
    found = {name: score for name, score in suite_scores(upwards).items() if score is not None}
    if not found:
        return None
    rows = [
        SuiteRow(name=name, score=round(one.score, 3), low=round(one.low, 3), high=round(one.high, 3))
        for name, one in found.items()
    ]
    (count,) = {one.datasets for one in found.values()}
    return SuiteScore(task=task, boards=count, rows=tuple(sorted(rows, key=lambda row: (row.score, row.name))))


def _upwards(board: Mapping[str, tuple[Proven, Direction]]) -> dict[str, Scores | None]:
    """Scores of which the higher is the better."""
    turned: dict[str, Scores | None] = {}
    for name, (row, direction) in board.items():
        scores = row.scores
        if scores is not None and direction == "min":
            scores = Scores(-scores.values, -scores.resampled, scores.num_images)
        turned[name] = scores
    return turned

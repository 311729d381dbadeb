"""One row of a board from the runs of a group: labels, scores, costs, what it was made with; rounded for good."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from cvbench.board import FRONT_COSTS, METRIC_DECIMALS, Candidate, Curve, Metric, Picture, Row, Run, Score, Tuned
from cvbench.evidence import RunEvidence
from cvbench.pareto import front
from cvbench.record import Costs, Record
from cvbench.spec import SUBMITTED, RunSpec, Weights
from cvbench.standings import Proven, calibration_of
from cvbench.table import Group, PlannedRun, Spread, State, spread
from cvbench.tuning import Tuning

COST_DIGITS = 6


def build_row(
    group: Group,
    label: str,
    metrics: Sequence[Metric],
    *,
    recipe: dict[str, Any],
    environments: Mapping[str, int],
    proven: Proven,
    curves: tuple[Curve, ...] = (),
    pictures: tuple[Picture, ...] = (),
    tuning: Tuning | None = None,
) -> Row:
    """The row but for what follows from the other rows.

    recipe: what differs from the board's. environments: run_id -> which of the leaderboard's it was measured on.
    """
    decided = tuning is None or tuning.stage == "chosen"
    spec, records = group.spec, group.records
    scores = {metric.name: _score(group.metric(metric.name)) for metric in metrics}
    used = {environments[record.run_id] for record in records if not record.submission}
    submission = next((record.submission for record in records if record.submission), None)
    return Row(
        label=label,
        model=spec.model.name,
        options=spec.model.options if spec.mode != SUBMITTED else {},
        weights=_weights(spec.model.weights),
        backbone_weights=_weights(spec.model.backbone_weights),
        backbone=spec.backbone,
        group_id=(records[0].group_id if records else spec.group_id) if decided else "",
        origin=proven.origin,
        url=submission.url if submission else "",
        unranked=short(proven.why),
        mean=scores[spec.primary].mean,
        sd=scores[spec.primary].sd,
        interval=proven.interval,
        n=len(records),
        planned=len(group.runs),
        state=group.state,
        runs=tuple(
            Run(
                seed=run.spec.seed,
                run_id=(run.record.run_id if run.record else run.spec.run_id) if decided else "",
                state=run.state,
                value=rounded(run.record.metrics[f"test/{spec.primary}"]) if run.record else None,
                reason=short(run.reason),
            )
            for run in group.runs
        ),
        scores=scores,
        per_class=_per_class(group),
        costs=_costs(group),
        recipe=recipe,
        overrides=spec.overrides,
        environments=tuple(sorted(used)),
        batch_norm_batch=_batch_norm_batch(group),
        curves=curves,
        calibration=calibration_of(proven),
        pictures=pictures,
        tuned=None if tuning is None else tuned_of(tuning),
    )


def tuned_of(tuning: Tuning) -> Tuned:
    """The candidates as a board shows them: their scores on val, and what they cost."""
    seconds = [one.record.costs.train_seconds for one in tuning.tried if one.record is not None]
    known = [value for value in seconds if value is not None]
    return Tuned(
        seed=tuning.line.seeds[0],
        candidates=tuple(
            Candidate(
                values=values,
                run_id=one.run.run_id,
                val=None if one.val is None else rounded(one.val),
                reason=short(one.failure),
            )
            for values, one in zip(tuning.line.values, tuning.tried, strict=True)
        ),
        chosen=tuning.chosen,
        train_seconds=_significant("train_seconds", math.fsum(known)) if known else None,
    )


def undecided(tuning: Tuning) -> Group:
    """The row of a model that has no recipe yet, or gets none: every seed is missing, or failed, and says why."""
    state: State = "failed" if tuning.stage == "failed" else "missing"
    return Group(tuple(PlannedRun(run, state, None, tuning.why) for run in tuning.line.final(0)), None)


def with_fronts(rows: Sequence[Row], direction: str) -> list[Row]:
    """The rows, each with the costs at which no other row is both better and cheaper."""
    sign = -1.0 if direction == "min" else 1.0
    fronts: dict[str, set[str]] = {}
    for cost in FRONT_COSTS:
        known = {
            str(place): (sign * row.mean, float(value))
            for place, row in enumerate(rows)
            if row.mean is not None and (value := getattr(row.costs, cost, None)) is not None
        }
        fronts[cost] = front(known)
    return [
        row.model_copy(update={"front": tuple(cost for cost in FRONT_COSTS if str(place) in fronts[cost])})
        for place, row in enumerate(rows)
    ]


def curves_of(group: Group, evidence: RunEvidence | None) -> tuple[Curve, ...]:
    """How each finished seed was trained."""
    found = [evidence.curves(record) for record in group.records] if evidence else []
    return tuple(curve for curve in found if curve is not None)


def pictures_of(group: Group, evidence: RunEvidence | None) -> list[Picture]:
    """Of the seed in the middle of the finished ones."""
    if evidence is None or not group.records:
        return []
    key = f"test/{group.spec.primary}"
    ordered = sorted(group.records, key=lambda record: (record.metrics[key], record.spec.seed))
    return evidence.pictures(ordered[(len(ordered) - 1) // 2])


def labels_of(specs: list[RunSpec]) -> list[str]:
    """One name a row: its label; where two are equal, with the options that tell them apart, else with group_id."""
    labels = [spec.label or spec.model.name for spec in specs]
    for label, count in Counter(labels).items():
        if count == 1:
            continue
        same = [index for index, name in enumerate(labels) if name == label]
        first = specs[same[0]].model.options
        differ = [key for key in first if any(specs[i].model.options.get(key) != first[key] for i in same)]
        named = [", ".join(f"{key} {specs[i].model.options.get(key)}" for key in differ) for i in same]
        unique = len(set(named)) == len(named)
        for index, name in zip(same, named, strict=True):
            labels[index] = f"{label} ({name if unique else specs[index].group_id})"
    return labels


def _weights(weights: Weights | None) -> dict[str, str] | None:
    if weights is None:
        return None
    if weights.sha256 is None:
        return {"source": weights.source}
    # a local file counts by its content; where it lay is nobody's business
    return {"source": PurePath(weights.source).name, "sha256": weights.sha256}


def _per_class(group: Group) -> dict[str, tuple[float | None, ...]]:
    classes = group.facts.classes if group.facts else ()
    names = dict.fromkeys(name for record in group.records for name in record.per_class)
    table = {}
    for name in names:
        columns = [record.per_class.get(name, {}) for record in group.records]
        defined = [[value for column in columns if (value := column.get(label)) is not None] for label in classes]
        table[name] = tuple(rounded(spread(values).mean) for values in defined)
    return table


def _batch_norm_batch(group: Group) -> int | None:
    """Less than the recipe's batch, or None."""
    seen = [record.execution.batch_norm_batch for record in group.records if record.execution]
    return min((few for few in seen if few is not None and few < group.spec.recipe.batch_size), default=None)


def _costs(group: Group) -> Costs | None:
    if not group.records:
        return None
    means = {name: group.cost(name) for name in Costs.model_fields}
    return Costs.model_validate({name: _significant(name, value) for name, value in means.items()})


def _significant(name: str, value: float | None) -> float | int | None:
    if value is None:
        return None
    whole = name in ("parameters", "macs", "peak_memory_bytes")
    return round(value) if whole else float(f"{value:.{COST_DIGITS}g}")


def _score(found: Spread) -> Score:
    return Score(mean=rounded(found.mean), sd=rounded(found.sd))


def rounded(value: float) -> float | None:
    # `+ 0.0` turns -0.0 into 0.0
    return None if value != value else round(value, METRIC_DECIMALS) + 0.0


def short(reason: str) -> str:
    """One line, without the folders of whoever ran it: the board is published."""
    line = " ".join(reason.split())
    line = re.sub(r"(?<![\w.:/])/(?:[^\s/:'\"]+/)+", "…/", line)
    return line if len(line) <= 300 else line[:299] + "…"


def environment(record: Record) -> dict[str, Any]:
    """What may change a number or a time: device, threads and versions; nothing that names a person or host."""
    asked = {"accelerator", "devices", "device_name", "threads"}
    execution = record.execution.model_dump(include=asked) if record.execution else {}
    if record.execution and record.execution.accumulate > 1:
        # batch norm, where the model has it, saw other batches than the recipe's
        execution |= {"batches_in_parts": record.execution.accumulate}
    private = {"hostname", "host", "user", "argv", "command", "cwd", "executable", "path"}
    return execution | {key: value for key, value in sorted(record.environment.items()) if key not in private}

"""Two models of a store held against each other, data set by data set: `cvbench compare`. Never torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvbench import catalog
from cvbench.evidence import RunEvidence
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.proof import modules
from cvbench.record import Record
from cvbench.statistics.comparison import Comparison, Direction, McNemar, compare, mcnemar
from cvbench.statistics.resamples import Scores
from cvbench.table import by_run, canonical, protocol_hash, without_tried

# What must be equal for two groups of runs to be compared: task, data set with its options, protocol, revision.
Data = tuple[str, str, str, str]
_SHORTEST_ID = 4  # letters


@dataclass(frozen=True)
class Compared:
    """A against B on one data set.

    mcnemar: of two single runs, by their task's first metric, where a sample is right or wrong by it.
    """

    dataset: str
    options: Mapping[str, Any]
    metric: str
    direction: Direction
    unit: str
    a: Scores
    b: Scores
    result: Comparison
    mcnemar: McNemar | None


def compare_models(
    a: str,
    b: str,
    records: Sequence[Record],
    evidence: RunEvidence,
    *,
    on: str | None = None,
    metric: str | None = None,
) -> list[Compared]:
    """A and B on each data set on which both have finished runs under one protocol, in the order of their names.

    a, b: a label, a model's name, or the beginning of a run_id or group_id. on: a data set's name. metric: another one
    than the runs' primary.

    Raises:
        ValueError: a name that no record has (with the nearest), or that several groups of runs have on one data set
            (with their group_ids); no data set in common; evidence that is missing or contradicts its record.
    """
    current = [one for one in by_run(records).values() if on is None or one.spec.dataset.name == on]
    if on is not None and not current:
        known = sorted({one.spec.dataset.name for one in records})
        raise ValueError(f"--on: no run on a data set {on!r} here{catalog.nearest(on, known)}")
    ours, theirs = (_by_data(name, current) for name in (a, b))
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        raise ValueError(_nothing_in_common(a, b, ours, theirs))
    return [_compared(ours[data], theirs[data], evidence, metric) for data in common]


def _by_data(name: str, records: Sequence[Record]) -> dict[Data, list[Record]]:
    """The runs of that name on each data set, without recipes that were tried by tuning and not chosen.

    Raises ValueError where they are none, or not of one group.
    """
    named = [one for one in records if name in (one.spec.label, one.spec.model.name)]
    if not named and len(name) >= _SHORTEST_ID:
        named = [one for one in records if one.run_id.startswith(name) or one.group_id.startswith(name)]
    if not named:
        known = sorted({one.spec.label or one.spec.model.name for one in records})
        raise ValueError(f"no finished run of {name!r} here{catalog.nearest(name, known)}")
    stale = [one for one in named if one.evaluator_version != EVALUATOR_VERSION]
    if stale:
        raise ValueError(
            f"{len(stale)} runs of {name!r} were scored by evaluator {stale[0].evaluator_version}, this is "
            f"{EVALUATOR_VERSION}; `cvbench rescore` first"
        )
    found: dict[Data, list[Record]] = {}
    for one in named:
        found.setdefault(_data(one), []).append(one)
    found = {data: without_tried(members) for data, members in found.items()}
    for members in found.values():
        groups = sorted({one.group_id for one in members})
        if len(groups) > 1:
            raise ValueError(
                f"{name!r} are runs of several kinds on {members[0].spec.dataset.name} (other recipes or options); "
                f"name one of the groups {', '.join(groups)}"
            )
    return {data: sorted(members, key=lambda one: one.spec.seed) for data, members in found.items()}


def _data(record: Record) -> Data:
    spec = record.spec
    dataset = canonical([spec.dataset.name, spec.dataset.options])
    return spec.task, dataset, protocol_hash(record.dataset.protocol), record.dataset.revision


def _nothing_in_common(a: str, b: str, ours: Mapping[Data, Any], theirs: Mapping[Data, Any]) -> str:
    sets = [{data[:2] for data in each} for each in (ours, theirs)]
    if sets[0] & sets[1]:
        return f"{a!r} and {b!r} were measured under different protocols or data revisions: not comparable"
    names = [", ".join(sorted({f"{task} {dataset}" for task, dataset in each})) for each in sets]
    return f"{a!r} and {b!r} have no data set in common: {a!r} has {names[0]}; {b!r} has {names[1]}"


def _compared(ours: list[Record], theirs: list[Record], evidence: RunEvidence, metric: str | None) -> Compared:
    spec = ours[0].spec
    metric = metric or spec.primary
    modules(spec.task)  # raises for a task of somebody's own
    primary, declared = catalog.metrics(spec.task)
    if metric not in declared:
        raise ValueError(f"--metric: no {metric!r} in {spec.task}{catalog.nearest(metric, declared)}")
    direction, _, unit = declared[metric]
    if direction not in ("max", "min"):
        raise ValueError(f"--metric: neither way of {metric!r} is better; take another one")
    way: Direction = "min" if direction == "min" else "max"
    a, b = (_scores(records, evidence, metric) for records in (ours, theirs))
    alone = len(ours) == len(theirs) == 1 and metric == primary
    single = _single(ours[0], theirs[0], evidence) if alone else None
    return Compared(spec.dataset.name, spec.dataset.options, metric, way, unit, a, b, compare(a, b, way), single)


def _scores(records: Iterable[Record], evidence: RunEvidence, metric: str) -> Scores:
    proofs = []
    for record in records:
        try:
            proofs.append(evidence.proof(record, metric))
        except ValueError as error:
            raise ValueError(f"{record.spec.name} ({record.run_id}): {error}") from None
        if metric not in proofs[-1].metrics:
            raise ValueError(f"{record.spec.name} ({record.run_id}): nothing in its data defines {metric}")
    values = np.array([proof.metrics[metric] for proof in proofs])
    return Scores(values, np.stack([proof.resampled for proof in proofs]), proofs[0].num_images)


def _single(ours: Record, theirs: Record, evidence: RunEvidence) -> McNemar | None:
    """McNemar's test of two runs, where their task says of each sample whether it is right."""
    correct = getattr(modules(ours.spec.task)[1], "correct", None)
    if correct is None:
        return None
    return mcnemar(correct(*evidence.arrays(ours)), correct(*evidence.arrays(theirs)))

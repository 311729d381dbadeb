"""Published numbers held against records: measured, claimed, difference, verdict. Never torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from cvbench.claims_file import COSTS, Claim
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Record
from cvbench.spec import SUBMITTED
from cvbench.table import canonical, protocol_hash, spread, without_tried

# How often a unit goes into a record's number: fractions are claimed in percent, parameters in millions; others once.
FACTORS = {"%": 100.0, "x100": 100.0, "M": 1e-6}
Verdict = Literal["holds", "differs", "not measured", "another protocol"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
# Rounding of the last digit of a sum never decides.
_EPSILON = 1e-9


@dataclass(frozen=True)
class Held:
    """A claim against the records of one group, averaged over its seeds.

    measured, difference: in the claim's unit; difference is from the nearest end of what is claimed, 0 inside. seeds:
    how many records. reason: why nothing could be compared.
    """

    claim: Claim
    verdict: Verdict
    measured: float | None = None
    difference: float | None = None
    seeds: int = 0
    group_id: str | None = None
    reason: str = ""


def hold(claims: Sequence[Claim], records: Sequence[Record]) -> list[Held]:
    """Each claim, in order, against each group of records that is of its task, dataset and model, but for recipes that
    were tried by tuning and not chosen.

    Raises ValueError where two unlike records claim to be one run.
    """
    groups: dict[tuple[object, ...], list[Record]] = {}
    for record in without_tried(_distinct(records)):
        key = (record.group_id, record.dataset.revision, protocol_hash(record.dataset.protocol),
               record.evaluator_version)  # fmt: skip
        groups.setdefault(key, []).append(record)
    held = []
    for claim in claims:
        found = [_judge(claim, group) for group in groups.values() if _is_of(claim, group[0])]
        held += found or [Held(claim, "not measured", reason="no record of this model on this dataset")]
    return held


def _distinct(records: Sequence[Record]) -> list[Record]:
    found: dict[str, Record] = {}
    for record in records:
        if found.setdefault(record.run_id, record) != record:
            raise ValueError(
                f"Expected one record of run {record.run_id} ({record.spec.name}), but got two that differ; keep the "
                "one that is right"
            )
    return list(found.values())


def _is_of(claim: Claim, record: Record) -> bool:
    spec = record.spec
    if spec.mode == SUBMITTED:  # what its author calls it says nothing of how it was made
        return False
    weights = spec.model.weights.source if spec.model.weights else None
    return (
        (spec.task, spec.dataset.name, spec.model.name) == (claim.task, claim.dataset.name, claim.model.name)
        and weights == claim.model.weights
        and not list(_unlike("", claim.model.options, spec.model.options))
    )


def _judge(claim: Claim, group: Sequence[Record]) -> Held:
    """The verdict on records that differ in their seeds only."""
    first = group[0]
    place = (len(group), first.group_id)
    if unlike := list(_another_protocol(claim, first)):
        return Held(claim, "another protocol", None, None, *place, "; ".join(unlike))
    if first.evaluator_version != EVALUATOR_VERSION:
        reason = f"scored by evaluator {first.evaluator_version}, this is {EVALUATOR_VERSION}: score or run it again"
        return Held(claim, "not measured", None, None, *place, reason)
    values = [_value(record, claim.metric) for record in group]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        reason = f"{len(values) - len(known)} of {len(values)} records have no {claim.metric}"
        return Held(claim, "not measured", None, None, *place, reason)
    measured = spread(known).mean * FACTORS.get(claim.unit, 1.0)
    low, high = claim.claimed
    difference = measured - min(max(measured, low), high)
    verdict: Verdict = "holds" if abs(difference) <= claim.tolerance + _EPSILON else "differs"
    return Held(claim, verdict, measured, difference, *place)


def _value(record: Record, metric: str) -> float | None:
    if metric in COSTS:
        return getattr(record.costs, metric)  # type: ignore[no-any-return]
    return record.metrics.get(f"test/{metric}")


def _another_protocol(claim: Claim, record: Record) -> Iterator[str]:
    """What keeps the record's number from being comparable."""
    yield from _unlike("dataset.options.", claim.dataset.options, record.spec.dataset.options)
    yield from _unlike("protocol.", claim.protocol, record.dataset.protocol)
    yield from _unlike("recipe.", claim.recipe, record.spec.recipe.model_dump(mode="json"))
    samples = record.samples.get("test")
    if claim.test_samples is not None and samples != claim.test_samples:
        yield f"{samples} test images, claimed on {claim.test_samples}"


def _unlike(path: str, wanted: Mapping[str, Any], has: Mapping[str, Any]) -> Iterator[str]:
    """Where `has` lacks a part of `wanted`, however deep."""
    for key, value in wanted.items():
        found = has.get(key)
        if isinstance(value, dict) and isinstance(found, Mapping):
            yield from _unlike(f"{path}{key}.", value, found)
        elif canonical(found) != canonical(value):
            yield f"{path}{key} is {found!r}, claimed for {value!r}"

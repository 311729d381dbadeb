"""The metrics table: planned runs and their records, aggregated over seeds. Never torch.

A planned run that failed, is missing or does not compare counts as just that: never as 0, and never dropped from n.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Costs, DatasetFacts, Record
from cvbench.spec import RunSpec

if TYPE_CHECKING:
    from pandas import DataFrame

State = Literal["done", "failed", "missing", "outdated", "stale"]
STATES: tuple[State, ...] = get_args(State)


class Spread(NamedTuple):
    """Mean and sample standard deviation (ddof 1; NaN from one value) of n values; both NaN where n is 0."""

    mean: float
    sd: float
    n: int


class PlannedRun(NamedTuple):
    """One seed of a group. record: set exactly when state is `done`; reason: why it is anything else."""

    spec: RunSpec
    state: State
    record: Record | None
    reason: str = ""


@dataclass(frozen=True)
class Group:
    """The runs of one row: same benchmark, dataset, options, model and recipe; one run a seed, in the order planned.

    facts: of the data as all comparable records of this dataset saw them; None where no run has a usable record.
    """

    runs: tuple[PlannedRun, ...]
    facts: DatasetFacts | None

    @property
    def spec(self) -> RunSpec:
        """What all runs share; its seed is the first one's."""
        return self.runs[0].spec

    @cached_property
    def records(self) -> list[Record]:
        return [run.record for run in self.runs if run.record is not None]

    def count(self, state: State) -> int:
        return sum(run.state == state for run in self.runs)

    @property
    def state(self) -> str:
        """`3 of 3`, or `1 of 3, 1 failed, 1 missing`."""
        others = [f"{self.count(state)} {state}" for state in STATES[1:] if self.count(state)]
        return ", ".join([f"{self.count('done')} of {len(self.runs)}", *others])

    @property
    def primary(self) -> Spread:
        return self.metric(self.spec.primary)

    def metric(self, name: str) -> Spread:
        """A test metric over the finished seeds; NaN where only some of them have it: no mean over a part."""
        values = [record.metrics[f"test/{name}"] for record in self.records if f"test/{name}" in record.metrics]
        return spread(values if len(values) == len(self.records) else [])

    @property
    def metrics(self) -> list[str]:
        """Names of the test metrics of all finished seeds, the primary one first."""
        names = dict.fromkeys([self.spec.primary])
        for record in self.records:
            names |= dict.fromkeys(key.removeprefix("test/") for key in record.metrics if key.startswith("test/"))
        return list(names)

    def cost(self, name: str) -> float | None:
        """Mean of a cost over the finished seeds; None where one of them does not know it."""
        values = [getattr(record.costs, name) for record in self.records]
        return None if not values or None in values else spread(values).mean


def spread(values: Sequence[float]) -> Spread:
    """Sums first, one division at the end; exact sums, so that the order of seeds does not matter."""
    n = len(values)
    if n == 0:
        return Spread(math.nan, math.nan, 0)
    mean = math.fsum(values) / n
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else math.nan
    return Spread(mean, sd, n)


def dataset_key(spec: RunSpec) -> str:
    """Runs with equal keys promise to be scored on the same data: task, dataset, its options and version."""
    return canonical([spec.task, spec.dataset.model_dump(mode="json")])


def row_key(spec: RunSpec, dataset: str | None = None) -> tuple[str, ...]:
    """Runs with equal keys are seeds of one row. dataset: the run's `dataset_key`, where it is known."""
    return spec.benchmark, dataset or dataset_key(spec), spec.label or spec.model.name, spec.group_id


def without_tried(records: Sequence[Record]) -> list[Record]:
    """Without recipes that a model tried by tuning and did not get: those of which every run is a candidate, where the
    store has others of the same model on the same data. After tuning with one seed nobody can tell, and all stay.
    """
    final: dict[str, set[str]] = {}
    for record in records:
        if not record.spec.candidate:
            final.setdefault(_subject(record.spec), set()).add(record.group_id)
    return [one for one in records if one.group_id in final.get(_subject(one.spec), {one.group_id})]


def _subject(spec: RunSpec) -> str:
    """One model on one dataset, whatever the recipe."""
    return canonical([dataset_key(spec), spec.model.model_dump(mode="json")])


def protocol_hash(protocol: Mapping[str, Any]) -> str:
    """12 hex digits: equal exactly when two protocols are."""
    return hashlib.sha256(canonical(protocol).encode()).hexdigest()[:12]


def canonical(value: Any) -> str:
    """One text for one JSON value, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def groups(
    planned: Sequence[RunSpec],
    records: Iterable[Record],
    failed: Mapping[str, str] | None = None,
    revisions: Mapping[str, str | None] | None = None,
) -> list[Group]:
    """One `Group` per (benchmark, dataset, its options, model label, group_id), in the order planned.

    records: matched by run_id; others are left alone. failed: run_id -> reason, of runs without a record. revisions:
    run_id -> data revision here and now (None: not known here); without one, the newest record of a dataset tells.
    Records of another revision or protocol are `outdated`, those of another evaluator version `stale`: named, not used.
    Raises ValueError when two unlike records claim one run, or a finished one lacks the primary metric.
    """
    failed, revisions = failed or {}, revisions or {}
    wanted = {run.run_id for run in planned}
    found = by_run(record for record in records if record.run_id in wanted)
    keyed = [(run, dataset_key(run)) for run in planned]
    facts = _facts(keyed, found, revisions)
    members: dict[tuple[str, ...], dict[str, PlannedRun]] = {}
    for run, dataset in keyed:
        members.setdefault(row_key(run, dataset), {})[run.run_id] = _judge(
            run, found.get(run.run_id), facts.get(dataset), failed
        )
    return [Group(tuple(runs.values()), facts.get(key[1])) for key, runs in members.items()]


def made_elsewhere(records: Iterable[Record], like: RunSpec, facts: DatasetFacts) -> list[Group]:
    """A group for each submission, for the board of runs that are `like` this one on the data of these facts."""
    found = []
    for record in records:
        state, reason = _comparable(record, facts)
        if state == "done" and f"test/{like.primary}" not in record.metrics:
            state, reason = "failed", f"what was submitted does not give {like.primary}"
        named = {"primary": like.primary, "benchmark": like.benchmark, "suite": like.suite}
        run = PlannedRun(record.spec.model_copy(update=named), state, record if state == "done" else None, reason)
        found.append(Group((run,), facts))
    return found


def metrics_table(
    planned: Sequence[RunSpec],
    records: Iterable[Record],
    failed: Mapping[str, str] | None = None,
    revisions: Mapping[str, str | None] | None = None,
) -> DataFrame:
    """One row per group (see `groups`, also for the arguments and errors), unrounded; NaN or None where unknown.

    mean, sd, n: of the primary metric over finished seeds (fractions in [0, 1], sd with ddof 1, NaN from one seed).
    `<metric>_mean`, `<metric>_sd`: every other test metric. Costs are means over seeds, their units in their names.
    """
    from pandas import DataFrame

    return DataFrame([_flat(group) for group in groups(planned, records, failed, revisions)])


def _flat(group: Group) -> dict[str, Any]:
    spec, primary = group.spec, group.primary
    row: dict[str, Any] = {
        "benchmark": spec.benchmark,
        "task": spec.task,
        "dataset": spec.dataset.name,
        "dataset_options": canonical(spec.dataset.options),
        "model": spec.label or spec.model.name,
        "group_id": spec.group_id,
        "protocol": protocol_hash(group.facts.protocol) if group.facts else None,
        "revision": group.facts.revision if group.facts else None,
        "primary": spec.primary,
        "mean": primary.mean,
        "sd": primary.sd,
        "n": group.count("done"),
        "planned": len(group.runs),
        **{state: group.count(state) for state in STATES[1:]},
        "state": group.state,
        "overrides": ", ".join(spec.overrides),
    }
    for name in group.metrics[1:]:
        row[f"{name}_mean"], row[f"{name}_sd"], _ = group.metric(name)
    return row | {name: group.cost(name) for name in Costs.model_fields}


def by_run(records: Iterable[Record]) -> dict[str, Record]:
    """run_id -> its record, once where it lies in a store twice. Raises ValueError where two of one run differ."""
    found: dict[str, Record] = {}
    for record in records:
        if found.setdefault(record.run_id, record) != record:
            raise ValueError(
                f"Expected one record of run {record.run_id} ({record.spec.name}), but got two that differ, started at "
                f"{found[record.run_id].started_at} and {record.started_at}; keep the one that is right"
            )
    return found


def _facts(
    planned: Sequence[tuple[RunSpec, str]], found: Mapping[str, Record], revisions: Mapping[str, str | None]
) -> dict[str, DatasetFacts]:
    """dataset_key -> what the newest record says of it, among those of the revision that is here, if that is known.

    planned: each run with its dataset_key.
    """
    newest: dict[str, Record] = {}
    for run, key in planned:
        record, revision = found.get(run.run_id), revisions.get(run.run_id)
        if record is None or revision not in (None, record.dataset.revision):
            continue
        best = newest.setdefault(key, record)
        # run_id decides between equal times, so that the order of files on disk never does
        if (record.started_at, record.run_id) > (best.started_at, best.run_id):
            newest[key] = record
    return {key: record.dataset for key, record in newest.items()}


def _judge(run: RunSpec, record: Record | None, facts: DatasetFacts | None, failed: Mapping[str, str]) -> PlannedRun:
    state, reason = _comparable(record, facts) if record else ("missing", "")
    if state != "done":
        if run.run_id in failed:
            return PlannedRun(run, "failed", None, failed[run.run_id])
        return PlannedRun(run, state, None, reason)
    assert record is not None
    if f"test/{run.primary}" not in record.metrics:
        raise ValueError(
            f"Expected record {run.run_id} ({run.name}) to have its primary metric test/{run.primary}, but it has "
            f"{', '.join(sorted(record.metrics)) or 'none'}; rescore it or run it again"
        )
    return PlannedRun(run, "done", record)


def _comparable(record: Record, facts: DatasetFacts | None) -> tuple[State, str]:
    if facts is None or record.dataset.revision != facts.revision:
        now = f"the data are {facts.revision} now" if facts else "the data have changed"
        return "outdated", f"measured on data revision {record.dataset.revision}; {now}"
    if record.dataset.protocol != facts.protocol:
        ours, theirs = protocol_hash(facts.protocol), protocol_hash(record.dataset.protocol)
        return "outdated", f"measured under protocol {theirs}; the others under {ours}"
    if record.evaluator_version != EVALUATOR_VERSION:
        return "stale", f"scored by evaluator {record.evaluator_version}; this is {EVALUATOR_VERSION}"
    return "done", ""

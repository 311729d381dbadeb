"""The metrics table in order: planned runs and records -> `Leaderboard`, rounded for good. Never torch.

Intervals, tie groups and ranks are to be filled in here, from evidence, once `statistics.py` gives them.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from cvbench import __version__, catalog
from cvbench.board import METRIC_DECIMALS, UNITS, Board, Metric, Row, Run, Score, sort_key
from cvbench.board import Leaderboard as Leaderboard
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Costs, Record
from cvbench.spec import Benchmark, RunSpec, Suite, Weights
from cvbench.table import Group, Spread, canonical, dataset_key, groups, protocol_hash, spread

COST_DIGITS = 6


def rank(
    suite: Suite,
    planned: Sequence[RunSpec],
    records: Iterable[Record],
    *,
    failed: Mapping[str, str] | None = None,
    revisions: Mapping[str, str | None] | None = None,
    overrides: Sequence[str] = (),
) -> Leaderboard:
    """Orders each board's rows, best mean first, rows without a finished run last, and rounds for good.

    failed, revisions: see `table.groups`, also for the errors. overrides: the command line's `dotted.key=value`, for
    the command that reproduces a board.
    """
    boards: dict[tuple[str, str], list[Group]] = {}
    for group in groups(planned, records, failed, revisions):
        boards.setdefault((group.spec.benchmark, dataset_key(group.spec)), []).append(group)
    environments: dict[str, dict[str, Any]] = {}
    for members in boards.values():
        for record in (record for group in members for record in group.records):
            environments.setdefault(canonical(_environment(record)), _environment(record))
    known = list(environments)
    by_name = {benchmark.name: benchmark for benchmark in suite.benchmarks}
    return Leaderboard(
        suite=suite.name,
        title=suite.name,
        cvbench_version=__version__,
        evaluator_version=EVALUATOR_VERSION,
        environments=tuple(environments.values()),
        boards=tuple(_board(by_name[name], members, known, overrides) for (name, _), members in boards.items()),
    )


def _board(benchmark: Benchmark, members: list[Group], environments: list[str], overrides: Sequence[str]) -> Board:
    spec, facts = members[0].spec, members[0].facts
    records = [record for group in members for record in group.records]
    metrics = _metrics(members)
    recipes = [group.spec.recipe.model_dump(mode="json", exclude_none=True) for group in members]
    usual = _usual(recipes)
    absent = {name for record in records for name in record.absent_classes}
    labels = _labels([group.spec for group in members])
    rows = [
        _row(group, label, metrics, _differences(recipe, usual), environments)
        for group, label, recipe in zip(members, labels, recipes, strict=True)
    ]
    return Board(
        benchmark=benchmark.name,
        title=benchmark.title or "",
        task=spec.task,
        mode=spec.mode,
        dataset=spec.dataset.name,
        options=spec.dataset.options,
        protocol=facts.protocol if facts else None,
        protocol_hash=protocol_hash(facts.protocol) if facts else None,
        revision=facts.revision if facts else None,
        split_sizes=facts.split_sizes if facts else {},
        classes=facts.classes if facts else (),
        absent_classes=tuple(name for name in facts.classes if name in absent) if facts else (),
        absent_metrics={name: _short(why) for record in records for name, why in record.absent_metrics.items()},
        licence=facts.licence if facts else "",
        redistributable=facts.redistributable if facts else False,
        metrics=metrics,
        selection=tuple(dict.fromkeys(record.selection.rule for record in records)),
        recipe=usual,
        command=_command(benchmark, overrides),
        rows=tuple(sorted(rows, key=lambda row: sort_key(row, metrics[0].direction))),
    )


def _row(group: Group, label: str, metrics: tuple[Metric, ...], recipe: dict[str, Any], environments: list[str]) -> Row:
    spec, records = group.spec, group.records
    scores = {metric.name: _score(group.metric(metric.name)) for metric in metrics}
    used = {environments.index(canonical(_environment(record))) for record in records}
    return Row(
        label=label,
        model=spec.model.name,
        options=spec.model.options,
        weights=_weights(spec.model.weights),
        backbone_weights=_weights(spec.model.backbone_weights),
        group_id=spec.group_id,
        mean=scores[spec.primary].mean,
        sd=scores[spec.primary].sd,
        n=len(records),
        planned=len(group.runs),
        state=group.state,
        runs=tuple(
            Run(
                seed=run.spec.seed,
                run_id=run.spec.run_id,
                state=run.state,
                value=_rounded(run.record.metrics[f"test/{spec.primary}"]) if run.record else None,
                reason=_short(run.reason),
            )
            for run in group.runs
        ),
        scores=scores,
        per_class=_per_class(group),
        costs=_costs(group),
        recipe=recipe,
        overrides=spec.overrides,
        environments=tuple(sorted(used)),
    )


def _metrics(members: list[Group]) -> tuple[Metric, ...]:
    """Every test metric that a finished run has, the primary one first."""
    task = members[0].spec.task
    try:
        _, declared = catalog.metrics(task)
    except (KeyError, OSError):  # a task whose metrics are somebody's own: its records say what is needed
        declared = {}
    directions = {
        key.removeprefix("test/"): direction
        for group in members
        for record in group.records
        for key, direction in record.directions.items()
    }
    names = dict.fromkeys(name for group in members for name in group.metrics)
    found = []
    for name in names:
        direction, definition, unit = declared.get(name, ("max", "", ""))
        found.append(
            Metric(
                name=name,
                direction=directions.get(name, direction),
                definition=definition,
                unit=next((known for known in UNITS if known == unit), ""),
            )
        )
    return tuple(found)


def _labels(specs: list[RunSpec]) -> list[str]:
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


def _usual(recipes: list[dict[str, Any]]) -> dict[str, Any]:
    """The recipe of most rows; among equals the first."""
    texts = [canonical(recipe) for recipe in recipes]
    return recipes[max(range(len(texts)), key=lambda index: (texts.count(texts[index]), -index))]


def _differences(recipe: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    return {key: recipe.get(key) for key in usual | recipe if recipe.get(key) != usual.get(key)}


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
        table[name] = tuple(_rounded(spread(values).mean) for values in defined)
    return table


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
    return Score(mean=_rounded(found.mean), sd=_rounded(found.sd))


def _rounded(value: float) -> float | None:
    # `+ 0.0` turns -0.0 into 0.0
    return None if value != value else round(value, METRIC_DECIMALS) + 0.0


def _short(reason: str) -> str:
    """One line, without the folders of whoever ran it: the board is published."""
    line = " ".join(reason.split())
    line = re.sub(r"(?<![\w.:/])/(?:[^\s/:'\"]+/)+", "…/", line)
    return line if len(line) <= 300 else line[:299] + "…"


def _environment(record: Record) -> dict[str, Any]:
    """What may change a number or a time: device, threads and versions; nothing that names a person or host."""
    execution = record.execution.model_dump(include={"accelerator", "devices", "device_name", "threads"})
    if record.execution.accumulate > 1:  # batch norm, where the model has it, saw other batches than the recipe's
        execution |= {"batches_in_parts": record.execution.accumulate}
    private = {"hostname", "host", "user", "argv", "command", "cwd", "executable", "path"}
    return execution | {key: value for key, value in sorted(record.environment.items()) if key not in private}


def _command(benchmark: Benchmark, overrides: Sequence[str]) -> str:
    parts = benchmark.file.parts
    # from the folder of benchmarks on, so that the board does not say where somebody's checkout lies
    file = PurePath(*parts[parts.index("benchmarks") :]) if "benchmarks" in parts else PurePath(benchmark.file.name)
    return shlex.join(["cvbench", "run", file.as_posix(), *overrides])

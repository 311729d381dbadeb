"""What a record must hold by itself: ids that are hashes, names that exist, numbers in their ranges."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cvbench import catalog
from cvbench.auditing.report import Problem
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Record

# Unit of a metric -> its highest value; none is below 0.
_HIGHEST = {"%": 1.0, "x100": 10.0}


def problems_alone(record: Record) -> Iterator[Problem]:
    """Everything that is wrong without looking at anything else. Imports nothing that the record names."""
    spec = record.spec
    for key in ("run_id", "group_id"):
        expected, given = getattr(spec, key), getattr(record, key)
        if given != expected:
            yield Problem(key, f"Expected {expected}, the hash of `spec`, but got {given}; one of them was edited")
    if record.evaluator_version != EVALUATOR_VERSION:
        rule = f"Expected evaluator {EVALUATOR_VERSION}, but got {record.evaluator_version}"
        yield Problem("evaluator_version", f"{rule}; score it again with this cvbench")
    known = [entry.name for entry in catalog.entries("tasks")]
    if spec.task not in known:
        yield Problem("spec.task", f"unknown task {spec.task!r}{catalog.nearest(spec.task, known)}")
        return
    yield from _dataset(record)
    yield from _samples(record)
    yield from _metrics(record)


def _dataset(record: Record) -> Iterator[Problem]:
    """The data set as the catalog has it; of somebody's own nothing is known."""
    ref = record.spec.dataset
    if ":" in ref.name:
        return
    try:
        entry = catalog.find("datasets", ref.name, record.spec.task)
    except catalog.UnknownNameError as error:
        yield Problem("spec.dataset.name", str(error))
        return
    if ref.version != entry.version:
        yield Problem("spec.dataset.version", f"Expected {entry.version}, but got {ref.version}; run it again")
    options, wrong = catalog.complete(entry, ref.options)
    yield from (Problem(f"spec.dataset.options.{name}", text) for name, text in wrong.items())
    for name in options.keys() - ref.options.keys():
        yield Problem(f"spec.dataset.options.{name}", f"Expected every option, but got none; write {options[name]!r}")


def _samples(record: Record) -> Iterator[Problem]:
    size, scored = record.dataset.split_sizes.get("test"), record.samples.get("test")
    if scored is None or scored != size:
        yield Problem("samples.test", f"Expected {size}, all of dataset.split_sizes.test, but got {scored}")


def _metrics(record: Record) -> Iterator[Problem]:
    _, table = catalog.metrics(record.spec.task)
    if f"test/{record.spec.primary}" not in record.metrics:
        yield Problem("metrics", f"Expected test/{record.spec.primary}, the primary metric, but got none")
    for key, value in record.metrics.items():
        split, _, name = key.partition("/")
        if split not in ("val", "test") or name not in table:
            yield Problem(f"metrics.{key}", f"no metric of {record.spec.task}{catalog.nearest(name, table)}")
            continue
        direction, _, unit = table[name]
        yield from _in_range(f"metrics.{key}", value, unit)
        if record.directions.get(key) != direction:
            rule = f"Expected {direction!r}, but got {record.directions.get(key)!r}"
            yield Problem(f"directions.{key}", f"{rule}; it says which way is better")
    classes = set(record.dataset.classes)
    for name, column in record.per_class.items():
        for label, fraction in column.items():
            if label not in classes:
                yield Problem(f"per_class.{name}.{label}", "no class of the data set")
            elif fraction is not None:
                yield from _in_range(f"per_class.{name}.{label}", fraction, "%")


def _in_range(key: str, value: float, unit: str) -> Iterator[Problem]:
    highest = _HIGHEST.get(unit, math.inf)
    if not 0 <= value <= highest:
        rule = f"[0, {highest:g}]" if highest < math.inf else "[0, inf)"
        yield Problem(key, f"Expected a value in {rule}, but got {value!r}")

"""A record held against a run of the same spec: metric by metric, and what the two were made with. Never torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from cvbench.record import Record

# On other devices and libraries sums round otherwise, and training makes more of it; a whole point is no rounding.
TOLERANCE = 0.01

# Equal bits are promised where all of these are equal: the sums are then added in the same order.
_EXECUTION = ("accelerator", "devices", "nodes", "strategy", "device_name", "threads", "batch_per_device", "accumulate")
_NUMERIC = (
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "numpy",
    "pillow",
    "timm",
    "segmentation-models-pytorch",
)

# `absent`: one side says why it could not be measured there (no Java for METEOR, say), which speaks for nothing.
Verdict = Literal["equal", "within", "differs", "missing", "absent"]


class Compared(NamedTuple):
    """One metric. difference: reproduced - recorded; None, as either value, where one side lacks the metric."""

    metric: str
    recorded: float | None
    reproduced: float | None
    difference: float | None
    verdict: Verdict


class Changed(NamedTuple):
    """One fact that is not what the record says. Values are as JSON has them; None where a side does not say."""

    what: str
    recorded: Any
    here: Any


def compared(recorded: Record, reproduced: Record, tolerance: float) -> list[Compared]:
    """Every metric of either record. tolerance: largest absolute difference; of values above 1, relative to them."""
    names = dict.fromkeys([*recorded.metrics, *reproduced.metrics])
    explained = {f"test/{name}" for name in (*recorded.absent_metrics, *reproduced.absent_metrics)}
    found = [_compare(name, recorded.metrics.get(name), reproduced.metrics.get(name), tolerance) for name in names]
    return [
        one._replace(verdict="absent") if one.verdict == "missing" and one.metric in explained else one for one in found
    ]


def _compare(name: str, recorded: float | None, reproduced: float | None, tolerance: float) -> Compared:
    if recorded is None or reproduced is None:
        return Compared(name, recorded, reproduced, None, "missing")
    difference = reproduced - recorded
    # `differs` is also what NaN gets
    near = math.isfinite(difference) and abs(difference) <= tolerance * max(1.0, abs(recorded))
    return Compared(
        name, recorded, reproduced, difference, "equal" if difference == 0 else "within" if near else "differs"
    )


def same_machine(recorded: Record, reproduced: Record) -> bool:
    """Whether the two were made where equal bits are promised: device, its number, threads, and numeric libraries."""
    return _numeric(recorded) == _numeric(reproduced)


def _numeric(record: Record) -> list[Any]:
    execution = record.execution.model_dump() if record.execution is not None else {}
    versions = record.environment.get("versions", {})
    facts = [record.environment.get("machine"), *(execution.get(name) for name in _EXECUTION)]
    return facts + [versions.get(name) for name in _NUMERIC]


def changed(recorded: Record, reproduced: Record) -> list[Changed]:
    """What the two were made with, where it is not the same: execution, system, libraries, commit, evaluator, data."""
    ours, theirs = _facts(recorded), _facts(reproduced)
    names = dict.fromkeys([*ours, *theirs])
    return [Changed(name, ours.get(name), theirs.get(name)) for name in names if ours.get(name) != theirs.get(name)]


def _facts(record: Record) -> dict[str, Any]:
    execution = record.execution.model_dump(mode="json") if record.execution is not None else {}
    execution.pop("jobs", None)  # how many runs went beside it: costs depend on it, numbers never
    environment = dict(record.environment)
    versions: Mapping[str, Any] = environment.pop("versions", {})
    return {
        **execution,
        **environment,
        **{f"version of {name}": version for name, version in versions.items()},
        "evaluator version": record.evaluator_version,
        "data revision": record.dataset.revision,
        # one text, so that two protocols which differ in the order of their keys are one
        "protocol": json.dumps(record.dataset.protocol, sort_keys=True),
    }

"""What the evidence of one run proves: its scores, on resamples too; and whether its record says the same. No torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvbench import catalog
from cvbench.arrays import Arrays, load_arrays
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Record
from cvbench.statistics.resamples import RESAMPLES, SEED, draws

# Raise it when resampling gives other numbers for the same evidence.
VERSION = 2
# How far a record's metric may be from what its evidence gives: both are float64 of the same arrays.
TOLERANCE = 1e-9


class Unproven(ValueError):  # noqa: N818, it says what is wrong with the record, not with us
    """A record without evidence here, or of a metric that cannot be resampled; the message says which."""


class Contradicted(ValueError):  # noqa: N818
    """A record whose evidence says otherwise."""


class Proof(NamedTuple):
    """What the evidence of one run gives.

    metrics: all test metrics that `score` computes. resampled: float64 (R,), the metric asked for on each resample.
    num_images: N. images_per_class: int (C,), see `interval.interval`; empty where the metric is no mean over classes.
    calibration: float64 (3, bins), the sums of `Reliability`; None where the task has no probabilities.
    """

    metrics: dict[str, float]
    resampled: NDArray[np.float64]
    num_images: int
    images_per_class: NDArray[np.int64]
    calibration: NDArray[np.float64] | None


def modules(task: str) -> tuple[ModuleType, ModuleType]:
    """(`metrics/<task>.py`, `metrics/resampling/<task>.py`). Raises Unproven for a task that has no resampling."""
    name = f"cvbench.metrics.resampling.{task}"
    if not task.isidentifier() or find_spec(name) is None:
        raise Unproven(f"{task} has no resampling")
    return import_module(f"cvbench.metrics.{task}"), import_module(name)


def key_of(task: str, metric: str, evidence: str, truth: str) -> str:
    facts = [task, metric, evidence, truth, RESAMPLES, SEED, EVALUATOR_VERSION, VERSION]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def load(path: Path) -> Arrays:
    """Raises FileNotFoundError, and Contradicted for a file that is no evidence."""
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        return load_arrays(path)
    except ValueError as error:
        raise Contradicted(str(error)) from None


def compute(task: str, metric: str, evidence_file: Path, truth_file: Path) -> tuple[dict[str, Any], bytes]:
    """What `Proof` has, as the index keeps it. Raises Unproven, Contradicted."""
    scores, resampling = modules(task)
    if metric not in resampling.RESAMPLED:
        raise Unproven(f"{metric} cannot be computed on resamples")
    evidence, truth = load(evidence_file), load(truth_file)
    calibrate = getattr(scores, "calibration", None)
    try:
        sums = calibrate(evidence, truth) if calibrate is not None else None
        facts = {
            "metrics": scores.score(evidence, truth),
            "per_class": scores.per_class(evidence, truth),
            "num_images": len(truth["ids"]),
            "images_per_class": resampling.images_per_class(truth, metric).tolist(),
            "calibration": None if sums is None else np.stack(sums).tolist(),
        }
    except (ValueError, KeyError, IndexError) as error:
        raise Contradicted(f"{evidence_file}: cannot be scored ({error}); run it again") from None
    try:
        resampled = resampling.resampled(evidence, truth, metric, _draws(len(truth["ids"])))
    except ValueError as error:
        raise Unproven(str(error)) from None
    return facts, resampled.astype("<f8").tobytes()


def compare(record: Record, metrics: Mapping[str, float], per_class: Mapping[str, Mapping[str, float | None]]) -> None:
    """Raises Contradicted for a score of the record that is not what its evidence gives."""
    said: dict[str, float | None] = {key: value for key, value in record.metrics.items() if key.startswith("test/")}
    found: dict[str, float | None] = {f"test/{name}": value for name, value in metrics.items()}
    for name in catalog.at_test(record.spec.task):  # those take too long, or need what is not here
        said.pop(f"test/{name}", None)
    for name, values in record.per_class.items():
        said |= {f"{name} of {label}": value for label, value in values.items()}
        found |= {f"{name} of {label}": value for label, value in per_class.get(name, {}).items()}
    for name in found | said:
        ours, theirs = found.get(name), said.get(name)
        if ours is None or theirs is None:
            same = ours is theirs
        else:
            same = math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        if not same:
            raise Contradicted(
                f"record {record.run_id}: {name} is {theirs}, but its evidence gives {ours}; if it was edited by hand, "
                "`cvbench rescore --all` mends it"
            )


@lru_cache(maxsize=2)  # 1,000 resamples of 50,000 images are 200 MB
def _draws(num_images: int) -> NDArray[np.int32]:
    return draws(num_images)

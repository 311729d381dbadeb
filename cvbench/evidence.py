"""What runs leave beside their records, as boards need it: scores on resamples, curves, pictures. Never torch.

What follows from evidence is computed once and kept in the store's index by the evidence's hash.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvbench.arrays import digest, load_arrays
from cvbench.board import Curve, Picture
from cvbench.data.files import sha256
from cvbench.gallery import GALLERY, read_list
from cvbench.index import Index
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Record
from cvbench.spec import RunSpec
from cvbench.statistics.resamples import RESAMPLES, SEED, draws
from cvbench.store import Store, slug, truth_name

# Raise it when resampling gives other numbers for the same evidence.
VERSION = 1
_POINTS = 30  # of a curve on a board
_SILENT_SECONDS = 2.0
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


class RunEvidence:
    """The files of a store's runs. tell: called with a line before each further run, once that takes long."""

    def __init__(self, store: Store, index: Index, tell: Callable[[str], None] | None = None) -> None:
        self.store, self.index, self.tell = store, index, tell or (lambda line: None)
        self._seconds = 0.0
        self._folders: dict[str, Path] = {}

    def proof(self, record: Record, metric: str) -> Proof:
        """The scores of a run on resamples, the same resamples for all runs of a protocol.

        Raises:
            Unproven: the evidence or its truth is not here, or the metric cannot be resampled.
            Contradicted: the evidence is another one than the record's, or a metric of the record does not follow.
        """
        path = self._evidence(record)
        key = _key(record, metric, record.evidence.sha256 if record.evidence else sha256(path))
        kept = self.index.computed(key)
        if kept is None:
            begun = time.monotonic()
            if self._seconds > _SILENT_SECONDS:
                self.tell(f"{record.spec.name}: {RESAMPLES:,} resamples of {metric}")
            kept = self._compute(record, metric, path)
            self.index.keep(key, *kept)
            self._seconds += time.monotonic() - begun
        facts, numbers = kept
        _compare(record, facts["metrics"])
        calibration = facts["calibration"]
        return Proof(
            metrics=facts["metrics"],
            resampled=np.frombuffer(numbers, dtype="<f8").astype(np.float64, copy=False),
            num_images=facts["num_images"],
            images_per_class=np.asarray(facts["images_per_class"], dtype=np.int64),
            calibration=None if calibration is None else np.asarray(calibration, dtype=np.float64),
        )

    def arrays(self, record: Record) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """(evidence, truth) of a run, as its task's `score` takes them. Raises as `proof`."""
        path = self._evidence(record)
        if record.evidence is not None and sha256(path) != record.evidence.sha256:
            raise Contradicted(f"{path}: not the evidence that its record names; run it again, or restore the file")
        file = self.store.root / slug(record.spec.dataset.name) / truth_name(record)
        if not file.is_file():
            raise Unproven(f"the truth of its data, {file.name}, is not here")
        try:
            evidence, truth = load_arrays(path), load_arrays(file)
        except ValueError as error:
            raise Contradicted(str(error)) from None
        if record.evidence is not None and digest(truth) != record.evidence.truth:
            raise Contradicted(f"{file}: not the truth that record {record.run_id} was scored against")
        return evidence, truth

    def curves(self, record: Record) -> Curve | None:
        """How training went, of at most 30 epochs; None where nothing was trained or no curve is left."""
        path = self._folder(record) / "curves.csv"
        try:
            kept = self.index.content(path, lambda file: _curve(file, record.spec).encode())
            return Curve.model_validate_json(kept) if kept else None
        except (OSError, ValueError):
            return None

    def pictures(self, record: Record) -> list[Picture]:
        """What the run kept pictures of, the hardest first."""
        folder = self._folder(record)
        found = []
        for kept in read_list(folder):
            content = (folder / GALLERY / kept.file).read_bytes()
            encoded = base64.b64encode(content).decode()
            found.append(Picture(sample=kept.sample, kind=kept.kind, score=kept.score, webp=encoded))
        return found

    def _folder(self, record: Record) -> Path:
        if record.run_id not in self._folders:
            self._folders[record.run_id] = self.store.folder(record.spec)
        return self._folders[record.run_id]

    def _evidence(self, record: Record) -> Path:
        path = self._folder(record) / "evidence.npz"
        if not path.is_file():
            raise Unproven("its evidence is not here")
        if record.evidence is not None and path.stat().st_size != record.evidence.size_bytes:
            raise Contradicted(f"{path}: not the evidence that its record names; run it again, or restore the file")
        return path

    def _compute(self, record: Record, metric: str, path: Path) -> tuple[dict[str, Any], bytes]:
        scores, resampling = modules(record.spec.task)
        if metric not in resampling.RESAMPLED:
            raise Unproven(f"{metric} cannot be computed on resamples")
        evidence, truth = self.arrays(record)
        count = len(truth["ids"])
        calibrate = getattr(scores, "calibration", None)
        sums = calibrate(evidence, truth) if calibrate is not None else None
        facts = {
            "metrics": scores.score(evidence, truth),
            "num_images": count,
            "images_per_class": resampling.images_per_class(truth, metric).tolist(),
            "calibration": None if sums is None else np.stack(sums).tolist(),
        }
        resampled = resampling.resampled(evidence, truth, metric, _draws(count))
        return facts, resampled.astype("<f8").tobytes()


def modules(task: str) -> tuple[ModuleType, ModuleType]:
    """(`metrics/<task>.py`, `metrics/resampling/<task>.py`). Raises Unproven for a task that has no resampling."""
    name = f"cvbench.metrics.resampling.{task}"
    if not task.isidentifier() or find_spec(name) is None:
        raise Unproven(f"{task} has no resampling")
    return import_module(f"cvbench.metrics.{task}"), import_module(name)


def _key(record: Record, metric: str, evidence: str) -> str:
    facts = [record.spec.task, metric, evidence, truth_name(record), RESAMPLES, SEED, EVALUATOR_VERSION, VERSION]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _compare(record: Record, metrics: Mapping[str, float]) -> None:
    for name, value in metrics.items():
        said = record.metrics.get(f"test/{name}")
        if said is None or not abs(said - value) <= TOLERANCE * max(1.0, abs(value)):
            raise Contradicted(
                f"record {record.run_id}: test/{name} is {said}, but its evidence gives {value}; if it was edited by "
                "hand, `cvbench rescore` mends it"
            )


@lru_cache(maxsize=2)  # 1,000 resamples of 50,000 images are 200 MB
def _draws(num_images: int) -> NDArray[np.int32]:
    return draws(num_images)


def _curve(path: Path, run: RunSpec) -> str:
    """curves.csv as the JSON of a `Curve`; empty where it holds nothing."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    rows = [row for row in rows if "epoch" in row]
    if not rows:
        return ""
    chosen = sorted({round(place) for place in np.linspace(0, len(rows) - 1, min(_POINTS, len(rows)))})
    loss, val = (
        tuple(_short(rows[place].get(name)) for place in chosen) for name in ("train/loss", f"val/{run.primary}")
    )
    return Curve(
        seed=run.seed, epochs=tuple(rows[place]["epoch"] for place in chosen), loss=loss, val=val
    ).model_dump_json()


def _short(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.4g}")

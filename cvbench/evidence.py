"""What runs leave beside their records, as boards need it: scores on resamples, curves, pictures. Never torch.

What follows from evidence is computed once and kept in the store's index by the evidence's hash.
"""

from __future__ import annotations

import base64
import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cvbench.arrays import Arrays, digest
from cvbench.board import Curve, Picture
from cvbench.data.files import sha256
from cvbench.gallery import GALLERY, read_list
from cvbench.index import Index
from cvbench.proof import Contradicted, Proof, Unproven, compare, compute, key_of, load
from cvbench.record import Record
from cvbench.spec import RunSpec
from cvbench.statistics.resamples import RESAMPLES
from cvbench.store import Store, slug, truth_name

_POINTS = 30  # of a curve on a board
_SILENT_SECONDS = 2.0


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
        evidence, truth = self._evidence(record), self._truth(record)
        key = key_of(record.spec.task, metric, evidence.hash, truth.hash)
        kept = self.index.computed(key)
        if kept is None:
            begun = time.monotonic()
            if self._seconds > _SILENT_SECONDS:
                self.tell(f"{record.spec.name}: {RESAMPLES:,} resamples of {metric}")
            kept = compute(record.spec.task, metric, evidence.path, truth.path)
            self.index.keep(key, *kept)
            self._seconds += time.monotonic() - begun
        facts, numbers = kept
        compare(record, facts["metrics"], facts["per_class"])
        calibration = facts["calibration"]
        return Proof(
            metrics=facts["metrics"],
            resampled=np.frombuffer(numbers, dtype="<f8").astype(np.float64, copy=False),
            num_images=facts["num_images"],
            images_per_class=np.asarray(facts["images_per_class"], dtype=np.int64),
            calibration=None if calibration is None else np.asarray(calibration, dtype=np.float64),
        )

    def arrays(self, record: Record) -> tuple[Arrays, Arrays]:
        """(evidence, truth) of a run, as its task's `score` takes them. Raises as `proof`."""
        return load(self._evidence(record).path), load(self._truth(record).path)

    def curves(self, record: Record) -> Curve | None:
        """How training went, of at most 30 epochs; None where nothing was trained or no curve is left."""
        path = self._folder(record) / "curves.csv"
        try:
            kept = self.index.content(path, lambda file: _curve(file, record.spec).encode())
            return Curve.model_validate_json(kept) if kept else None
        except (OSError, ValueError):
            return None

    def pictures(self, record: Record) -> list[Picture]:
        """What the run kept pictures of, the hardest first; nothing where they are damaged."""
        folder = self._folder(record)
        found = []
        try:
            for kept in read_list(folder):
                encoded = base64.b64encode((folder / GALLERY / kept.file).read_bytes()).decode()
                found.append(Picture(sample=kept.sample, kind=kept.kind, score=kept.score, webp=encoded))
        except (OSError, ValueError):  # a board does not fail of a picture
            return []
        return found

    def _folder(self, record: Record) -> Path:
        if record.run_id not in self._folders:
            self._folders[record.run_id] = self.store.folder(record.spec)
        return self._folders[record.run_id]

    def _evidence(self, record: Record) -> _File:
        path = self._folder(record) / "evidence.npz"
        try:
            found = self.index.content(path, lambda file: sha256(file).encode()).decode()
        except OSError:
            raise Unproven("its evidence is not here, or cannot be read") from None
        if record.evidence is not None and found != record.evidence.sha256:
            raise Contradicted(f"{path}: not the evidence that its record names; run it again, or restore the file")
        return _File(path, found)

    def _truth(self, record: Record) -> _File:
        path = self.store.root / slug(record.spec.dataset.name) / truth_name(record)
        try:
            found = self.index.content(path, lambda file: digest(load(file)).encode()).decode()
        except OSError:
            raise Unproven(f"the truth of its data, {path.name}, is not here, or cannot be read") from None
        if record.evidence is not None and found != record.evidence.truth:
            raise Contradicted(f"{path}: not the truth that record {record.run_id} was scored against")
        return _File(path, found)


class _File(NamedTuple):
    """hash: of its content."""

    path: Path
    hash: str


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

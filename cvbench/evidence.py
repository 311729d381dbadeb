"""What runs leave beside their records, as boards need it: scores on resamples, curves, pictures. Never torch.

What follows from evidence is computed once and kept in the store's index by the evidence's hash.
"""

from __future__ import annotations

import base64
import csv
import math
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
        self._truths: dict[Path, str] = {}  # one for all runs of a protocol, so it is not asked for each

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
        path = self.store.folder_of(record) / "curves.csv"
        try:
            kept = self.index.content(path, lambda file: _curve(file, record.spec).encode())
            return Curve.model_validate_json(kept) if kept else None
        except (OSError, ValueError):
            return None

    def pictures(self, record: Record) -> list[Picture]:
        """What the run kept pictures of, the hardest first; nothing where they are damaged."""
        folder = self.store.folder_of(record)
        found = []
        try:
            for kept in read_list(folder):
                encoded = base64.b64encode((folder / GALLERY / kept.file).read_bytes()).decode()
                found.append(Picture(sample=kept.sample, kind=kept.kind, score=kept.score, webp=encoded))
        except (OSError, ValueError):  # a board does not fail of a picture
            return []
        return found

    def _evidence(self, record: Record) -> _File:
        path = self.store.folder_of(record) / "evidence.npz"
        try:
            found = self.index.content(path, lambda file: sha256(file).encode()).decode()
        except OSError:
            raise Unproven("its evidence is not here, or cannot be read") from None
        if record.evidence is not None and found != record.evidence.sha256:
            raise Contradicted(f"{path}: not the evidence that its record names; run it again, or restore the file")
        return _File(path, found)

    def _truth(self, record: Record) -> _File:
        path = self.store.root / slug(record.spec.dataset.name) / truth_name(record)
        found = self._truths.get(path)
        if found is None:
            try:
                found = self.index.content(path, lambda file: digest(load(file)).encode()).decode()
            except OSError:
                raise Unproven(f"the truth of its data, {path.name}, is not here, or cannot be read") from None
            self._truths[path] = found
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
        head, *rows = [row for row in csv.reader(file) if row] or [[]]
    epochs, losses, vals = (_column(name, head, rows) for name in ("epoch", "train/loss", f"val/{run.primary}"))
    measured = [place for place, epoch in enumerate(epochs) if epoch is not None]
    if not measured:
        return ""
    if len(measured) > _POINTS:
        measured = [measured[round(place)] for place in np.linspace(0, len(measured) - 1, _POINTS).tolist()]
    return Curve(
        seed=run.seed,
        epochs=tuple(epochs[place] for place in measured),
        loss=tuple(_short(losses[place]) for place in measured),
        val=tuple(_short(vals[place]) for place in measured),
    ).model_dump_json()


def _column(name: str, head: list[str], rows: list[list[str]]) -> list[float | None]:
    """The numbers of a column, None where a cell is empty or there is no such column."""
    if name not in head:
        return [None] * len(rows)
    place = head.index(name)
    return [float(row[place]) if len(row) > place and row[place] else None for row in rows]


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")

"""A made-up store of finished classification runs, their evidence small enough to be worked out by hand."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvbench.arrays import digest, save_arrays
from cvbench.data.files import sha256
from cvbench.metrics import classification
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import EvidenceFile, Record
from cvbench.spec import RunSpec
from cvbench.store import Store, slug, truth_name
from tests import records

Arrays = dict[str, np.ndarray]
CURVES = "epoch,step,train/loss,val/top1\n1,10,0.9,0.4\n2,20,0.5,0.6\n"


def truth_of(images: int) -> Arrays:
    """Labels 0, 1, 0, 1 …"""
    labels = np.arange(images) % 2
    return {"ids": np.array([f"test/{row}" for row in range(images)]), "labels": labels,
            "classes": np.array(["zero", "one"])}  # fmt: skip


def evidence_of(right: Sequence[bool] | np.ndarray) -> Arrays:
    """Which images are right, each with a probability of 0.75."""
    truth = truth_of(len(right))
    first = np.where(np.asarray(right), truth["labels"], 1 - truth["labels"])
    return {"ids": truth["ids"], "top": np.stack([first, 1 - first], axis=1),
            "top_probability": np.tile(np.array([0.75, 0.25]), (len(right), 1))}  # fmt: skip


def keep(
    store: Store,
    run: RunSpec,
    right: Sequence[bool] | np.ndarray,
    *,
    evidence: Arrays | None = None,
    truth: Arrays | None = None,
    **changes: Any,
) -> Record:
    """Puts the run into the store as the harness does, the record last; changes are fields of Record."""
    evidence = evidence_of(right) if evidence is None else evidence
    truth = truth_of(len(right)) if truth is None else truth
    folder = store.folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "evidence.npz"
    save_arrays(path, evidence)
    file = EvidenceFile(sha256=sha256(path), size_bytes=path.stat().st_size, truth=digest(truth))
    scores = classification.score(evidence, truth)
    fields: dict[str, Any] = {
        "others": {name: value for name, value in scores.items() if name != run.primary},
        "per_class": classification.per_class(evidence, truth),
        "evidence": file,
        "evaluator_version": EVALUATOR_VERSION,
    }
    record = records.record(run, scores.get(run.primary, 0.5), **fields | changes)
    home = store.root / slug(run.dataset.name) / truth_name(record)
    if not home.exists():
        save_arrays(home, truth)
    (folder / "curves.csv").write_text(CURVES)
    # not `write_record`, which waits for the disk each time
    (folder / "record.json").write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return record


def share(images: int, count: int) -> np.ndarray:
    """The first `count` of the images are right."""
    return np.arange(images) < count


def settle(root: Path) -> None:
    """As if all files below it had been written an hour ago."""
    hour_ago = time.time() - 3600
    for path in root.rglob("*"):
        if path.is_file() and not path.name.startswith(".index"):
            os.utime(path, (hour_ago, hour_ago))

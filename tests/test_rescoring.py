"""Records scored again from their evidence: what follows from it is new, the rest stays."""

from __future__ import annotations

import numpy as np
import pytest

from cvbench.arrays import save_arrays
from cvbench.evidence import RunEvidence
from cvbench.index import Index
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.proof import Contradicted, Unproven
from cvbench.record import Record, read_record, write_record
from cvbench.rescoring import rescored
from cvbench.store import Store
from tests import records
from tests.stores import evidence_of, keep, share

RUN = records.spec()
RIGHT = share(20, 13)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def again(store: Store, record: Record) -> Record:
    return rescored(record, RunEvidence(store, Index(None)))


def test_all_that_follows_from_evidence_is_computed_anew(store: Store) -> None:
    old = keep(store, RUN, RIGHT, evaluator_version=0)
    wrong = old.model_copy(
        update={
            "metrics": {"test/top1": 0.1, "test/gone": 0.2, "val/top1": 0.5},
            "directions": {"test/top1": "min", "test/gone": "max", "val/top1": "max"},
            "per_class": {"accuracy": {"zero": 1.0}},
            "absent_classes": ("one",),
            "absent_metrics": {"top1": "who knows"},
        }
    )
    new = again(store, wrong)
    # 13 of 20: 7 of the 10 zeros, 6 of the 10 ones; confidence 0.75
    assert new.metrics == pytest.approx({"test/top1": 0.65, "test/macro_top1": 0.65, "test/ece": 0.1, "val/top1": 0.5})
    assert new.directions == {"test/top1": "max", "test/macro_top1": "max", "test/ece": "min", "val/top1": "max"}
    assert new.per_class == {"accuracy": {"zero": 0.7, "one": 0.6}}
    assert (new.absent_classes, new.evaluator_version) == ((), EVALUATOR_VERSION)
    assert set(new.absent_metrics) == {"top5", "nll"}  # the evidence has neither ranks nor the true class's probability
    untouched = ("spec", "dataset", "costs", "samples", "evidence", "selection", "execution", "started_at")
    assert all(getattr(new, name) == getattr(old, name) for name in untouched)


def test_a_class_that_the_truth_lacks_is_absent(store: Store) -> None:
    truth = {"ids": np.array(["a", "b"]), "labels": np.array([0, 0]), "classes": np.array(["zero", "one"])}
    evidence = {"ids": truth["ids"], "top": np.array([[0, 1], [1, 0]])}
    record = keep(store, RUN, [True, False], truth=truth, evidence=evidence)
    new = again(store, record)
    assert (new.per_class, new.absent_classes) == ({"accuracy": {"zero": 0.5, "one": None}}, ("one",))


def test_rescored_it_can_be_written_and_read(store: Store, tmp_path) -> None:
    new = again(store, keep(store, RUN, RIGHT, evaluator_version=0))
    write_record(new, tmp_path / "record.json")
    assert read_record(tmp_path / "record.json") == new


def test_a_number_that_json_does_not_have_is_refused(store: Store) -> None:
    """As null it would make a record that nobody can read."""
    evidence = evidence_of(RIGHT) | {"true_log_probability": np.where(RIGHT, np.log(0.75), -np.inf)}
    record = keep(store, RUN, RIGHT)
    save_arrays(store.folder(RUN) / "evidence.npz", evidence)
    with pytest.raises(ValueError, match="finite"):
        again(store, record.model_copy(update={"evidence": None}))


def test_evidence_that_is_not_the_records(store: Store) -> None:
    record = keep(store, RUN, RIGHT)
    path = store.folder(RUN) / "evidence.npz"
    save_arrays(path, evidence_of(share(20, 14)))
    with pytest.raises(Contradicted):
        again(store, record)
    path.unlink()
    with pytest.raises(Unproven):
        again(store, record)


def test_a_primary_metric_that_evidence_no_longer_gives(store: Store) -> None:
    run = records.spec(primary="nll")
    record = keep(store, run, RIGHT)
    with pytest.raises(ValueError, match="no longer gives nll, but top1, macro_top1, ece; run it again"):
        again(store, record)

"""What is proven of a record by the files beside it: by hand, with numpy; and every way in which it is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cvbench import evidence as module
from cvbench.arrays import digest, save_arrays
from cvbench.board import Curve
from cvbench.evidence import RunEvidence
from cvbench.gallery import GALLERY, LIST
from cvbench.index import Index
from cvbench.proof import Contradicted, Unproven
from cvbench.record import EvidenceFile, Record, write_record
from cvbench.statistics.resamples import draws
from cvbench.store import Store, truth_name
from tests import records
from tests.stores import evidence_of, keep, settle, share, truth_of

RIGHT = np.array([True] * 13 + [False] * 7)
RUN = records.spec()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def prove(store: Store, record: Record, metric: str = "top1"):
    with Index(store.root) as index:
        return RunEvidence(store, index).proof(record, metric)


def test_a_record_that_its_evidence_proves(store: Store) -> None:
    record = keep(store, RUN, RIGHT)
    found = prove(store, record)
    assert found.metrics["top1"] == 13 / 20
    assert found.num_images == 20
    assert found.resampled == pytest.approx(draws(20) @ RIGHT / 20, rel=1e-12)
    assert found.images_per_class.tolist() == []
    assert prove(store, record, "macro_top1").images_per_class.tolist() == [10, 10]
    # samples, their confidence and those that are right: all in the bin of 0.75, the 12th of 15
    assert found.calibration.shape == (3, 16)
    assert found.calibration[:, 11].tolist() == [20, 15, 13]
    assert found.calibration.sum() == 20 + 15 + 13


def test_what_was_computed_is_kept(store: Store, monkeypatch) -> None:
    record = keep(store, RUN, RIGHT)
    first = prove(store, record)
    monkeypatch.setattr(module, "compute", lambda *_: pytest.fail("computed again"))
    again = prove(store, record)
    assert again.resampled.tolist() == first.resampled.tolist()
    assert (again.metrics, again.num_images) == (first.metrics, first.num_images)
    # another run with the same evidence follows from it too, another metric does not
    prove(store, keep(store, records.spec("mlp"), RIGHT))
    with pytest.raises(pytest.fail.Exception):
        prove(store, record, "macro_top1")


def settled(store: Store, known: bool, record: Record) -> None:
    """known: its statistics are in the index."""
    settle(store.root)
    if known:
        prove(store, record)


@pytest.mark.parametrize("known", [False, True])
def test_evidence_that_was_replaced(store: Store, known: bool) -> None:
    record = keep(store, RUN, RIGHT)
    path = store.folder(RUN) / "evidence.npz"
    settled(store, known, record)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert path.stat().st_size == size
    with pytest.raises(Contradicted, match=r"evidence\.npz: not the evidence that its record names; run it again"):
        prove(store, record)
    with Index(store.root) as index, pytest.raises(Contradicted):
        RunEvidence(store, index).arrays(record)
    path.unlink()
    with pytest.raises(Unproven, match="its evidence is not here"):
        prove(store, record)


@pytest.mark.parametrize("known", [False, True])
def test_truth_that_was_replaced(store: Store, known: bool) -> None:
    record = keep(store, RUN, RIGHT)
    path = store.root / "digits" / truth_name(record)
    settled(store, known, record)
    truth = truth_of(20)
    save_arrays(path, truth | {"labels": 1 - truth["labels"]})
    with pytest.raises(Contradicted, match=f"not the truth that record {record.run_id} was scored against"):
        prove(store, record)
    path.unlink()
    with pytest.raises(Unproven, match=r"the truth of its data, truth-\w+\.npz, is not here"):
        prove(store, record)
    # packed in another way it is the same truth
    np.savez(path, **truth)
    assert prove(store, record).metrics["top1"] == 13 / 20


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"metrics": {"test/top1": 0.9}}, "test/top1 is 0.9, but its evidence gives 0.65"),
        ({"metrics": {"test/top1": 0.65 + 1e-6}}, "test/top1 is"),
        ({"metrics": {"test/top5": 0.9}}, "test/top5 is 0.9, but its evidence gives None"),
        ({"per_class": {"accuracy": {"zero": 0.7, "one": 0.7}}}, "accuracy of one is 0.7, but its evidence gives 0.6"),
        ({"per_class": {"accuracy": {"zero": None, "one": 0.6}}}, "accuracy of zero is None"),
        ({"per_class": {"beauty": {"zero": 1.0}}}, "beauty of zero is 1.0, but its evidence gives None"),
    ],
)
def test_records_that_were_edited_by_hand(store: Store, known: bool, edit: dict, message: str) -> None:
    record = keep(store, RUN, RIGHT)
    settled(store, known, record)
    changed = {"metrics": record.metrics | edit["metrics"]} if "metrics" in edit else edit
    with pytest.raises(Contradicted, match=message) as error:
        prove(store, record.model_copy(update=changed))
    assert record.run_id in str(error.value)
    assert "cvbench rescore --all" in str(error.value)


def test_a_score_that_the_record_lacks(store: Store) -> None:
    record = keep(store, RUN, RIGHT)
    less = {key: value for key, value in record.metrics.items() if key != "test/ece"}
    with pytest.raises(Contradicted, match="test/ece is None"):
        prove(store, record.model_copy(update={"metrics": less}))


def test_an_infinite_score_is_not_a_finite_one(store: Store) -> None:
    evidence = evidence_of(RIGHT) | {"true_log_probability": np.where(RIGHT, np.log(0.75), -np.inf)}
    record = keep(store, RUN, RIGHT)
    infinite = {
        "true_log_probability": evidence["true_log_probability"],
        "ids": evidence["ids"],
        "top": evidence["top"],
    }
    path = store.folder(RUN) / "evidence.npz"
    save_arrays(path, infinite)
    given = record.model_copy(update={"evidence": None, "metrics": {"test/top1": 0.65, "test/macro_top1": 0.65,
                                                                    "test/nll": 0.3}})  # fmt: skip
    with pytest.raises(Contradicted, match=r"test/nll is 0\.3, but its evidence gives inf"):
        prove(store, given)


def test_scores_that_a_test_alone_has_are_not_held_against_evidence(store: Store, monkeypatch) -> None:
    record = keep(store, RUN, RIGHT)
    slow = record.model_copy(update={"metrics": record.metrics | {"test/slow": 0.3}})
    with pytest.raises(Contradicted, match="test/slow"):
        prove(store, slow)
    monkeypatch.setattr("cvbench.catalog.at_test", lambda task: ("slow",))
    assert prove(store, slow).metrics["top1"] == 13 / 20


def test_a_metric_that_cannot_be_resampled(store: Store) -> None:
    record = keep(store, RUN, RIGHT)
    with pytest.raises(Unproven, match="meteor cannot be computed on resamples"):
        prove(store, record, "meteor")
    with pytest.raises(Unproven, match="Expected evidence with `true_rank`, which top5 needs"):
        prove(store, record, "top5")


@pytest.mark.parametrize("task", ["depth", "my.task", "../classification"])
def test_a_task_of_somebodys_own(store: Store, task: str) -> None:
    record = keep(store, records.spec(task=task), RIGHT)
    with pytest.raises(Unproven, match="has no resampling"):
        prove(store, record)


@pytest.mark.parametrize("lacking", ["top", "ids"])
def test_evidence_that_cannot_be_scored(store: Store, lacking: str) -> None:
    """Of a record from before evidence was named, so that nothing else tells."""
    record = keep(store, RUN, RIGHT, evaluator_version=1).model_copy(update={"evidence": None})
    evidence = evidence_of(RIGHT)
    del evidence[lacking]
    save_arrays(store.folder(RUN) / "evidence.npz", evidence)
    with pytest.raises(Contradicted, match=f"cannot be scored .*{lacking}.*; run it again"):
        prove(store, record)


def test_evidence_of_other_images(store: Store) -> None:
    record = keep(store, RUN, RIGHT).model_copy(update={"evidence": None})
    save_arrays(store.folder(RUN) / "evidence.npz", evidence_of(RIGHT[:19]))
    with pytest.raises(Contradicted, match=r"cannot be scored \(Expected evidence for all 20 samples, but it lacks"):
        prove(store, record)


def test_damaged_evidence(store: Store) -> None:
    record = keep(store, RUN, RIGHT).model_copy(update={"evidence": None})
    path = store.folder(RUN) / "evidence.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(Contradicted, match=r"evidence\.npz: Expected arrays that the run has left"):
        prove(store, record)


def test_old_records_without_a_word_of_their_evidence_are_held_against_it(store: Store) -> None:
    record = keep(store, RUN, RIGHT).model_copy(update={"evidence": None})
    assert prove(store, record).metrics["top1"] == 13 / 20
    with pytest.raises(Contradicted):
        prove(store, record.model_copy(update={"metrics": record.metrics | {"test/top1": 0.7}}))


def test_a_record_may_name_other_evidence_only_if_it_lies_there(store: Store) -> None:
    record = keep(store, RUN, RIGHT)
    named = EvidenceFile(sha256="0" * 64, size_bytes=record.evidence.size_bytes, truth=digest(truth_of(20)))
    with pytest.raises(Contradicted, match="not the evidence that its record names"):
        prove(store, record.model_copy(update={"evidence": named}))


def test_one_is_told_when_it_takes_long(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(module, "_SILENT_SECONDS", -1.0)
    lines: list[str] = []
    record = keep(store, RUN, RIGHT)
    for _ in range(2):
        with Index(store.root) as index:
            RunEvidence(store, index, lines.append).proof(record, "top1")
    assert lines == ["digits/lenet seed 0: 1,000 resamples of top1"]


def curve(store: Store, text: str | None) -> Curve | None:
    record = keep(store, RUN, RIGHT)
    path = store.folder(RUN) / "curves.csv"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with Index(store.root) as index:
        return RunEvidence(store, index).curves(record)


def test_curves_by_hand(store: Store) -> None:
    text = "epoch,step,train/loss,val/top1,val/ece\n1,5,0.123456,,0.1\n2,10,nan,0.65,\n"
    assert curve(store, text) == Curve(seed=0, epochs=(1, 2), loss=(0.1235, None), val=(None, 0.65))


def test_long_curves_are_thinned_evenly_with_both_ends(store: Store) -> None:
    found = curve(store, "epoch,train/loss\n" + "".join(f"{epoch},1\n" for epoch in range(1, 292)))
    assert found is not None
    assert found.epochs == tuple(range(1, 292, 10))
    assert found.val == (None,) * 30


@pytest.mark.parametrize("text", [None, "", "epoch,train/loss\n", "epoch,train/loss\n1,much\n", "step\n3\n", "\x00"])
def test_no_curve_is_none(store: Store, text: str | None) -> None:
    assert curve(store, text) is None


def test_pictures_that_are_damaged_are_left_out(store: Store) -> None:
    record = keep(store, RUN, RIGHT)
    folder = store.folder(RUN) / GALLERY
    folder.mkdir()

    def shown():
        return RunEvidence(store, Index(None)).pictures(record)

    assert shown() == []
    kept = {"file": "hard-1.webp", "sample": "test/3", "kind": "hard", "score": 0.25}
    (folder / LIST).write_text(json.dumps([kept]))
    assert shown() == []
    (folder / "hard-1.webp").write_bytes(b"webp")
    assert [(one.sample, one.kind, one.score, one.webp) for one in shown()] == [("test/3", "hard", 0.25, "d2VicA==")]
    (folder / LIST).write_text(json.dumps([kept | {"file": "../../record.json"}]))
    assert shown() == []


def test_the_same_with_and_without_an_index(store: Store) -> None:
    record = keep(store, RUN, share(31, 20))
    write_record(record, store.folder(RUN) / "record.json")
    kept = [prove(store, record) for _ in range(2)]
    plain = RunEvidence(store, Index(None)).proof(record, "top1")
    for one in kept:
        assert one.resampled.tobytes() == plain.resampled.tobytes()
        assert one.metrics == plain.metrics

"""Two models held against each other: by hand and scipy; and everything that cannot be compared."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cvbench.comparing import Compared, compare_models
from cvbench.evidence import RunEvidence
from cvbench.index import Index
from cvbench.record import Record, load_records
from cvbench.spec import DatasetRef, ModelRef, Recipe
from cvbench.statistics.resamples import draws
from cvbench.store import Store
from tests import records
from tests.stores import keep, share

A, B = share(60, 45), np.roll(share(60, 36), 6)  # A alone right: 6 + 3 … counted below


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def held(store: Store, a: str = "a", b: str = "b", **changes) -> list[Compared]:
    return compare_models(a, b, load_records(store.root), RunEvidence(store, Index(None)), **changes)


def test_two_single_runs(store: Store) -> None:
    for name, right in (("a", A), ("b", B)):
        keep(store, records.spec(name), right)
    (found,) = held(store)
    resampled = draws(60) @ (A.astype(float) - B) / 60
    error = resampled.std(ddof=1)
    half = stats.t.ppf(0.975, 59) * error
    result = found.result
    assert result.difference == pytest.approx(9 / 60)
    assert (result.low, result.high) == pytest.approx((9 / 60 - half, 9 / 60 + half))
    assert result.p == pytest.approx(2 * stats.t.sf(9 / 60 / error, 59))
    assert result.probability_better == pytest.approx((resampled > 1e-12).mean() + (abs(resampled) < 1e-12).mean() / 2)
    assert result.image_only
    # the t test of the same images, whose variance is N / (N - 1) times the bootstrap's
    assert result.p == pytest.approx(stats.ttest_rel(A.astype(float), B).pvalue, rel=0.4)
    only = int((A & ~B).sum()), int((B & ~A).sum())
    assert found.mcnemar == (*only, pytest.approx(stats.binomtest(only[0], sum(only)).pvalue))
    assert (found.dataset, found.metric, found.direction, found.unit) == ("digits", "top1", "max", "%")


def test_by_another_metric_the_lower_may_be_better(store: Store) -> None:
    for name, right in (("a", A), ("b", B)):
        keep(store, records.spec(name), right)
    (found,) = held(store, metric="ece")
    # confidence 0.75 each: |0.75 - 0.75| and |0.6 - 0.75|
    assert found.result.difference == pytest.approx(-0.15)
    assert (found.direction, found.mcnemar) == ("min", None)
    assert found.result.probability_better > 0.8


def test_seeds_are_averaged_and_their_variance_counts(store: Store) -> None:
    """All images alike: what is left is Welch's t test of the seeds."""
    counts = {"a": (60, 60, 0), "b": (60, 0, 0)}
    for name, each in counts.items():
        for seed, count in enumerate(each):
            keep(store, records.spec(name, seed), share(60, count))
    (found,) = held(store)
    welch = stats.ttest_ind([1, 1, 0], [1, 0, 0], equal_var=False)
    assert found.result.p == pytest.approx(welch.pvalue)
    interval = welch.confidence_interval()
    assert (found.result.low, found.result.high) == pytest.approx((interval.low, interval.high))
    assert (found.a.n, found.b.n, found.mcnemar, found.result.image_only) == (3, 3, None, False)


def test_each_data_set_on_which_both_have_runs(store: Store) -> None:
    def on(part: int, name: str):
        return records.spec(name, dataset=DatasetRef(name="digits", options={"part": part}, version=1))

    for part, name in ((2, "a"), (2, "b"), (1, "a"), (1, "b"), (3, "a"), (4, "b")):
        keep(store, on(part, name), A if name == "a" else B)
    assert [one.options for one in held(store)] == [{"part": 1}, {"part": 2}]
    assert [one.options for one in held(store, on="digits")] == [{"part": 1}, {"part": 2}]
    with pytest.raises(ValueError, match="--on: no run on a data set 'digit' here; did you mean 'digits'"):
        held(store, on="digit")


def test_runs_are_named_by_ids_too(store: Store) -> None:
    a = [keep(store, records.spec("a", seed), A) for seed in (0, 1)]
    b = keep(store, records.spec("b"), B)
    (by_group,) = held(store, a[0].group_id[:8], "b")
    (by_run,) = held(store, a[1].run_id[:8], b.run_id)
    assert (by_group.a.n, by_run.a.n, by_run.b.n) == (2, 1, 1)
    with pytest.raises(ValueError, match=f"no finished run of '{a[0].run_id[:3]}'"):
        held(store, a[0].run_id[:3], "b")


def test_a_model_against_itself_does_not_differ(store: Store) -> None:
    for seed, count in enumerate((40, 42, 47)):
        keep(store, records.spec("a", seed), share(60, count))
    (found,) = held(store, "a", "a")
    result = found.result
    assert (result.difference, result.p) == (0, 1)
    assert result.low <= 0 <= result.high
    assert math.isfinite(result.low)
    assert result.probability_better == pytest.approx(0.5, abs=0.02)


def test_a_run_that_lies_in_the_store_twice_counts_once(store: Store) -> None:
    keep(store, records.spec("a"), A)
    keep(store, records.spec("b"), B)
    folder = store.folder(records.spec("a"))
    copied = folder.with_name("copy")
    copied.mkdir()
    for path in folder.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    assert held(store)[0].a.n == 1
    text = (copied / "record.json").read_text()
    (copied / "record.json").write_text(text.replace('"parameters": 61706', '"parameters": 1'))
    with pytest.raises(ValueError, match=r"Expected one record of run .* but got two that differ"):
        held(store)


def test_several_kinds_of_one_name_must_be_told_apart(store: Store) -> None:
    kinds = [records.spec("a", recipe=Recipe(epochs=epochs)) for epochs in (1, 2)]
    for run in kinds:
        keep(store, run, A)
    keep(store, records.spec("b"), B)
    groups = ", ".join(sorted(run.group_id for run in kinds))
    with pytest.raises(ValueError, match=f"name one of the groups {groups}"):
        held(store)
    assert held(store, kinds[0].group_id)[0].a.n == 1


def test_what_has_no_data_in_common(store: Store) -> None:
    keep(store, records.spec("a"), A)
    keep(store, records.spec("b"), B, dataset=records.facts(protocol={"classes": 2}))
    with pytest.raises(ValueError, match="measured under different protocols or data revisions: not comparable"):
        held(store)
    keep(store, records.spec("c"), B, dataset=records.facts(revision="bbbbbbbbbbbb"))
    with pytest.raises(ValueError, match="not comparable"):
        held(store, "a", "c")
    other = records.spec("d", dataset=DatasetRef(name="mnist", options={}), model=ModelRef(name="d", options={}))
    keep(store, other, B)
    with pytest.raises(ValueError, match=r"no data set in common: 'a' has .*digits.*; 'd' has .*mnist"):
        held(store, "a", "d")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b": "bb"}, "no finished run of 'bb' here"),
        ({"metric": "topp1"}, "--metric: no 'topp1' in classification; did you mean 'top1'"),
        ({"metric": "top5"}, r"digits/a seed 0 \(\w{12}\): Expected evidence with `true_rank`, which top5 needs"),
    ],
)
def test_mistakes(store: Store, changes: dict, message: str) -> None:
    keep(store, records.spec("a"), A)
    keep(store, records.spec("b"), B)
    with pytest.raises(ValueError, match=message):
        held(store, **changes)


def test_stale_records_are_rescored_first(store: Store) -> None:
    keep(store, records.spec("a"), A)
    keep(store, records.spec("b"), B, evaluator_version=0)
    with pytest.raises(
        ValueError, match="1 runs of 'b' were scored by evaluator 0, this is 1; `cvbench rescore` first"
    ):
        held(store)


def test_missing_evidence_is_named_with_its_run(store: Store) -> None:
    keep(store, records.spec("a"), A)
    b: Record = keep(store, records.spec("b"), B)
    (store.folder(b.spec) / "evidence.npz").unlink()
    with pytest.raises(ValueError, match=rf"digits/b seed 0 \({b.run_id}\): its evidence is not here"):
        held(store)


def test_a_metric_that_nothing_in_the_data_defines(store: Store, monkeypatch) -> None:
    keep(store, records.spec("a"), A)
    keep(store, records.spec("b"), B)
    evidence = RunEvidence(store, Index(None))
    real = evidence.proof
    monkeypatch.setattr(evidence, "proof", lambda record, metric: real(record, "top1")._replace(metrics={"top1": 0.5}))
    with pytest.raises(ValueError, match="nothing in its data defines ece"):
        compare_models("a", "b", load_records(store.root), evidence, metric="ece")


def test_one_image_is_too_few(store: Store) -> None:
    keep(store, records.spec("a"), [True])
    keep(store, records.spec("b"), [False])
    with pytest.raises(ValueError, match="at least two images to resample, but got 1"):
        held(store)


def test_a_task_of_somebodys_own(store: Store) -> None:
    for name in "ab":
        keep(store, records.spec(name, task="depth", primary="rmse"), A)
    with pytest.raises(ValueError, match="depth has no resampling"):
        held(store)


def test_an_empty_store(store: Store) -> None:
    with pytest.raises(ValueError, match="no finished run of 'a' here"):
        held(store)

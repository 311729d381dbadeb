"""Confusion matrices and what follows from them: scikit-learn, torchmetrics, hand calculation, invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_jaccard_index

from cvbench.metrics.confusion import (
    ClassCounts,
    class_accuracy,
    class_counts,
    class_iou,
    confusion_matrix,
    mean_scores,
    segmentation_scores,
)

C = 5
VOID = 255


def labels(rng: np.random.Generator, shape: tuple[int, ...], void: float = 0.1) -> np.ndarray:
    values = rng.integers(0, C, shape).astype(np.uint8)
    values[rng.random(shape) < void] = VOID
    return values


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Truth in 0..C-1 or void, prediction any byte, of one shape, with at least one labelled pixel."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))
    label = st.sampled_from([*range(C), VOID])
    truth = draw(hnp.arrays(np.uint8, shape, elements=label))
    truth[0, 0] = draw(st.integers(0, C - 1))
    return truth, draw(hnp.arrays(np.uint8, shape, elements=label | st.just(C)))


def test_a_hand_counted_matrix() -> None:
    truth = np.array([[0, 0, 1], [1, 255, 255]])
    prediction = np.array([[0, 1, 1], [2, 0, 255]])
    # class 0: one right, one taken for 1; class 1: one right, one predicted as 2, out of range for two classes
    assert confusion_matrix(truth, prediction, 2).tolist() == [[1, 1, 0], [0, 1, 1]]
    scores = segmentation_scores(confusion_matrix(truth, prediction, 2))
    assert scores == {
        "miou": pytest.approx((1 / 2 + 1 / 3) / 2),  # IoU 0: 1 of {2 true + 0}; IoU 1: 1 of {2 true + 1 wrong}
        "pixel_accuracy": 2 / 4,
        "mean_accuracy": (1 / 2 + 1 / 2) / 2,
        "fw_iou": pytest.approx((2 * 1 / 2 + 2 * 1 / 3) / 4),
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int32])
def test_matrix_equals_scikit_learn_and_torchmetrics(dtype: type) -> None:
    rng = np.random.default_rng(0)
    truth, prediction = labels(rng, (40, 50)).astype(dtype), labels(rng, (40, 50), void=0).astype(dtype)
    ours = confusion_matrix(truth, prediction, C)
    assert ours.dtype == np.int64
    labelled = truth != VOID
    np.testing.assert_array_equal(
        ours[:, :C], sk.confusion_matrix(truth[labelled], prediction[labelled], labels=range(C))
    )
    reference = multiclass_confusion_matrix(
        torch.from_numpy(prediction.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)), C, ignore_index=VOID
    )
    np.testing.assert_array_equal(ours[:, :C], reference.numpy())
    assert not ours[:, C].any()


def test_scores_equal_scikit_learn_with_absent_classes_and_void() -> None:
    rng = np.random.default_rng(1)
    truth, prediction = labels(rng, (60, 60)), labels(rng, (60, 60), void=0.05)
    truth[truth == 1] = 2  # class 1 is predicted, but absent from the truth
    truth[truth == 4], prediction[prediction == 4] = 0, 0  # class 4 is nowhere
    confusion = confusion_matrix(truth, prediction, C)
    scores, counts = segmentation_scores(confusion), class_counts(confusion)
    labelled = truth != VOID
    t, p = truth[labelled], prediction[labelled]
    present = np.union1d(t, p[p < C])
    iou = sk.jaccard_score(t, p, labels=present, average=None)
    np.testing.assert_allclose(class_iou(counts)[present], iou, rtol=1e-15)
    assert np.isnan(class_iou(counts)[4])
    assert scores["miou"] == pytest.approx(iou.mean(), rel=1e-14)
    assert scores["pixel_accuracy"] == pytest.approx(sk.accuracy_score(t, p), rel=1e-14)
    assert scores["mean_accuracy"] == pytest.approx(
        sk.recall_score(t, p, labels=np.unique(t), average="macro"), rel=1e-14
    )
    assert scores["fw_iou"] == pytest.approx(sk.jaccard_score(t, p, labels=np.unique(t), average="weighted"), rel=1e-14)
    np.testing.assert_array_equal(np.isnan(class_accuracy(counts)), [False, True, False, False, True])


def test_miou_equals_torchmetrics() -> None:
    rng = np.random.default_rng(2)
    truth, prediction = labels(rng, (60, 60)), labels(rng, (60, 60), void=0)
    reference = multiclass_jaccard_index(
        torch.from_numpy(prediction.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)), C, ignore_index=VOID
    )
    assert segmentation_scores(confusion_matrix(truth, prediction, C))["miou"] == pytest.approx(float(reference), 1e-6)


def test_every_index_of_a_large_class_list_counts_when_nothing_is_ignored() -> None:
    truth = np.arange(300)
    assert np.trace(confusion_matrix(truth, truth, 300, ignore_index=None)) == 300  # 255 is a class here


@settings(deadline=None)
@given(pairs(), st.randoms(use_true_random=False))
def test_order_and_ignored_pixels_do_not_matter(pair: tuple[np.ndarray, np.ndarray], random: object) -> None:
    truth, prediction = pair
    expected = confusion_matrix(truth, prediction, C)
    order = list(range(truth.size))
    random.shuffle(order)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(confusion_matrix(truth.ravel()[order], prediction.ravel()[order], C), expected)
    changed = np.where(truth == VOID, 3, prediction)
    np.testing.assert_array_equal(confusion_matrix(truth, changed, C), expected)
    assert expected.sum() == (truth != VOID).sum()


@settings(deadline=None)
@given(pairs(), pairs())
def test_merged_counts_are_the_counts_of_all_pixels(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> None:
    apart = confusion_matrix(*first, C) + confusion_matrix(*second, C)
    joined = [np.concatenate([one.ravel(), other.ravel()]) for one, other in zip(first, second, strict=True)]
    np.testing.assert_array_equal(apart, confusion_matrix(*joined, C))


@settings(deadline=None)
@given(pairs())
def test_a_perfect_prediction_scores_one_and_void_on_a_labelled_pixel_is_wrong(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, _ = pair
    assert set(segmentation_scores(confusion_matrix(truth, truth, C)).values()) == {1.0}
    worse = truth.copy()
    worse[0, 0] = VOID
    for value in segmentation_scores(confusion_matrix(truth, worse, C)).values():
        assert value < 1
    assert set(segmentation_scores(confusion_matrix(truth, np.full_like(truth, VOID), C)).values()) == {0.0}


@settings(deadline=None)
@given(pairs(), st.permutations(range(C)))
def test_the_names_of_classes_do_not_matter(pair: tuple[np.ndarray, np.ndarray], new: list[int]) -> None:
    table = np.full(256, VOID, dtype=np.uint8)
    table[:C] = new
    truth, prediction = pair
    before = segmentation_scores(confusion_matrix(truth, prediction, C))
    assert segmentation_scores(confusion_matrix(table[truth], table[prediction], C)) == pytest.approx(before, rel=1e-14)


@settings(deadline=None)
@given(pairs())
def test_scores_are_fractions(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert all(0 <= value <= 1 for value in segmentation_scores(confusion_matrix(*pair, C)).values())


def test_many_resamples_score_at_once() -> None:
    rng = np.random.default_rng(3)
    confusions = np.stack([confusion_matrix(labels(rng, (9, 9)), labels(rng, (9, 9)), C) for _ in range(7)])
    counts = class_counts(confusions)
    assert counts.truth.shape == (7, C)
    for row, confusion in enumerate(confusions):
        single = segmentation_scores(confusion)
        assert {name: values[row] for name, values in mean_scores(counts).items()} == pytest.approx(single, rel=1e-14)


def test_nothing_labelled_has_no_score() -> None:
    with pytest.raises(ValueError, match="at least one labelled pixel"):
        segmentation_scores(confusion_matrix(np.full((3, 3), VOID), np.zeros((3, 3), int), C))
    empty = ClassCounts(*[np.zeros((2, C), np.int64)] * 3)
    assert all(np.isnan(value).all() for value in mean_scores(empty).values())


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.array([0, 7]), np.array([0, 0]), r"truth labels 0..4 or 255 \(ignored\), but got 7"),
        (np.array([0, -1]), np.array([0, 0]), "but got -1"),
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"got \(3, 2\) and \(2, 3\)"),
        (np.zeros(2), np.zeros(2, int), "`truth` to hold integer labels, but got dtype float64"),
    ],
)
def test_labels_that_cannot_be_counted(truth: np.ndarray, prediction: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix(truth, prediction, C)

"""Detection's scores from evidence and truth: what they are called, and evidence that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from cvbench.metrics.box_columns import image_numbers
from cvbench.metrics.detection import METRICS, PRIMARY, per_class, score
from tests.detections import Arrays, found, known, splits

TRUTH = known([[(0, 0, 10, 10, 0), (20, 20, 50, 50, 2)], [], [(0, 0, 100, 100, 0, "crowd")]], classes=3)
EVIDENCE = found([[(0, 0, 10, 10, 0, 0.9), (20, 20, 50, 49, 2, 0.5)], [(3, 3, 9, 9, 1, 0.4)], []])


def reordered(arrays: Arrays, order: list[int]) -> Arrays:
    """The same images in another order."""
    edges = np.cumsum(arrays["counts"]) - arrays["counts"]
    rows = [np.arange(edges[place], edges[place] + arrays["counts"][place]) for place in order]
    boxes = np.concatenate(rows).astype(int)
    rows_of = {"ids": order, "counts": order, "classes": slice(None)}
    return {name: column[rows_of.get(name, boxes)] for name, column in arrays.items()}


def test_names_and_classes() -> None:
    scores, table = score(EVIDENCE, TRUTH), per_class(EVIDENCE, TRUTH)
    assert set(METRICS) - set(scores) == {"map_large", "mar_large"}  # the large box is a crowd
    assert [name for name in METRICS if name in scores] == list(scores)
    assert PRIMARY in scores
    assert {unit for _, _, unit in METRICS.values()} == {"%"}
    assert list(table) == ["ap", "ap_50", "voc07_ap", "voc_ap"]
    # IoU 0.98 passes all ten thresholds
    assert all(row == {"class0": 1, "class1": None, "class2": 1} for row in table.values())
    assert scores == dict.fromkeys(scores, 1.0)
    assert np.mean([value for value in table["ap"].values() if value is not None]) == scores["map"]


def test_vocs_numbers_are_means_over_classes() -> None:
    """One class found as in `test_voc_ap.test_by_hand`, one not found at all, one without truth."""
    truth = known([[(0, 0, 10, 10, 0), (20, 0, 10, 10, 0), (40, 0, 10, 10, 0), (0, 0, 10, 10, 1)]], classes=3)
    evidence = found([[(0, 0, 10, 10, 0, 0.9), (80, 0, 10, 10, 0, 0.8), (20, 0, 10, 10, 0, 0.7)]])
    scores, table = score(evidence, truth), per_class(evidence, truth)
    eleven_point, all_points = (4 + 3 * 2 / 3) / 11, (1 + 2 / 3) / 3
    assert (scores["voc07_ap"], scores["voc_ap"]) == pytest.approx((eleven_point / 2, all_points / 2))
    assert table["voc07_ap"] == {"class0": pytest.approx(eleven_point), "class1": 0, "class2": None}
    assert table["voc_ap"] == {"class0": pytest.approx(all_points), "class1": 0, "class2": None}


@settings(max_examples=30, deadline=None)
@given(splits())
def test_the_order_of_images_changes_nothing(split: tuple[Arrays, Arrays]) -> None:
    evidence, truth = split
    if (truth["crowd"] | truth["difficult"]).all():
        return
    images = len(truth["ids"])
    for order in (list(range(images))[::-1], [*range(1, images), 0]):
        assert score(reordered(evidence, order), truth) == score(evidence, truth)
        assert score(evidence, reordered(truth, order)) == score(evidence, truth)
        assert per_class(reordered(evidence, order), truth) == per_class(evidence, truth)


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [
        (["val/000000000139.jpg", "val/000000000042.jpg"], [139, 42]),
        (["9", "10", "0"], [9, 10, 0]),
        (["2007_000032", "2007_000027"], [2, 1]),  # no decimal number, though Python would read it as one
        (["train/1.jpg", "val/1.jpg"], [1, 2]),
        (["\u0669", "\u0661"], [2, 1]),  # Arabic digits, which Python would read too
        (["1" * 19, "2"], [1, 2]),
    ],
)
def test_numbers_of_images(ids: list[str], numbers: list[int]) -> None:
    assert image_numbers(np.array(ids)).tolist() == numbers


def test_equal_scores_go_by_the_number_of_the_image() -> None:
    """Image 9 comes before image 10, which as text it does not."""
    truth = known([[(0, 0, 10, 10, 0)], []], 1, ["9", "10"])
    right_first = found([[(0, 0, 10, 10, 0, 0.5)], [(0, 0, 10, 10, 0, 0.5)]], ["9", "10"])
    assert score(right_first, truth)["voc_ap"] == 1
    assert score(right_first, truth)["map"] == 1
    other = truth | {"ids": np.array(["11", "10"])}
    assert score(right_first | {"ids": other["ids"]}, other)["voc_ap"] == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": np.array([0.9, np.nan, 0.4])}, "`scores` to be finite, but a detection of image 'image0' has nan"),
        ({"scores": np.array([0.9, 0.5, np.inf])}, "`scores` to be finite, but a detection of image 'image1' has inf"),
        ({"scores": np.array([0.9, 0.5])}, r"`scores` of the detections to be \(3,\) as `counts` says, got \(2,\)"),
        ({"boxes_xywh": np.array([[0, 0, 1, 1]] * 2 + [[0, np.nan, 1, 1]])}, r"finite, but .*'image1' has \[0\.0, nan"),
        ({"boxes_xywh": np.array([[0, 0, 1, 1]] * 2 + [[9, 9, -1, 1]])}, r"height >= 0, but .*'image1' has \[9, 9, -1"),
        ({"labels": np.array([0, 3, 1])}, r"`labels` to be 0\.\.2, but a detection of image 'image0' has 3"),
        ({"labels": np.array([0, 2, -1])}, r"`labels` to be 0\.\.2, but a detection of image 'image1' has -1"),
        ({"counts": np.array([2, 2, -1])}, "`counts` of the detections to be 3 numbers >= 0"),
        ({"counts": np.array([2, 1])}, "`counts` of the detections to be 3 numbers >= 0"),
        ({"counts": np.array([2, 2, 0])}, r"to be \(4, 4\) as `counts` says, got \(3, 4\)"),
        ({"ids": np.array(["image0", "image1", "image3"])}, "lacks 'image2'"),
        ({"ids": np.array(["image0", "image1", "image1"])}, "has 'image1' more than once"),
    ],
)
def test_evidence_that_cannot_be(changes: Arrays, message: str) -> None:
    for scoring in (score, per_class):
        with pytest.raises(ValueError, match=message):
            scoring(EVIDENCE | changes, TRUTH)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crowd": np.array([True, False, True]), "difficult": np.array([False, True, False])}, "all 3 of them are"),
        ({"area": np.array([1.0, np.nan, 1.0])}, ">= 0, but a truth box of image 'image0' has nan"),
        ({"area": np.array([1.0, 1.0, -1.0])}, "`area` to be finite and >= 0, but .* of image 'image2' has -1"),
        ({"labels": np.array([0, 1, 3])}, r"`labels` to be 0\.\.2, but a truth box of image 'image2' has 3"),
    ],
)
def test_truth_that_cannot_be_scored(changes: Arrays, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(EVIDENCE, TRUTH | changes)


def test_no_boxes_at_all() -> None:
    with pytest.raises(ValueError, match="at least one truth box that counts, but the truth has none"):
        score(EVIDENCE, known([[], [], []], classes=3))

"""Metrics on resamples: equal to what `score` gives of images that are physically there so often, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvbench.metrics import classification, detection, segmentation
from cvbench.metrics.coco_map import RECALL_THRESHOLDS
from cvbench.metrics.confusion import class_counts, confusion_matrix
from cvbench.metrics.resampling import classification as of_labels
from cvbench.metrics.resampling import detection as of_boxes
from cvbench.metrics.resampling import segmentation as of_masks
from cvbench.metrics.resampling.average_precision import coco_points, voc07_points
from tests.detections import Arrays, found, known, splits
from tests.repeated import parts_repeated, rows_repeated

DETECTION = ["map", "map_50", "map_75", "map_small", "map_medium", "map_large", "voc07_ap", "voc_ap"]
Split = tuple[Arrays, Arrays]


def labels_split(images: int = 60, classes: int = 7) -> Split:
    """Made-up evidence; class C-2 in one image, class C-1 in none, some confidences 1, one of them wrong."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes - 2, images)
    labels[17] = classes - 2
    probabilities = rng.dirichlet(np.ones(classes) * 0.5, images)
    probabilities[np.arange(images), labels] += rng.random(images)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    probabilities[::10] = np.eye(classes)[labels[::10]]
    probabilities[10] = np.eye(classes)[classes - 1]  # the true class is impossible
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    rank = np.argsort(np.argsort(-probabilities, axis=1, kind="stable"), axis=1)[np.arange(images), labels]
    confidence = np.take_along_axis(probabilities, top, axis=1).astype(np.float32)
    confidence[1::10, 0], confidence[2::10, 0] = 0.96, np.float32(0.2)  # beside the 1s, and on the edge of two bins
    ids = np.array([f"test/{row}" for row in range(images)])
    with np.errstate(divide="ignore"):
        logs = np.log(probabilities[np.arange(images), labels])
    evidence = {
        "ids": ids,
        "top": top,
        "top_probability": confidence,
        "true_log_probability": logs,
        "true_rank": rank,
    }
    return evidence, {"ids": ids, "labels": labels, "classes": np.array([f"c{i}" for i in range(classes)])}


def masks_split(images: int = 12, classes: int = 5) -> Split:
    rng = np.random.default_rng(1)
    counts = []
    for image in range(images):
        truth = rng.integers(0, classes - 1 if image else classes, 200)  # the last class is in one image only
        prediction = np.where(rng.random(200) < 0.6, truth, rng.integers(0, classes + 1, 200))
        truth[rng.random(200) < 0.1] = 255
        counts.append(confusion_matrix(truth, prediction, classes))
    return masks_evidence(np.stack(counts))


def masks_evidence(confusions: np.ndarray) -> Split:
    ids = np.array([f"test/{row}" for row in range(len(confusions))])
    counts = class_counts(confusions)
    evidence = {"ids": ids, **counts._asdict(), "confusion": confusions.sum(axis=0), "each": confusions}
    classes = np.array([f"c{row}" for row in range(confusions.shape[1])])
    return evidence, {"ids": ids, "pixels": counts.truth, "classes": classes}


def masks_repeated(split: Split, weights: np.ndarray) -> Split:
    return masks_evidence(np.repeat(split[0]["each"], weights, axis=0))


CASES: list[tuple[ModuleType, ModuleType, Split, Callable[[Split, np.ndarray], Split], list[str]]] = [
    (classification, of_labels, labels_split(), rows_repeated, ["top1", "top5", "macro_top1", "nll", "ece"]),
    (segmentation, of_masks, masks_split(), masks_repeated, list(segmentation.METRICS)),
]


@pytest.mark.parametrize(("scores", "resampling", "split", "repeated", "names"), CASES, ids=["labels", "masks"])
def test_a_resample_is_the_score_of_repeated_images(
    scores: Any, resampling: Any, split: Split, repeated: Any, names: list[str]
) -> None:
    images = len(split[1]["ids"])
    rng = np.random.default_rng(3)
    weights = np.stack([np.bincount(rng.integers(0, images, images), minlength=images) for _ in range(20)])
    weights[0] = 1
    expected = [scores.score(*repeated(split, row)) for row in weights]
    assert expected[0] == pytest.approx(scores.score(*split), rel=1e-12)
    for name in names:
        values = resampling.resampled(*split, name, weights)
        assert values.shape == (20,)
        assert values == pytest.approx([row[name] for row in expected], rel=1e-12), name
        assert len(set(np.round(values, 9))) > 3, name


def test_an_impossible_label_counts_where_it_is_drawn() -> None:
    evidence, truth = labels_split()
    impossible = np.isneginf(evidence["true_log_probability"])
    assert impossible.any()
    weights = np.stack([np.ones(60, dtype=int), np.where(impossible, 0, 1)])
    drawn, without = of_labels.resampled(evidence, truth, "nll", weights)
    assert drawn == np.inf
    assert without == pytest.approx(-evidence["true_log_probability"][~impossible].mean(), rel=1e-12)


@settings(max_examples=80, deadline=None)
@given(splits())
def test_boxes_drawn_once_score_the_same(split: Split) -> None:
    """With every tie that there can be."""
    evidence, truth = split
    if (truth["crowd"] | truth["difficult"]).all():
        return
    expected = detection.score(evidence, truth)
    for name in DETECTION:
        value = of_boxes.resampled(evidence, truth, name, np.ones((1, len(truth["ids"])), dtype=int))[0]
        assert value == pytest.approx(expected.get(name, np.nan), rel=0, abs=1e-12, nan_ok=True), name


@settings(max_examples=80, deadline=None)
@given(splits(), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_boxes_drawn_several_times(split: Split, draws: list[int]) -> None:
    """Scores are tied between images, never inside one: there the order of copies is another one."""
    evidence, truth = split
    weights = np.array(draws[: len(truth["ids"])])
    if not weights.any() or (truth["crowd"] | truth["difficult"]).all():
        return
    inside = np.concatenate([np.arange(count) for count in evidence["counts"]]).astype(float)
    evidence = evidence | {"scores": evidence["scores"] - inside / 1000}
    copies = parts_repeated((evidence, truth), weights)
    nothing = (copies[1]["crowd"] | copies[1]["difficult"]).all()
    expected = {} if nothing else detection.score(*copies)
    for name in DETECTION:
        value = of_boxes.resampled(evidence, truth, name, weights[None])[0]
        assert value == pytest.approx(expected.get(name, np.nan), rel=0, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize(
    ("boxes", "places", "map_50", "voc_ap"),
    [
        # two detections on a box that does not count, then one on a box that does: as in `test_coco_map`
        ([(0, 0, 10, 10, 0, "crowd"), (50, 0, 10, 10, 0)], [0, 0, 50], 1, 1),
        ([(0, 0, 10, 10, 0, "difficult"), (50, 0, 10, 10, 0)], [0, 0, 50], 1 / 2, 1),
        # of equal overlap (2/3) the last one is taken, and the second detection, which fits that one only, is wrong
        ([(0, 0, 10, 10, 0), (4, 0, 10, 10, 0)], [2, 5], 51 / 101, 1),
        # a box that counts is taken before one of more overlap that does not
        ([(2, 0, 10, 10, 0), (0, 0, 10, 10, 0, "difficult")], [0], 1, 0),
    ],
)
def test_matching_by_hand(boxes: list[tuple[Any, ...]], places: list[int], map_50: float, voc_ap: float) -> None:
    """VOC: no box that does not count is ever taken; of equal overlap the first; the most overlapped alone."""
    evidence = found([[(left, 0, 10, 10, 0, 0.9 - 0.1 * row) for row, left in enumerate(places)]])
    truth = known([boxes], 1)
    for name, value in (("map_50", map_50), ("voc_ap", voc_ap)):
        assert detection.score(evidence, truth)[name] == pytest.approx(value)
        assert of_boxes.resampled(evidence, truth, name, np.ones((1, 1), dtype=int))[0] == pytest.approx(value)


def test_classes_that_a_resample_lacks_are_left_out() -> None:
    truth = known([[(0, 0, 10, 10, 0)], [(0, 0, 10, 10, 1)], []], classes=3)
    evidence = found([[(0, 0, 10, 10, 0, 0.9), (0, 0, 10, 10, 1, 0.9)], [(0, 0, 10, 10, 1, 0.8)], []])
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 2, 1], [0, 0, 3]])
    for name in ("map", "voc_ap"):
        values = of_boxes.resampled(evidence, truth, name, weights)
        assert values == pytest.approx([(1 + 1 / 2) / 2, 1, 1, np.nan], nan_ok=True)


def test_recalls_that_equal_a_point() -> None:
    """COCO compares floats (35 of 100 is below its own 0.35, and 100 times 29 of 100 below 29), VOC fractions."""
    for positives in (1, 7, 10, 29, 100, 101, 700):
        hits = np.arange(positives + 1, dtype=np.int32)[:, None]
        reached = [int((value >= RECALL_THRESHOLDS).sum()) for value in (hits[:, 0] / positives).tolist()]
        assert coco_points(hits, np.array([positives]))[:, 0] == pytest.approx(np.array(reached) / 101, rel=1e-14)
        elevenths = [sum(10 * hit >= point * positives for point in range(11)) for hit in range(positives + 1)]
        assert voc07_points(hits, np.array([positives]))[:, 0] == pytest.approx(np.array(elevenths) / 11, rel=1e-14)


def test_many_boxes_and_blocks_of_resamples() -> None:
    """More than 100 boxes of a class in an image, and more resamples than are worked on at once."""
    rng = np.random.default_rng(4)
    images = [
        [
            (*rng.uniform(0, 60, 2), *rng.uniform(10, 50, 2), rng.integers(2), rng.random())
            for _ in range(150 + 100 * one)
        ]
        for one in range(4)
    ]
    boxes = [[(*rng.uniform(0, 60, 2), *rng.uniform(10, 50, 2), rng.integers(2)) for _ in range(8)] for _ in range(4)]
    ids = [f"{number}.jpg" for number in (30, 4, 1, 200)]
    evidence, truth = found(images, ids), known(boxes, 2, ids)
    weights = rng.integers(0, 3, (150, 4))
    weights[:, 2] += 1
    for name in DETECTION:
        values = of_boxes.resampled(evidence, truth, name, weights)
        for place in (0, 63, 64, 149):
            expected = detection.score(*parts_repeated((evidence, truth), weights[place])).get(name, np.nan)
            assert values[place] == pytest.approx(expected, rel=0, abs=1e-12, nan_ok=True)


def test_average_precision_by_hand() -> None:
    """As `test_coco_map.test_by_hand`, the second image drawn twice: right, wrong, right, right; three truths."""
    truth = known([[(0, 0, 10, 10, 0)], [(0, 0, 10, 10, 0)]], classes=1)
    evidence = found([[(0, 0, 10, 10, 0, 0.9), (50, 0, 10, 10, 0, 0.8)], [(0, 0, 10, 10, 0, 0.7)]])
    weights = np.array([[1, 1], [1, 2], [2, 0], [0, 1]])
    ap = of_boxes.resampled(evidence, truth, "map", weights)
    # precision 1 up to recall 1/3, then 3/4; right twice and wrong twice; right
    assert ap == pytest.approx([(51 + 50 * 2 / 3) / 101, (34 + 67 * 3 / 4) / 101, 1, 1])
    assert of_boxes.resampled(evidence, truth, "voc_ap", weights) == pytest.approx([5 / 6, (1 + 3 / 4 * 2) / 3, 1, 1])
    eleven = (4 + 7 * 3 / 4) / 11  # recalls 0 to 0.3, 0.4 to 1
    assert of_boxes.resampled(evidence, truth, "voc07_ap", weights)[1] == pytest.approx(eleven)


@pytest.mark.parametrize(
    ("resampling", "split", "name"),
    [(of_labels, labels_split(), "top1"), (of_masks, masks_split(), "miou")],
)
def test_weights_go_by_the_truths_ids(resampling: Any, split: Split, name: str) -> None:
    evidence, truth = split
    images = len(truth["ids"])
    weights = np.random.default_rng(5).integers(0, 3, (3, images))
    shuffled = np.random.default_rng(6).permutation(images)
    moved = {key: value if key == "confusion" else value[shuffled] for key, value in evidence.items()}
    expected = resampling.resampled(evidence, truth, name, weights)
    assert resampling.resampled(moved, truth, name, weights) == pytest.approx(expected, rel=1e-14)


def test_images_of_each_class() -> None:
    """Where the metric is a mean over classes."""
    labels = {"labels": np.array([0, 2, 2]), "classes": np.array(list("abcd"))}
    assert of_labels.images_per_class(labels, "macro_top1").tolist() == [1, 0, 2, 0]
    masks = {"pixels": np.array([[5, 0], [1, 0], [0, 3]])}
    assert of_masks.images_per_class(masks, "miou").tolist() == [2, 1]
    assert not len(of_labels.images_per_class(labels, "top1"))
    assert not len(of_masks.images_per_class(masks, "pixel_accuracy"))
    boxes = [
        [(0, 0, 9, 9, 0), (9, 9, 9, 9, 0), (0, 0, 9, 9, 1, "crowd")],
        [(0, 0, 99, 99, 0), (0, 0, 9, 9, 1, "difficult")],
        [(0, 0, 9, 9, 1)],
    ]
    assert of_boxes.images_per_class(known(boxes, 3), "map").tolist() == [2, 1, 0]
    assert of_boxes.images_per_class(known(boxes, 3), "map_small").tolist() == [1, 1, 0]


def test_what_is_right() -> None:
    evidence = {"ids": np.array(["b", "a"]), "top": np.array([[1, 0], [0, 1]])}
    truth = {"ids": np.array(["a", "b"]), "labels": np.array([0, 0]), "classes": np.array(["x", "y"])}
    assert of_labels.correct(evidence, truth).tolist() == [True, False]


BOXES = found([[(0, 0, 1, 1, 0, 0.5)]]), known([[(0, 0, 1, 1, 0)]])


@pytest.mark.parametrize(
    ("resampling", "split", "name", "can"),
    [
        (of_labels, labels_split(), "map", "top1, top5, macro_top1, nll, ece"),
        (of_masks, masks_split(), "top1", "miou, pixel_accuracy, mean_accuracy, fw_iou"),
        (of_boxes, BOXES, "mar_100", "map, map_50, map_75, map_small, map_medium, map_large, voc07_ap, voc_ap"),
    ],
)
def test_metrics_that_cannot_be_resampled(resampling: Any, split: Split, name: str, can: str) -> None:
    weights = np.ones((1, len(split[1]["ids"])), dtype=int)
    with pytest.raises(ValueError, match=f"Expected a metric that can be resampled, {can}, but got '{name}'"):
        resampling.resampled(*split, name, weights)


@pytest.mark.parametrize(
    "weights",
    [
        np.ones((2, 59), dtype=int),
        np.ones(60, dtype=int),
        np.ones((2, 60)),
        np.full((1, 60), -1),
        np.zeros((1, 60), int),
    ],
)
def test_weights_that_cannot_be(weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match="Expected `weights` to be"):
        of_labels.resampled(*labels_split(), "top1", weights)


def test_evidence_without_the_column() -> None:
    evidence, truth = labels_split()
    del evidence["true_rank"]
    with pytest.raises(ValueError, match="Expected evidence with `true_rank`, which top5 needs, but it has ids, top"):
        of_labels.resampled(evidence, truth, "top5", np.ones((1, 60), dtype=int))

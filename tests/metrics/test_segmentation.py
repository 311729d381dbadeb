"""Segmentation scores from evidence, against scikit-learn on all pixels at once, on made-up and on real masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import jaccard_score, recall_score

from cvbench.metrics.confusion import class_counts, confusion_matrix
from cvbench.metrics.segmentation import METRICS, PRIMARY, per_class, score

Arrays = dict[str, np.ndarray]
VOID = 255


def made(truths: list[np.ndarray], predictions: list[np.ndarray], classes: int) -> tuple[Arrays, Arrays]:
    """Evidence and truth of label images."""
    ids = np.array([f"test/{row}" for row in range(len(truths))])
    stack = np.stack([confusion_matrix(t, p, classes) for t, p in zip(truths, predictions, strict=True)])
    counts = class_counts(stack)
    evidence = {"ids": ids, **counts._asdict(), "confusion": stack.sum(axis=0)}
    return evidence, {"ids": ids, "pixels": counts.truth, "classes": np.array([f"c{i}" for i in range(classes)])}


def random_images(classes: int = 6, images: int = 5) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    truths, predictions = [], []
    for index in range(images):
        truth = rng.integers(0, classes - 2, (20 + index, 30))  # class C-2 only predicted, class C-1 nowhere
        prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, classes - 1, truth.shape))
        truth[rng.random(truth.shape) < 0.1] = VOID
        prediction[rng.random(truth.shape) < 0.05] = VOID
        truths.append(truth.astype(np.uint8))
        predictions.append(prediction.astype(np.uint8))
    return truths, predictions


def test_scores_are_over_the_split_and_equal_scikit_learn() -> None:
    truths, predictions = random_images()
    evidence, truth = made(truths, predictions, 6)
    t, p = (np.concatenate([image.ravel() for image in images]) for images in (truths, predictions))
    t, p = t[t != VOID], p[t != VOID]
    scores, table = score(evidence, truth), per_class(evidence, truth)
    iou = jaccard_score(t, p, labels=range(5), average=None)
    assert scores["miou"] == pytest.approx(iou.mean(), rel=1e-14)  # five of six classes: the sixth is nowhere
    assert list(table["iou"].values()) == [*(pytest.approx(value) for value in iou), None]
    assert table["iou"]["c4"] == 0
    recall = recall_score(t, p, labels=range(4), average=None)
    assert scores["mean_accuracy"] == pytest.approx(recall.mean(), rel=1e-14)
    assert list(table["accuracy"].values()) == [*(pytest.approx(value) for value in recall), None, None]
    assert scores["pixel_accuracy"] == (t == p).mean()
    assert list(scores) == list(METRICS)
    assert PRIMARY in METRICS
    assert {unit for _, _, unit in METRICS.values()} == {"%"}


def test_the_mean_over_images_is_another_number() -> None:
    truths, predictions = random_images()
    evidence, truth = made(truths, predictions, 6)
    each = [score(*made([t], [p], 6))["miou"] for t, p in zip(truths, predictions, strict=True)]
    assert score(evidence, truth)["miou"] != pytest.approx(np.mean(each), rel=1e-6)


def test_real_masks_against_scikit_learn(shared_data: Path) -> None:
    """CamVid masks, each scored as a prediction of its neighbour: streets look alike, so that this is no toy."""
    files = sorted((shared_data / "camvid" / "testannot").glob("*.png"))[:7]
    masks = [np.array(Image.open(file)) for file in files]
    truths = [np.where(mask == 11, VOID, mask).astype(np.uint8) for mask in masks[:-1]]
    predictions = masks[1:]  # 11 is a prediction of void
    t, p = (np.stack(images).ravel() for images in (truths, predictions))
    t, p = t[t != VOID], p[t != VOID]
    present = np.union1d(t, p[p < 11])
    expected = jaccard_score(t, p, labels=present, average="macro")
    assert score(*made(truths, predictions, 11))["miou"] == pytest.approx(expected, rel=1e-14)
    assert 0.2 < expected < 0.9


def test_rows_in_any_order_and_merged_parts_score_the_same() -> None:
    evidence, truth = made(*random_images(), 6)
    order = [3, 0, 4, 2, 1]
    shuffled = {key: value if key == "confusion" else value[order] for key, value in evidence.items()}
    assert score(shuffled, truth) == score(evidence, truth)
    assert per_class(shuffled, truth) == per_class(evidence, truth)


def test_evidence_of_another_truth_or_counted_twice() -> None:
    evidence, truth = made(*random_images(), 6)
    other = truth | {"pixels": truth["pixels"] + np.eye(5, 6, k=-2, dtype=np.int64)}
    with pytest.raises(ValueError, match="3 images were scored on others, the first is 'test/2'"):
        score(evidence, other)
    with pytest.raises(ValueError, match="add up to `confusion`"):
        score(evidence | {"confusion": evidence["confusion"] * 2}, truth)
    with pytest.raises(ValueError, match="lacks 'test/4'"):
        score({key: value if key == "confusion" else value[:4] for key, value in evidence.items()}, truth)


def test_only_ignored_pixels() -> None:
    void = [np.full((4, 4), VOID, np.uint8)]
    with pytest.raises(ValueError, match="at least one labelled pixel"):
        score(*made(void, void, 3))

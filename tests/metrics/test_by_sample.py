"""How well each sample went, worked by hand: what picks the images of a gallery."""

from __future__ import annotations

import numpy as np
import pytest

from cvbench.arrays import texts
from cvbench.metrics import captioning, classification, detection, segmentation


def test_classification_is_the_true_classs_probability() -> None:
    evidence = {
        "ids": np.array(["b", "a"]),
        "top": np.array([[0, 1], [1, 0]]),
        "true_log_probability": np.log([0.2, 0.75]),
    }
    truth = {"ids": np.array(["a", "b"]), "labels": np.array([1, 1]), "classes": np.array(["x", "y"])}
    assert classification.by_sample(evidence, truth) == pytest.approx([0.75, 0.2])
    del evidence["true_log_probability"]
    assert classification.by_sample(evidence, truth).tolist() == [1, 0]


def test_segmentation_is_each_images_own_miou() -> None:
    evidence = {
        "ids": np.array(["a", "b", "void"]),
        "intersection": np.array([[4, 0], [1, 2], [0, 0]]),
        "truth": np.array([[4, 0], [2, 2], [0, 0]]),
        "prediction": np.array([[4, 0], [1, 3], [0, 0]]),
        "confusion": np.array([[5, 1, 0], [0, 2, 0]]),
    }
    truth = {"ids": evidence["ids"], "pixels": evidence["truth"], "classes": np.array(["x", "y"])}
    # b: 1 of 2 and 2 of 3
    assert segmentation.by_sample(evidence, truth)[:2] == pytest.approx([1, (1 / 2 + 2 / 3) / 2])
    assert np.isnan(segmentation.by_sample(evidence, truth)[2])


def test_detection_is_the_share_of_boxes_found_by_the_surest() -> None:
    """Image 1: two boxes; its two surest are one right and one of the wrong class. 2: a box, and a miss. 3: no box."""
    box, far = [0.0, 0, 10, 10], [50.0, 50, 10, 10]
    evidence = {
        "ids": np.array(["1", "2", "3"]),
        "counts": np.array([3, 1, 1]),
        "boxes_xywh": np.array([box, far, far, far, box]),
        "scores": np.array([0.9, 0.8, 0.7, 0.9, 0.9]),
        "labels": np.array([0, 1, 0, 0, 0]),
    }
    truth = {
        "ids": evidence["ids"],
        "counts": np.array([2, 2, 0]),
        "boxes_xywh": np.array([box, far, box, far]),
        "labels": np.array([0, 0, 0, 0]),
        "area": np.full(4, 100.0),
        "crowd": np.zeros(4, dtype=bool),
        "difficult": np.array([False, False, False, True]),
        "classes": np.array(["x", "y"]),
    }
    found = detection.by_sample(evidence, truth)
    assert found[:2].tolist() == [0.5, 0.0]
    assert np.isnan(found[2])


def test_captioning_is_each_captions_cider() -> None:
    """As `pycocoevalcap` has it: their mean is the score; a caption that has no word of its references scores 0."""
    evidence = {"ids": np.array(["2.jpg", "10.jpg"]), "captions": texts(["a dog runs", "x"])}
    truth = {
        "ids": np.array(["10.jpg", "2.jpg"]),
        "counts": np.array([1, 1]),
        "references": texts(["two cats sleep", "a dog runs"]),
    }
    values = captioning.by_sample(evidence, truth)
    assert values[0] == 0
    assert values[1] > 1
    assert values.mean() == pytest.approx(captioning.score(evidence, truth)["cider"])

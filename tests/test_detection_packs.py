"""Real images in their published layouts, from disk to a score: what is true, given as predictions, is perfect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench.data import coco, voc
from cvbench.data.base import Dataset
from cvbench.metrics import detection


def evidence_and_truth(dataset: Dataset, *, shifted: float = 0.0) -> tuple[dict[str, Any], dict[str, Any]]:
    """The test split's boxes, and as detections the same, moved right by a share of their width."""
    split = dataset.splits["test"]
    every = [split.target(index) for index in range(len(split))]
    columns = {
        "ids": np.array(split.ids),
        "counts": np.array([len(boxes) for boxes in every]),
        "boxes_xywh": np.concatenate([boxes.xywh for boxes in every]),
        "labels": np.concatenate([boxes.labels for boxes in every]),
    }
    truth = columns | {
        name: np.concatenate([getattr(boxes, name) for boxes in every]) for name in ("area", "crowd", "difficult")
    }
    moved = columns["boxes_xywh"] + columns["boxes_xywh"][:, [2, 2, 2, 2]] * [shifted, 0.0, 0.0, 0.0]
    scores = np.linspace(1.0, 0.5, len(moved))
    return columns | {"boxes_xywh": moved, "scores": scores}, truth | {"classes": np.array(dataset.info.classes)}


@pytest.mark.parametrize("name", ["coco", "voc"])
def test_the_truth_as_predictions_is_perfect(shared_data: Path, name: str) -> None:
    dataset = {"coco": coco, "voc": voc}[name].build(shared_data)
    scores = detection.score(*evidence_and_truth(dataset))
    assert scores["map"] == scores["map_50"] == scores["voc_ap"] == scores["voc07_ap"] == 1.0


def test_boxes_that_are_a_little_off_fit_up_to_their_overlap(shared_data: Path) -> None:
    # Moved by 0.24 of its width a box has an IoU of 0.76 / 1.24 = 0.613 with its old place: right at 0.50, 0.55 and
    # 0.60, wrong above: 3 of 10. Where things of a class stand side by side, a few fit their neighbours.
    scores = detection.score(*evidence_and_truth(coco.build(shared_data), shifted=0.24))
    assert scores["map_50"] > 0.95
    assert scores["map_75"] < 0.05
    assert scores["map"] == pytest.approx(0.3, abs=0.03)

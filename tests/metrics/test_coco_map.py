"""COCO's box numbers against pycocotools and against hand calculation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from cvbench.metrics.box_columns import box_columns
from cvbench.metrics.coco_map import class_ap, coco_scores, coco_table
from cvbench.scoring.detection import score_files
from tests.detections import COCO_NAMES, Arrays, found, known, pycocotools, splits


def scores(evidence: Arrays, truth: Arrays) -> dict[str, float]:
    return coco_scores(coco_table(*box_columns(evidence, truth), len(truth["classes"])))


def test_the_twelve_numbers_of_cocos_own_example(shared_data: Path) -> None:
    folder = shared_data / "metric_refs" / "coco_eval_val2014_100"
    expected = json.loads((folder / "expected_pycocotools_2.0.11.json").read_text())["bbox"]
    result = score_files(folder / "instances_val2014_100.json", folder / "instances_val2014_fakebbox100_results.json")
    assert result["samples"] == 100
    assert [result["metrics"][name] for name in COCO_NAMES] == pytest.approx(expected, rel=0, abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(splits())
def test_equals_pycocotools_on_random_sets(split: tuple[Arrays, Arrays]) -> None:
    evidence, truth = split
    expected, precision = pycocotools(evidence, truth)
    if (truth["crowd"] | truth["difficult"]).all():
        assert not expected
        with pytest.raises(ValueError, match="at least one truth box that counts"):
            scores(evidence, truth)
        return
    table = coco_table(*box_columns(evidence, truth), len(truth["classes"]))
    assert coco_scores(table) == pytest.approx(expected, rel=0, abs=1e-9)
    assert np.allclose(table.precision, np.moveaxis(precision, 2, 0), rtol=0, atol=1e-9)
    defined = precision[0, 0, :, 0] != -1
    means = precision[..., 0].mean(axis=(0, 1)), precision[0, ..., 0].mean(axis=0)
    for ours, theirs in zip(class_ap(table), means, strict=True):
        assert np.allclose(ours[defined], theirs[defined], rtol=0, atol=1e-9)
        assert np.isnan(ours[~defined]).all()


def test_more_than_a_hundred_detections_of_a_class_in_an_image() -> None:
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(0, 40, (400, 2)), rng.uniform(5, 60, (400, 2))], axis=1)
    rows = [(*box, rng.integers(2), rng.integers(20) / 20) for box in boxes]
    truth = known([[(10, 10, 30, 30, 0), (20, 20, 50, 50, 0), (0, 0, 40, 40, 1)]], ids=["7"])
    evidence = found([rows], ids=["7"])
    assert scores(evidence, truth) == pytest.approx(pycocotools(evidence, truth)[0], rel=0, abs=1e-9)
    # right at first by score, but after a hundred others
    last = found([[(500, 500, 9, 9, 0, 0.9)] * 100 + [(10, 10, 30, 30, 0, 0.8)]])
    assert scores(last, known([[(10, 10, 30, 30, 0)]]))["mar_100"] == 0


def test_by_hand() -> None:
    """Two truths; found: the first, then a miss, then the second. Precision 1 up to recall 1/2, then 2/3."""
    truth = known([[(0, 0, 10, 10, 0)], [(0, 0, 10, 10, 0)]], classes=1)
    evidence = found([[(0, 0, 10, 10, 0, 0.9), (50, 0, 10, 10, 0, 0.8)], [(0, 0, 10, 10, 0, 0.7)]])
    # recall thresholds 0, 0.01 … 0.50 are 51 of the 101
    expected = (51 * 1 + 50 * 2 / 3) / 101
    result = scores(evidence, truth)
    assert result == {
        **dict.fromkeys(("map", "map_50", "map_75", "map_small"), pytest.approx(expected)),
        **dict.fromkeys(("mar_1", "mar_10", "mar_100", "mar_small"), 1.0),
    }


@pytest.mark.parametrize(
    ("mark", "precision"),
    # two detections on the marked box come first: both forgiven by a crowd, one by a difficult box
    [("crowd", 1), ("difficult", 1 / 2), ("", 2 / 3)],
)
def test_detections_on_a_box_that_does_not_count(mark: str, precision: float) -> None:
    truth = known([[(0, 0, 10, 10, 0), (50, 0, 10, 10, 0, mark)]])
    evidence = found([[(50, 0, 10, 10, 0, 0.9), (50, 0, 10, 10, 0, 0.8), (0, 0, 10, 10, 0, 0.7)]])
    result = scores(evidence, truth)
    # counted among the truth, the marked box is recall 1/2 at precision 1
    assert result["map_50"] == pytest.approx((51 + 50 * precision) / 101 if not mark else precision)


def test_truth_as_predictions_scores_one_and_nothing_scores_zero() -> None:
    truth = known([[(0, 0, 10, 10, 0), (0, 0, 50, 50, 1)], [], [(5, 5, 200, 100, 1)]])
    rows = [[(0, 0, 10, 10, 0, 1.0), (0, 0, 50, 50, 1, 1.0)], [], [(5, 5, 200, 100, 1, 1.0)]]
    assert scores(found(rows), truth) == dict.fromkeys(COCO_NAMES, 1.0)
    assert scores(found([[], [], []]), truth) == dict.fromkeys(COCO_NAMES, 0.0)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    scores(found([[(0, 0, 10, 10, 0, 1.0)]]), known([[(0, 0, 10, 10, 0)]]))
    assert capfd.readouterr() == ("", "")

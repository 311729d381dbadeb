"""COCO's files: what a small pair of them scores, and a clear error for every way in which they can be wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvbench.metrics.detection import METRICS, score
from cvbench.scoring.detection import export_files, score_files
from tests.detections import Arrays, splits
from tests.scoring.edited import changed

# Category ids with gaps, images out of order, one of them empty, annotations not grouped by image.
INSTANCES: dict[str, Any] = {
    "images": [{"id": 42, "file_name": "b.jpg"}, {"id": 9, "file_name": "a.jpg"}, {"id": 7}],
    "categories": [{"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}],
    "annotations": [
        {"id": 5, "image_id": 42, "category_id": 18, "bbox": [10, 10, 50, 50.5], "area": 1500, "iscrowd": 0},
        {"id": 6, "image_id": 9, "category_id": 18, "bbox": [0, 0, 30, 30]},
        {"id": 8, "image_id": 42, "category_id": 90, "bbox": [-5, 600, 2000, 4], "area": 8000.0},
    ],
}
RESULTS: list[dict[str, Any]] = [
    {"image_id": 9, "category_id": 18, "bbox": [0, 0, 30, 30], "score": 0.5},
    {"image_id": 42, "category_id": 90, "bbox": [-5, 600, 2000, 4], "score": 1},
    {"image_id": 42, "category_id": 18, "bbox": [10, 10, 50, 50.5], "score": 0.25},
]


def files(folder: Path, instances: Any = INSTANCES, results: Any = RESULTS) -> tuple[Path, Path]:
    paths = folder / "instances.json", folder / "results.json"
    for path, content in zip(paths, (instances, results), strict=True):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return paths


def test_truth_as_predictions_scores_one(tmp_path: Path) -> None:
    result = score_files(*files(tmp_path))
    assert list(result) == ["task", "samples", "classes", "metrics", "per_class", "absent"]
    assert (result["task"], result["samples"], result["classes"]) == ("detection", 3, ["dog", "toothbrush"])
    # areas 900, 1500 and 8000: one small thing, two medium ones
    assert result["metrics"] == dict.fromkeys((n for n in METRICS if not n.endswith("large")), 1.0)
    assert set(result["absent"]) == {"map_large", "mar_large"}
    assert result["per_class"]["ap"] == {"dog": 1, "toothbrush": 1}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_pack_of_real_images_scores_one_against_itself(shared_data: Path, tmp_path: Path) -> None:
    truth = next((shared_data / "coco" / "annotations").glob("instances*.json"))
    rows = [
        {key: entry[key] for key in ("image_id", "category_id", "bbox")} | {"score": 1.0}
        for entry in json.loads(truth.read_text())["annotations"]
    ]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    result = score_files(truth, tmp_path / "results.json")
    assert set(result["metrics"]) == set(METRICS)
    # more boxes of a class in an image than 1 or 10 can answer
    others = {name: value for name, value in result["metrics"].items() if name not in {"mar_1", "mar_10"}}
    assert others == pytest.approx(dict.fromkeys(others, 1.0), rel=1e-12)


def test_images_without_results_and_no_results_at_all(tmp_path: Path) -> None:
    half = score_files(*files(tmp_path, results=RESULTS[1:]))["metrics"]
    assert half["mar_100"] == (1 / 2 + 1) / 2
    assert set(score_files(*files(tmp_path, results=[]))["metrics"].values()) == {0.0}


def test_defaults_of_area_and_crowd_and_marks_of_difficult_boxes(tmp_path: Path) -> None:
    without = changed(INSTANCES, "annotations", 0, area=None, iscrowd=None)
    assert score_files(*files(tmp_path, without))["absent"].keys() == {"map_large", "mar_large"}  # 2525 is medium too
    for mark in ({"difficult": 1}, {"ignore": True}, {"iscrowd": 1}):
        marked = changed(INSTANCES, "annotations", 2, **mark)
        result = score_files(*files(tmp_path, marked))
        assert result["per_class"]["ap"] == {"dog": 1, "toothbrush": None}
    all_but_one = [{**entry, "iscrowd": 1} for entry in INSTANCES["annotations"]]
    with pytest.raises(ValueError, match=r"instances\.json: .* but all 3 of them are crowd or difficult"):
        score_files(*files(tmp_path, INSTANCES | {"annotations": all_but_one}))
    with pytest.raises(ValueError, match=r"instances\.json: .* but the truth has none"):
        score_files(*files(tmp_path, INSTANCES | {"annotations": []}, []))


def test_boxes_without_area_are_kept(tmp_path: Path) -> None:
    flat = changed(INSTANCES, "annotations", 1, bbox=[0, 0, 30, 0])
    assert score_files(*files(tmp_path, flat))["per_class"]["voc_ap"]["dog"] == 1 / 4  # counted, and never found


@settings(max_examples=30, deadline=None)
@given(splits(), st.booleans())
def test_files_written_from_arrays_score_the_same(
    tmp_path_factory: pytest.TempPathFactory, split: tuple[Arrays, Arrays], decimal: bool
) -> None:
    evidence, truth = split
    if (truth["crowd"] | truth["difficult"]).all():
        return
    if not decimal:
        names = truth["ids"][::-1] + "x"  # in the order of neither the truth nor the evidence
        evidence, truth = evidence | {"ids": names}, truth | {"ids": names}
    ids = [10 * label + 4 for label in range(len(truth["classes"]))]
    folder = tmp_path_factory.mktemp("files")
    for name, content in export_files(evidence, truth, {"category_ids": ids}).items():
        (folder / name).write_text(json.dumps(content, allow_nan=False))
    assert score_files(folder / "instances.json", folder / "results.json")["metrics"] == score(evidence, truth)


def annotation(place: int = 1, **changes: Any) -> Callable[[], Any]:
    return lambda: changed(INSTANCES, "annotations", place, **changes)


def result(place: int = 1, **changes: Any) -> Callable[[], Any]:
    return lambda: changed(RESULTS, place, **changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (result(image_id=43), "results[1].image_id: expected the id of one of the 3 images of TRUTH (the nearest is 42)"
         ", but got 43; use the truth of the split"),
        (result(score=float("nan")), "results[1].score: expected a finite number, but got nan; write a number"),
        (result(score=float("inf")), "results[1].score: expected a finite number, but got inf"),
        (result(score=True), "results[1].score: expected a finite number, but got True"),
        (result(score="0.9"), "results[1].score: expected a finite number, but got '0.9'; write a number"),
        (result(score=10**400), "results[1].score: expected a finite number, but got 1000"),
        (result(score=None), "results[1]: expected the key 'score', but got ['image_id', 'category_id', 'bbox']"),
        (result(category_id=2), "results[1].category_id: expected the id of a category of TRUTH (18 dog, 90"
         " toothbrush), but got 2; write the category's own id"),
        (result(category_id=18.0), "results[1].category_id: expected a whole number >= 0, but got 18.0"),
        (result(image_id="42"), "results[1].image_id: expected a whole number >= 0, but got '42'"),
        (result(image_id=True), "results[1].image_id: expected a whole number >= 0, but got True"),
        (result(bbox=[60, 60, -50, 10]), "results[1].bbox: expected a width and a height >= 0, but got [60, 60, -50,"
         " 10]; COCO's boxes are not two corners"),
        (result(bbox=[1, 2, 3]), "results[1].bbox: expected [left, top, width, height], four finite numbers, but got"),
        (result(bbox=[1, 2, 3, float("nan")]), "results[1].bbox: expected [left, top, width, height], four finite"),
        (result(bbox=[1, 2, 3, False]), "results[1].bbox: expected [left, top, width, height], four finite"),
        (result(bbox={}), "results[1].bbox: expected [left, top, width, height], four finite numbers, but got {}"),
        (lambda: {"annotations": []}, "expected results to be a list, but got {'annotations': []}; a results file is"),
        (lambda: [*RESULTS, 7], "results[3]: expected an object {…}, but got 7"),
        (lambda: json.dumps(RESULTS)[:-9], "expected JSON, but got: "),
        (lambda: "image_id,score", "expected JSON, but got: Expecting value: line 1 column 1"),
        (lambda: "[" * 100000, "expected a JSON file in UTF-8, but reading it gave: maximum recursion"),
    ],
)  # fmt: skip
def test_wrong_results_are_named(tmp_path: Path, content: Callable[[], Any], message: str) -> None:
    truth, results = files(tmp_path, results=content())
    with pytest.raises(ValueError, match=re.escape(message.replace("TRUTH", str(truth)))) as caught:
        score_files(truth, results)
    assert str(caught.value).startswith(f"{results}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (annotation(id=5), "annotations[1].id: expected an id that annotations[0] does not have, but got 5; remove"),
        (annotation(id=None), "annotations[1]: expected the key 'id', but got"),
        (annotation(bbox=None), "annotations[1]: expected the key 'bbox', but got"),
        (annotation(bbox=[30, 30, -30, -30]), "annotations[1].bbox: expected a width and a height >= 0, but got"),
        (annotation(area=-1), "annotations[1].area: expected a finite number >= 0, but got -1; write pixels, or"),
        (annotation(area="12"), "annotations[1].area: expected a finite number >= 0, but got '12'"),
        (annotation(iscrowd="no"), "annotations[1].iscrowd: expected 0 or 1, but got 'no'"),
        (annotation(difficult=2), "annotations[1].difficult: expected 0 or 1, but got 2"),
        (annotation(category_id=1), "annotations[1].category_id: expected the id of a category of TRUTH (18 dog, 90"),
        (annotation(image_id=8), "annotations[1].image_id: expected the id of one of the 3 images"),
        (lambda: changed(INSTANCES, "images", 1, id=42), "images[1].id: expected an id that images[0] does"),
        (lambda: changed(INSTANCES, "images", 1, id=None), "images[1]: expected the key 'id', but got ['file_name']"),
        (lambda: changed(INSTANCES, "images", 1, id=-3), "images[1].id: expected a whole number >= 0, but got -3"),
        (lambda: changed(INSTANCES, "categories", 1, id=18), "categories[1].id: expected an id that categories[0]"),
        (lambda: changed(INSTANCES, "categories", 1, name="dog"), "categories[1].name: expected a name that"),
        (lambda: changed(INSTANCES, "categories", 1, name=3), "categories[1].name: expected a name, but got 3"),
        (lambda: changed(INSTANCES, categories=None), "expected the key 'categories', but got 'images', 'annotations'"),
        (lambda: INSTANCES | {"images": []}, "expected at least one image, but `images` is empty"),
        (lambda: INSTANCES | {"annotations": 3}, "expected annotations to be a list, but got 3"),
        (lambda: RESULTS, "expected an object with images, categories and annotations, but got a list"),
        (lambda: json.dumps(INSTANCES)[:99], "expected JSON, but got: "),
    ],
)  # fmt: skip
def test_wrong_truth_is_named(tmp_path: Path, content: Callable[[], Any], message: str) -> None:
    truth, results = files(tmp_path, content())
    with pytest.raises(ValueError, match=re.escape(message.replace("TRUTH", str(truth)))) as caught:
        score_files(truth, results)
    assert str(caught.value).startswith(f"{truth}: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    truth, results = files(tmp_path)
    with pytest.raises(ValueError, match=r"nothing\.json: expected a JSON file .* No such file"):
        score_files(tmp_path / "nothing.json", results)
    results.write_bytes(b"\xff\xfe[]")
    with pytest.raises(ValueError, match=r"results\.json: expected a JSON file in UTF-8"):
        score_files(truth, results)

"""COCO's caption files: what a small pair of them scores, and a clear error for every way to be wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench.metrics import meteor
from cvbench.metrics.captioning import METRICS, score
from cvbench.scoring.captioning import export_files, score_files
from tests.scoring.edited import changed

# Images out of order, annotations not grouped by image, one reference and several.
CAPTIONS: dict[str, Any] = {
    "images": [{"id": 42, "file_name": "b.jpg"}, {"id": 7}],
    "annotations": [
        {"id": 1, "image_id": 42, "caption": "A dog runs on the beach. "},
        {"id": 2, "image_id": 7, "caption": "Two cats sleep"},
        {"id": 5, "image_id": 42, "caption": "The dog is running"},
    ],
}
RESULTS: list[dict[str, Any]] = [
    {"image_id": 7, "caption": "two cats sleep"},
    {"image_id": 42, "caption": "a dog runs on the beach"},
]


@pytest.fixture(autouse=True)
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR has its own tests."""
    monkeypatch.setattr(meteor, "unavailable", lambda: "no Java in this test")


def files(folder: Path, captions: Any = CAPTIONS, results: Any = RESULTS) -> tuple[Path, Path]:
    paths = folder / "captions.json", folder / "results.json"
    for path, content in zip(paths, (captions, results), strict=True):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return paths


def test_references_as_predictions(tmp_path: Path) -> None:
    result = score_files(*files(tmp_path))
    keys = ["task", "samples", "references", "tokenizer", "metrics", "per_class", "absent"]
    assert list(result) == keys
    assert (result["task"], result["samples"], result["references"]) == ("captioning", 2, 3)
    assert result["tokenizer"] == "cvbench-ptb 1"
    assert result["metrics"]["bleu1"] == pytest.approx(1)
    assert result["metrics"]["rouge_l"] == 1
    assert (result["metrics"]["length"], result["metrics"]["vocabulary"]) == (4.5, 9)
    assert list(result["metrics"]) == [name for name in METRICS if name not in {"meteor", "novel"}]
    assert result["absent"] == {"meteor": "no Java in this test", "novel": "no training captions were given"}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_new_captions_are_told_with_the_training_ones(tmp_path: Path) -> None:
    train = tmp_path / "train.json"
    # an image without a caption is nothing to complain of here
    train.write_text(json.dumps(CAPTIONS | {"annotations": CAPTIONS["annotations"][1:2]}))
    result = score_files(*files(tmp_path), train=train)
    assert result["metrics"]["novel"] == 0.5
    assert set(result["absent"]) == {"meteor"}


def test_the_reference_set(shared_data: Path) -> None:
    folder = shared_data / "metric_refs" / "captions_fakecap126"
    expected = json.loads((folder / "expected_pycocoevalcap_1.2.json").read_text())
    truth = json.loads((folder / "references.json").read_text())
    result = score_files(folder / "references.json", folder / "results.json")
    assert result["samples"] == len(truth["images"])
    assert result["metrics"]["cider"] == pytest.approx(expected["CIDEr"], abs=1e-3)


def test_a_blank_prediction_scores_nothing(tmp_path: Path) -> None:
    blank = score_files(*files(tmp_path, results=changed(RESULTS, 0, caption=" \t ")))["metrics"]
    assert blank["rouge_l"] == 0.5
    assert blank["length"] == 3


def test_a_caption_of_ten_thousand_words(tmp_path: Path) -> None:
    long = "a dog " * 5_000
    content = changed(CAPTIONS, "annotations", 0, caption=long)
    result = score_files(*files(tmp_path, content, changed(RESULTS, 1, caption=long)))
    assert result["metrics"]["rouge_l"] == 1
    assert result["metrics"]["length"] == (10_000 + 3) / 2


@pytest.mark.parametrize("names", [["val/0042.jpg", "val/0007.jpg", "val/0011.jpg"], ["b", "c", "a"]])
def test_files_written_from_arrays_score_the_same(tmp_path: Path, names: list[str]) -> None:
    truth = {
        "ids": np.array(names),
        "counts": np.array([2, 1, 3]),
        "references": np.array(["A dog.", "A “big” dog", "naïve cat", "a horse", "a man on a horse", "a rider"]),
        "training": np.array([1], dtype=np.uint64),
    }
    evidence = {"ids": np.array(names[::-1]), "captions": np.array(["a horse runs", "", "a dog"])}
    contents = export_files(evidence, truth, {})
    assert list(contents) == ["captions.json", "results.json"]
    assert [image["file_name"] for image in contents["captions.json"]["images"]] == names
    for name, content in contents.items():
        (tmp_path / name).write_text(json.dumps(content, allow_nan=False))
    expected = score(evidence, truth)
    del expected["novel"]
    assert score_files(tmp_path / "captions.json", tmp_path / "results.json")["metrics"] == expected


def annotation(place: int = 1, **changes: Any) -> Callable[[], Any]:
    return lambda: changed(CAPTIONS, "annotations", place, **changes)


def result(place: int = 1, **changes: Any) -> Callable[[], Any]:
    return lambda: changed(RESULTS, place, **changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (result(image_id=43), "results[1].image_id: expected the id of one of the 2 images of TRUTH (the nearest is 42)"
         ", but got 43; use the truth of the split"),
        (result(image_id=7), "results[1].image_id: expected each image once, but got 7 again; keep one caption"),
        (lambda: RESULTS[:1], "expected a caption for each of the 2 images of TRUTH, but got none for image_id 42; "),
        (list, "expected a caption for each of the 2 images of TRUTH, but got none for image_id 42, 7; write one"),
        (result(caption=3), "results[1].caption: expected a text, but got 3; write it in quotes"),
        (result(caption=["a"]), "results[1].caption: expected a text, but got ['a']"),
        (result(caption=None), "results[1]: expected the key 'caption', but got ['image_id']"),
        (result(image_id="42"), "results[1].image_id: expected a whole number >= 0, but got '42'"),
        (lambda: {"annotations": []}, "expected results to be a list, but got {'annotations': []}; a results file is"),
        (lambda: [*RESULTS, 7], "results[2]: expected an object {…}, but got 7"),
        (lambda: json.dumps(RESULTS)[:-9], "expected JSON, but got: "),
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
        (annotation(caption=" \n"), "expected words in the caption of annotation 2, but got ' \\n'; remove"),
        (annotation(caption=None), "annotations[1]: expected the key 'caption', but got"),
        (annotation(caption=7), "annotations[1].caption: expected a text, but got 7"),
        (annotation(image_id=42), "expected at least one caption an image, but image 7 has none; add one, or remove"),
        (annotation(image_id=8), "annotations[1].image_id: expected the id of one of the 2 images"),
        (annotation(id=1), "annotations[1].id: expected an id that annotations[0] does not have, but got 1"),
        (lambda: changed(CAPTIONS, "images", 1, id=42), "images[1].id: expected an id that images[0] does"),
        (lambda: changed(CAPTIONS, annotations=None), "expected the key 'annotations', but got 'images'"),
        (lambda: CAPTIONS | {"images": []}, "expected at least one image, but `images` is empty"),
        (lambda: CAPTIONS | {"annotations": 3}, "expected annotations to be a list, but got 3"),
        (lambda: RESULTS, "expected an object with images and annotations, but got a list"),
    ],
)
def test_wrong_truth_is_named(tmp_path: Path, content: Callable[[], Any], message: str) -> None:
    truth, results = files(tmp_path, content())
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        score_files(truth, results)
    assert str(caught.value).startswith(f"{truth}: ")

"""A detector from YAML to its record, and its evidence in the hands of others: COCO's own evaluator, and our verbs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cvbench.cli import main
from cvbench.data import streets
from cvbench.record import Record, load_records

STREETS = {"name": "streets", "options": {"height": 64, "width": 96, "train": 40, "val": 6, "test": 17}}
FCOS = {"name": "fcos", "options": {"width": 8}}
RECIPE = {"epochs": 3, "batch_size": 8, "lr": 5e-3, "augment": {"flip": True, "crop_scale": [0.6, 1.2]}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """The folder and the record of a detector that has hardly learnt anything, made by the command line."""
    folder = tmp_path_factory.mktemp("run")
    file = folder / "small.yaml"
    file.write_text(json.dumps({"task": "detection", "datasets": [STREETS], "models": [FCOS], "recipe": RECIPE}))
    arguments = ["run", str(file), "--store", str(folder / "runs"), "--cache", str(folder / "cache"), "--jobs", "1"]
    assert call(*arguments, "--threads", "1") == 0
    (record,) = load_records(folder / "runs")
    return folder / "runs" / "streets" / "fcos" / record.run_id, record


def call(*arguments: str) -> int:
    return main(list(arguments))


def test_coco_s_own_evaluator_gives_the_record_s_numbers(
    run: tuple[Path, Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, record = run
    assert call("export", str(folder), "--out", str(tmp_path)) == 0
    truth = COCO(str(tmp_path / "instances.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    names = ["map", "map_50", "map_75", "map_small", "map_medium", "map_large",
             "mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large"]  # fmt: skip
    theirs = {f"test/{name}": value for name, value in zip(names, evaluation.stats.tolist(), strict=True) if value >= 0}
    ours = {name: value for name, value in record.metrics.items() if name.startswith("test/") and "voc" not in name}
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert 0 < ours["test/mar_100"] < 1
    # What is true is what the scenes hold.
    drawn = streets.build(Path(), task="detection", **STREETS["options"]).splits["test"]
    assert len(truth.anns) == sum(len(drawn.target(index)) for index in range(17))

    capsys.readouterr()
    files = ["--truth", str(tmp_path / "instances.json"), "--predictions", str(tmp_path / "results.json")]
    assert call("score", "detection", *files, "--json") == 0
    scored = json.loads(capsys.readouterr().out)["metrics"]
    assert {f"test/{name}": value for name, value in scored.items()} == {
        name: value for name, value in record.metrics.items() if name.startswith("test/")
    }


def test_predict_draws_boxes_and_tells_them(
    run: tuple[Path, Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = np.random.default_rng(0).integers(256, size=(120, 200, 3)).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    assert call("predict", str(run[0]), str(tmp_path / "photo.png"), "--out", str(tmp_path / "out"), "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert 1 <= len(told["boxes"]) <= 100
    for box in told["boxes"]:
        x, y, w, h = box["box_xywh"]
        assert box["label"] in ("vehicle", "pedestrian", "bike", "sign symbol")
        assert -0.01 <= x <= x + w <= 200.01
        assert -0.01 <= y <= y + h <= 120.01
    assert [box["score"] for box in told["boxes"]] == sorted((box["score"] for box in told["boxes"]), reverse=True)
    with Image.open(tmp_path / "out" / "photo.png") as drawn:
        assert drawn.width == 400  # the whole factor that fits 480 pixels


def test_the_record_says_what_was_measured(run: tuple[Path, Record]) -> None:
    folder, record = run
    costs: Any = record.costs
    assert record.selection.rule == "highest val/map"
    assert costs.finalise_seconds is None
    assert costs.macs > 1e6  # counted in a real pass: how many boxes there are depends on the image
    assert set(record.per_class) == {"ap", "ap_50", "voc07_ap", "voc_ap"}
    assert (folder / "samples.png").is_file()
    assert not (folder / "confusion.csv").exists()


def test_weights_of_classes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.yaml"
    recipe = RECIPE | {"epochs": 1, "class_weights": "median_frequency"}
    file.write_text(json.dumps({"task": "detection", "datasets": [STREETS], "models": [FCOS], "recipe": recipe}))
    assert call("run", str(file), "--store", str(tmp_path / "runs"), "--jobs", "1", "--threads", "1") == 1
    assert "Expected recipe.class_weights to be 'none' for detection" in capsys.readouterr().out


def test_a_split_of_nothing_but_crowds_is_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for role, count in {"train": 20, "val": 4, "test": 2}.items():
        (tmp_path / "own" / role).mkdir(parents=True)
        images, boxes = [], []
        for number in range(1, count + 1):
            Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "own" / role / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 64})
            boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": [4, 4, 30, 30], "area": 900,
                          "iscrowd": int(role == "test")})  # fmt: skip
        content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]}
        (tmp_path / "own" / f"{role}.json").write_text(json.dumps(content))
    roles = ("train", "val", "test")
    own = {"path": str(tmp_path / "own"), "annotations": {role: f"{role}.json" for role in roles},
           "images": {role: role for role in roles}}  # fmt: skip
    file = tmp_path / "small.yaml"
    datasets = [{"name": "folder_coco", "options": own}]
    recipe = {"epochs": 1, "batch_size": 2, "input_size": [64, 64]}
    file.write_text(json.dumps({"task": "detection", "datasets": datasets, "models": [FCOS], "recipe": recipe}))
    assert call("run", str(file), "--store", str(tmp_path / "runs"), "--jobs", "1", "--threads", "1") == 1
    told = capsys.readouterr().out
    assert "split 'test': Expected at least one box that counts, but all are crowd, difficult or of no area" in told

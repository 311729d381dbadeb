"""What `cvbench score` prints: a class without a value says why, as its metric defines it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.cli import main


def per_class(printed: str) -> dict[str, dict[str, str]]:
    """metric -> class -> what stands beside it."""
    found: dict[str, dict[str, str]] = {}
    for line in printed.splitlines():
        if head := re.fullmatch(r"(\w+) per class", line):
            found[head[1]] = {}
        elif found and (row := re.fullmatch(r"  (\w+) +(.+)", line)):
            found[list(found)[-1]][row[1]] = row[2]
    return found


def scored(*arguments: str) -> int:
    return main(["score", *arguments])


def test_a_class_that_is_only_predicted_is_not_called_absent_from_predictions(tmp_path: Path, capsys) -> None:
    (tmp_path / "truth.csv").write_text("id,label\na,0\nb,0\n")
    (tmp_path / "found.csv").write_text("id,label\na,0\nb,1\n")
    line = ["classification", "--truth", str(tmp_path / "truth.csv"), "--predictions", str(tmp_path / "found.csv")]
    scored(*line)
    assert per_class(capsys.readouterr().out) == {"accuracy": {"0": "0.500000", "1": "— not in the truth"}}


def test_each_metric_of_segmentation_has_its_own_reason(tmp_path: Path, capsys) -> None:
    for folder, labels in (("truth", [[0, 0, 0, 0]]), ("found", [[0, 0, 0, 1]])):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.array(labels, dtype=np.uint8)).save(tmp_path / folder / "a.png")
    line = ["--truth", str(tmp_path / "truth"), "--predictions", str(tmp_path / "found"), "--classes", "3"]
    scored("segmentation", *line)
    # class 1 is predicted once and never true: its IoU is 0 / 1; class 2 is nowhere
    assert per_class(capsys.readouterr().out) == {
        "iou": {"0": "0.750000", "1": "0.000000", "2": "— in neither truth nor predictions"},
        "accuracy": {"0": "0.750000", "1": "— not in the truth", "2": "— not in the truth"},
    }


def test_help_says_when_segmentation_needs_the_number_of_classes(capsys) -> None:
    scored("--help")
    words = " ".join(re.sub(r"[│|]", " ", capsys.readouterr().out).split())
    assert "give it where the truth may lack the last classes" in words


def test_detection_is_scored_from_cocos_files(tmp_path: Path, capsys) -> None:
    box = {"image_id": 1, "category_id": 7, "bbox": [0, 0, 9, 9]}
    categories = [{"id": 7, "name": "dog"}, {"id": 9, "name": "cat"}]
    truth = {"images": [{"id": 1}], "categories": categories, "annotations": [{"id": 1, **box}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps([{**box, "score": 0.5}]))
    line = ["detection", "--truth", str(tmp_path / "truth.json"), "--predictions", str(tmp_path / "found.json")]
    assert scored(*line) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("detection, 1 samples, 2 classes\n")
    assert "map_large   — no truth box that counts lies in its range of areas" in printed
    told = {"dog": "1.000000", "cat": "— no truth box that counts"}
    assert per_class(printed) == dict.fromkeys(("ap", "ap_50", "voc07_ap", "voc_ap"), told)
    assert scored(*line, "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["map"] == 1


def test_captioning_is_scored_from_cocos_files(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no Java
    truth = {"images": [{"id": 1}], "annotations": [{"id": 1, "image_id": 1, "caption": "A dog runs"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps([{"image_id": 1, "caption": "a dog runs"}]))
    line = ["captioning", "--truth", str(tmp_path / "truth.json"), "--predictions", str(tmp_path / "found.json")]
    assert scored(*line) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("captioning, 1 images, 1 references\n")
    assert "  rouge_l      1.000000\n" in printed
    assert "  meteor       — Java is not installed (no `java` on PATH)\n" in printed
    assert scored(*line, "--train", str(tmp_path / "truth.json"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["novel"] == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("detection --ignore 3", "--ignore: Expected an option of detection, which has no options; leave it out"),
        ("classification --ignore 3", "--ignore: Expected an option of classification, which has --classes"),
        (
            "labelcsv",
            "a task that can be scored (captioning, classification, detection, segmentation), but got 'labelcsv'",
        ),
        ("detecton", "but got 'detecton'; did you mean 'detection'?"),
    ],
)
def test_what_a_task_does_not_have(line: str, message: str, capsys) -> None:
    assert scored(*line.split(), "--truth", "a", "--predictions", "b") == 2
    assert message in capsys.readouterr().err


def test_scoring_files_needs_neither_torch_nor_pandas() -> None:
    tasks = ("captioning", "classification", "detection", "segmentation")
    imports = "; ".join(f"import cvbench.scoring.{task}" for task in tasks)
    code = f"import sys; {imports}; print(sorted({{'torch', 'pandas', 'lightning'}} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.strip() == "[]"

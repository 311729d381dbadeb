"""What `cvbench score` prints: a class without a value says why, as its metric defines it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
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

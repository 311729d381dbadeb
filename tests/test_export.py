"""`cvbench export`: the files of a finished run score what the run scored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench.cli import main
from cvbench.export import export
from cvbench.metrics.detection import per_class, score
from cvbench.record import write_record
from cvbench.scoring.detection import score_files
from cvbench.spec import DatasetRef, RunSpec
from cvbench.store import Store
from tests.detections import Arrays, found, known
from tests.records import facts, record, spec


def made(names: list[str]) -> tuple[Arrays, Arrays]:
    """Evidence and truth with many equal scores; the evidence has its images in another order."""
    rng = np.random.default_rng(0)

    def boxes(count: int) -> np.ndarray:
        return np.concatenate([rng.uniform(0, 50, (count, 2)), rng.uniform(10, 120, (count, 2))], axis=1)

    marks = ["", "", "crowd", "difficult"]
    truths = [[(*box, rng.integers(3), marks[rng.integers(4)]) for box in boxes(5)] for _ in names]
    rows = [
        [(*(np.array(row[:4]) * rng.normal(1, 0.05, 4)), row[4], rng.integers(4) / 3) for row in truth] * 2
        for truth in truths
    ]
    return found(rows[::-1], names[::-1]), known(truths, 3, names)


def kept(root: Path, evidence: Arrays, truth: Arrays, protocol: dict[str, Any], task: str = "detection") -> Path:
    """The folder of a finished run in a store."""
    store, run = Store(root), spec(task=task, primary="map", dataset=DatasetRef(name="things", options={}, version=1))
    with store.lock(run):
        working = store.begin(run)
        np.savez_compressed(working / "evidence.npz", **evidence)
        np.savez_compressed(working / "truth.npz", **truth)
        write_record(record(run, 0.5, dataset=facts(protocol=protocol)), working / "record.json")
        store.finish(run)
    return folder_of(store, run)


def folder_of(store: Store, run: RunSpec) -> Path:
    folder = store.folder(run)
    assert not (folder / "truth.npz").exists()  # the store keeps it once for all runs
    return folder


@pytest.mark.parametrize(
    ("names", "protocol", "images", "categories"),
    [
        (["val/000042.jpg", "val/000007.jpg"], {"category_ids": [3, 90, 44]}, [42, 7], [3, 90, 44]),
        (["2007_000032", "2007_000027"], {}, [2, 1], [1, 2, 3]),
    ],
)
def test_the_files_score_what_the_run_scored(
    tmp_path: Path, names: list[str], protocol: dict[str, Any], images: list[int], categories: list[int]
) -> None:
    evidence, truth = made(names)
    written = export(kept(tmp_path / "runs", evidence, truth, protocol), tmp_path / "out")
    assert [path.name for path in written] == ["instances.json", "results.json"]
    instances = json.loads(written[0].read_text())
    assert [(image["id"], image["file_name"]) for image in instances["images"]] == list(zip(images, names, strict=True))
    assert [entry["id"] for entry in instances["categories"]] == categories
    result = score_files(*written)
    assert result["metrics"] == score(evidence, truth)
    assert result["per_class"] == per_class(evidence, truth)
    assert 0.1 < result["metrics"]["map"] < 0.9
    assert result["classes"] == ["class0", "class1", "class2"]


def test_the_verb_needs_no_torch(tmp_path: Path) -> None:
    folder = kept(tmp_path / "runs", *made(["a", "b"]), {})
    code = "import sys; from cvbench.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    line = [sys.executable, "-c", code, "export", str(folder), "--out", str(tmp_path / "out"), "--json"]
    answer = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    *listed, last = answer.splitlines()
    names = ("instances.json", "results.json")
    assert json.loads("\n".join(listed)) == [str(tmp_path / "out" / name) for name in names]
    assert last == "0 False"


def test_runs_that_cannot_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(folder: Path, message: str) -> None:
        assert main(["export", str(folder), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    evidence, truth = made(["a", "b"])
    fails(tmp_path, "Expected the folder of a finished run (with record.json), but it is none")
    other = kept(tmp_path / "other", evidence, truth, {}, task="classification")
    fails(other, "but got classification; its evidence.npz opens with numpy.load")
    folder = kept(tmp_path / "runs", evidence, truth, {"category_ids": [1, 2]})
    fails(folder, "Expected 3 `category_ids` in the protocol, one a class, but got [1, 2]")
    whole = (folder / "evidence.npz").read_bytes()
    (truth_file,) = (tmp_path / "runs" / "things").glob("truth-*.npz")
    truth_file.unlink()
    fails(folder, f"{truth_file}: Expected arrays that the run has left")
    for damaged in (whole[:200], b"", b"no archive"):
        (folder / "evidence.npz").write_bytes(damaged)
        fails(folder, "evidence.npz: Expected arrays that the run has left")

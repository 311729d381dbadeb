"""Folders of label PNGs: scores equal to scikit-learn's, and a clear error for every way in which they can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sk

from cvbench.metrics import segmentation
from cvbench.scoring.segmentation import score_files


def save(folder: Path, name: str, labels: np.ndarray, mode: str | None = None) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    image.save(path)
    return path


def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three images in two subfolders: truth 0..2 and void, predictions 0..2 and void (7)."""
    rng = np.random.default_rng(0)
    for name in ("city/a.png", "city/b.png", "c.PNG"):
        truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), (12, 16))
        save(tmp_path / "truth", name, truth, "P")
        prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.choice([0, 1, 2, 7], truth.shape))
        save(tmp_path / "given", name.replace("PNG", "png"), prediction.astype(np.uint8))
    return tmp_path / "truth", tmp_path / "given"


def test_segmentation_equals_scikit_learn(tmp_path: Path) -> None:
    truth, given = folders(tmp_path)
    result = score_files(truth, given)
    names = ["city/a", "city/b", "c"]
    t = np.stack([np.array(Image.open(truth / f"{n}.{'PNG' if n == 'c' else 'png'}")) for n in names]).ravel()
    p = np.stack([np.array(Image.open(given / f"{n}.png")) for n in names]).ravel()[t != 255]
    t = t[t != 255]
    expected = sk.jaccard_score(t, p, labels=range(3), average=None)
    assert list(result["metrics"]) == list(segmentation.METRICS)
    assert result["metrics"]["miou"] == pytest.approx(expected.mean(), rel=1e-14)
    assert result["metrics"]["pixel_accuracy"] == (t == p).mean()
    assert result["per_class"]["iou"] == pytest.approx(dict(zip("012", expected, strict=True)))
    assert np.array(result["confusion"])[:, 3].tolist() == [((p == 7) & (t == c)).sum() for c in range(3)]
    assert result["samples"] == 3
    wider = score_files(truth, given, num_classes=5)
    assert wider["metrics"] == result["metrics"]
    assert wider["per_class"]["iou"]["4"] is None
    assert json.loads(json.dumps(wider, allow_nan=False)) == wider


def test_another_ignored_label_and_sixteen_bits(tmp_path: Path) -> None:
    save(tmp_path / "truth", "a.png", np.array([[0, 300], [11, 1]], np.uint16))
    save(tmp_path / "given", "a.png", np.array([[0, 300], [0, 300]], np.uint16))
    result = score_files(tmp_path / "truth", tmp_path / "given", ignore_index=11)
    assert len(result["classes"]) == 301
    assert result["metrics"]["pixel_accuracy"] == pytest.approx(2 / 3)


def test_real_masks_score_one_against_themselves(shared_data: Path) -> None:
    masks = shared_data / "camvid" / "valannot"
    result = score_files(masks, masks, num_classes=11, ignore_index=11)
    assert set(result["metrics"].values()) == {1.0}
    assert result["samples"] == 21


def test_wrong_label_images_are_named(tmp_path: Path) -> None:
    truth, given = folders(tmp_path)

    def fails(message: str, num_classes: int | None = None) -> None:
        with pytest.raises(ValueError, match=message):
            score_files(truth, given, num_classes)

    fails(r"truth/c\.PNG: Expected truth labels 0\.\.1 or 255 \(ignored\), but got 2; map", num_classes=2)
    (given / "c.png").rename(given / "d.png")
    fails("expected a prediction for every file of .*truth, but 1 are missing: 'c'")
    (given / "d.png").rename(given / "c.png")
    extra = save(given, "city/aa.png", np.zeros((12, 16), np.uint8))
    fails(r"but 1 more: 'city/aa' \(nearest in the truth: 'city/a'\)")
    extra.unlink()
    twice = save(given, "c.Png", np.zeros((12, 16), np.uint8))
    fails("expected one file a name")
    twice.unlink()
    save(given, "c.png", np.zeros((6, 8), np.uint8))
    fails(r"given/c\.png: expected the size of its truth .*c\.PNG, 16 x 12, but got 8 x 6; resize")
    save(given, "c.png", np.zeros((12, 16, 3), np.uint8))
    fails(r"given/c\.png: expected a mask with one channel.* got mode RGB; convert")
    (given / "c.png").write_bytes((truth / "c.PNG").read_bytes()[:70])
    fails(r"given/c\.png: cannot be decoded")


def test_folders_that_hold_nothing_to_score(tmp_path: Path) -> None:
    truth, given = folders(tmp_path)
    with pytest.raises(ValueError, match="nowhere: expected a folder of label PNGs"):
        score_files(truth, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: expected label PNGs"):
        score_files(tmp_path / "empty", given)
    for folder in ("void", "any"):
        save(tmp_path / folder, "a.png", np.full((4, 4), 255, np.uint8))
    with pytest.raises(ValueError, match="all of them are 255"):
        score_files(tmp_path / "void", tmp_path / "any")

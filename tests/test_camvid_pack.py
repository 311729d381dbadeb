"""mIoU on real CamVid images, recomputed by scikit-learn from the saved label PNGs and the official masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import jaccard_score

from cvbench.scoring.segmentation import score_files
from tests.test_harness import finish, machine, specs


def test_miou_equals_scikit_learns_from_saved_predictions(tmp_path: Path, shared_data: Path) -> None:
    (spec,) = specs(
        tmp_path,
        task="segmentation",
        datasets=[{"name": "camvid", "options": {"classes": 11}}],
        models=[{"name": "unet", "options": {"width": 4, "depth": 3, "stem_stride": 2}}],
        recipe={"steps": 6, "batch_size": 8, "lr": 1e-2, "input_size": [90, 120]},
    )
    folder = tmp_path / "a" / "b" / "c"
    record = finish(spec, folder, machine(tmp_path, data_root=shared_data, save_predictions=True))
    official = sorted((shared_data / "camvid" / "testannot").glob("*.png"))
    assert len(official) == 47
    truth = np.concatenate([np.asarray(Image.open(path)).ravel() for path in official])
    saved = np.concatenate([np.asarray(Image.open(folder / "predictions" / path.name)).ravel() for path in official])
    labelled = truth != 11  # SegNet's void
    seen = sorted(set(truth[labelled]) | set(saved[labelled]))
    expected = jaccard_score(truth[labelled], saved[labelled], labels=seen, average="macro", zero_division=0)
    assert record.metrics["test/miou"] == pytest.approx(expected, abs=1e-12)
    assert record.metrics["test/pixel_accuracy"] == pytest.approx((truth == saved)[labelled].mean(), abs=1e-12)
    assert len(set(saved)) > 1  # a model that says one thing everywhere would prove little
    files = score_files(shared_data / "camvid" / "testannot", folder / "predictions", 11, 11)
    assert files["metrics"]["miou"] == pytest.approx(expected, abs=1e-12)

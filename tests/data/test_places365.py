from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.data import places365
from cvbench.data.base import DataError

CATEGORIES = "/a/airfield 0\n/a/apartment_building/outdoor 1\n/z/zen_garden 2\n"
PLACES = ["a/airfield", "a/apartment_building/outdoor", "z/zen_garden"]
NAMES = [f"/{place}/{number:08d}.jpg {label}" for label, place in enumerate(PLACES) for number in range(1, 13)]
VAL = ["Places365_val_00000001.jpg 2", "Places365_val_00000002.jpg 0"]


def fake(root: Path, train_folder: str = "data_256", val_folder: str = "val_256") -> Path:
    folder = root / "places365"
    folder.mkdir()
    (folder / "categories_places365.txt").write_text(CATEGORIES)
    (folder / "places365_train_standard.txt").write_text("\n".join(NAMES) + "\n")
    (folder / "places365_val.txt").write_text("\n".join(VAL) + "\n")
    for lines, part in ((NAMES, train_folder), (VAL, val_folder)):
        for line in lines:
            path = folder / part / line.split()[0].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), 10 * int(line.split()[1]), np.uint8)).save(path)
    return folder


@pytest.mark.parametrize("train_folder", ["data_256", "data_256_standard"])
def test_official_layout(tmp_path: Path, train_folder: str):
    fake(tmp_path, train_folder)
    built = places365.build(tmp_path, val_share=0.2)
    assert built.info.classes == ("airfield", "apartment_building/outdoor", "zen_garden")
    rows = {name: split[index] for split in built.splits.values() for index, name in enumerate(split.ids)}
    assert len(rows) == 38
    for image, label in rows.values():
        assert abs(int(image[0, 0, 0]) - 10 * label) <= 3  # JPEG
    assert rows["train/a/apartment_building/outdoor/00000007"].target == 1
    assert built.splits["test"].ids == ["val/Places365_val_00000001", "val/Places365_val_00000002"]
    assert [built.splits["test"].target(index) for index in (0, 1)] == [2, 0]
    assert len(built.splits["val"]) == built.info.split_sizes["val"] > 0
    assert built.info.protocol["images"] == "256"


def test_large_images_are_another_protocol(tmp_path: Path):
    fake(tmp_path, "data_large", "val_large")
    built = places365.build(tmp_path, size="large", val_share=0.2)
    assert built.info.protocol["images"] == "large"
    assert built.info.input_size is None
    with pytest.raises(DataError, match="val_256"):
        places365.build(tmp_path)


def test_without_train_images_only_test(tmp_path: Path):
    fake(tmp_path, "elsewhere")
    assert list(places365.build(tmp_path).splits) == ["test"]


def test_labels_enter_the_revision(tmp_path: Path):
    folder = fake(tmp_path)
    first = places365.build(tmp_path, val_share=0.2).info.revision
    (folder / "places365_val.txt").write_text("\n".join(VAL).replace(" 2", " 1") + "\n")
    assert places365.build(tmp_path, val_share=0.2).info.revision != first


def test_not_there(tmp_path: Path):
    with pytest.raises(DataError, match=r"places365 is not there.*places2\.csail\.mit\.edu"):
        places365.build(tmp_path)


def test_a_listed_image_is_missing(tmp_path: Path):
    folder = fake(tmp_path)
    (folder / "data_256" / "z" / "zen_garden" / "00000003.jpg").unlink()
    with pytest.raises(DataError, match=r"zen_garden/00000003\.jpg: no such file"):
        places365.build(tmp_path, val_share=0.2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("places365_val.txt", "Places365_val_00000001.jpg\n", r"places365_val\.txt:1: expected `name index`"),
        (
            "places365_val.txt",
            "Places365_val_00000001.jpg 3\n",
            r"a label from 0 to 2 .* 'Places365_val_00000001\.jpg'",
        ),
        ("places365_val.txt", "../../secret.jpg 1\n", r"a plain name, but not so for '\.\./\.\./secret\.jpg'"),
        ("places365_val.txt", "", "split test of places365 is empty"),
        ("categories_places365.txt", "/a/airfield 0\n/z/zen_garden 2\n", "the indices 0 to 1 once each"),
        ("places365_train_standard.txt", "/a/airfield/00000001.jpg 0\n", "split val of places365 is empty"),
    ],
)
def test_wrong_lists(tmp_path: Path, name: str, content: str, message: str):
    (fake(tmp_path) / name).write_text(content)
    with pytest.raises(DataError, match=message):
        places365.build(tmp_path, val_share=0.0055 if "train" in name else 0.2)

"""Cityscapes on tiny fake copies in the official layout (the real data need a registration)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.data.base import DataError
from cvbench.data.cityscapes import build

CITIES = (
    *("aachen", "bochum", "bremen", "cologne", "darmstadt", "dusseldorf", "erfurt", "hamburg", "hanover", "jena"),
    *("krefeld", "monchengladbach", "strasbourg", "stuttgart", "tubingen", "ulm", "weimar", "zurich"),
)
# id -> trainId of cityscapesScripts' labels.py.
TRAIN_IDS = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15,
    31: 16, 32: 17, 33: 18,
}  # fmt: skip


def fake(root: Path, part: str, cities: tuple[str, ...], frames: int = 2) -> None:
    for city in cities:
        photos, masks = root / f"cityscapes/leftImg8bit/{part}/{city}", root / f"cityscapes/gtFine/{part}/{city}"
        photos.mkdir(parents=True)
        masks.mkdir(parents=True)
        for frame in range(frames):
            name = f"{city}_{frame:06d}_000019"
            Image.new("RGB", (34, 17)).save(photos / f"{name}_leftImg8bit.png")
            labels = Image.fromarray(np.tile(np.arange(34, dtype=np.uint8), (17, 1)))
            labels.save(masks / f"{name}_gtFine_labelIds.png")
            Image.new("RGBA", (34, 17)).save(masks / f"{name}_gtFine_color.png")
            Image.new("I;16", (34, 17)).save(masks / f"{name}_gtFine_instanceIds.png")
            (masks / f"{name}_gtFine_polygons.json").write_text("{}")


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    fake(tmp_path, "train", CITIES)
    fake(tmp_path, "val", ("frankfurt", "lindau", "munster"))
    return tmp_path


def test_roles_keep_cities_whole(cityscapes: Path) -> None:
    dataset = build(cityscapes)
    cities = {role: {name.split("/")[1] for name in split.ids} for role, split in dataset.splits.items()}
    assert cities["test"] == {"frankfurt", "lindau", "munster"}
    assert cities["val"] == {"aachen", "erfurt", "jena"}  # what the description of the dataset says
    assert cities["train"] == set(CITIES) - cities["val"]
    assert dataset.info.split_sizes == {"train": 30, "val": 6, "test": 6}
    assert dataset.splits["val"].ids[0] == "train/aachen/aachen_000000_000019"


def test_label_ids_become_train_ids(cityscapes: Path) -> None:
    dataset = build(cityscapes)
    image, mask = dataset.splits["test"][0]
    assert image.shape == (17, 34, 3)
    assert mask[4].tolist() == [TRAIN_IDS.get(label, 255) for label in range(34)]
    assert dataset.info.num_classes == 19
    assert (dataset.info.classes[0], dataset.info.classes[13], dataset.info.classes[18]) == ("road", "car", "bicycle")
    assert dataset.info.colours[:2] == ((128, 64, 128), (244, 35, 232))
    assert dataset.info.input_size == (17, 34)


def test_missing_data_say_where_to_register(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cityscapes is not there.*Register at www\.cityscapes-dataset\.com"):
        build(tmp_path)


def test_missing_annotations_are_named(cityscapes: Path) -> None:
    (cityscapes / "cityscapes/gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(DataError, match=r"ulm_000001_000019_leftImg8bit\.png: has no mask in .*ulm"):
        build(cityscapes)


def test_too_small_a_part_leaves_val_empty(tmp_path: Path) -> None:
    fake(tmp_path, "train", ("ulm",))
    fake(tmp_path, "val", ("lindau",))
    with pytest.raises(DataError, match="The val split of cityscapes is empty"):
        build(tmp_path)


def test_labels_outside_the_table_and_other_sizes_are_named(cityscapes: Path) -> None:
    masks = cityscapes / "cityscapes/gtFine/val/frankfurt"
    Image.fromarray(np.full((17, 34), 34, np.uint8)).save(masks / "frankfurt_000000_000019_gtFine_labelIds.png")
    with pytest.raises(DataError, match=r"frankfurt_000000_000019_gtFine_labelIds\.png: label 34 at row 0, column 0"):
        build(cityscapes).splits["test"][0]
    Image.new("L", (34, 16)).save(masks / "frankfurt_000000_000019_gtFine_labelIds.png")
    with pytest.raises(DataError, match=r"expected the mask to be 17x34 .* but got 16x34"):
        build(cityscapes).splits["test"][0]

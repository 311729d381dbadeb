"""Pascal VOC segmentation on tiny fake copies in the official layout (the real masks are not at hand)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.data.base import DataError
from cvbench.data.voc_seg import build, palette_colour

# The first rows of VOClabelcolormap as the development kit prints them.
PALETTE = {
    0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 5: (128, 0, 128), 6: (0, 128, 128),
    7: (128, 128, 128), 8: (64, 0, 0), 9: (192, 0, 0), 15: (192, 128, 128), 16: (0, 64, 0), 20: (0, 64, 128),
    255: (224, 224, 192),
}  # fmt: skip
TRAIN = [f"2007_{number:06d}" for number in range(60)]
VAL = [f"2008_{number:06d}" for number in range(5)]


def fake(root: Path, year: int, lists: dict[str, list[str]], masks: str = "SegmentationClass") -> Path:
    folder = root / f"VOCdevkit/VOC{year}"
    for part in ("JPEGImages", masks, "ImageSets/Segmentation"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, stems in lists.items():
        (folder / f"ImageSets/Segmentation/{name}.txt").write_text("\n".join(stems) + "\n")
        for stem in stems:
            Image.new("RGB", (9, 6)).save(folder / f"JPEGImages/{stem}.jpg")
            mask = Image.fromarray(np.array([[0, 1, 20], [15, 255, 7]], np.uint8).repeat(3, 0).repeat(3, 1), "P")
            mask.putpalette([value for label in range(256) for value in palette_colour(label)])
            mask.save(folder / f"{masks}/{stem}.png")
    return folder


@pytest.fixture
def voc2012(tmp_path: Path) -> Path:
    fake(tmp_path, 2012, {"train": TRAIN, "val": VAL})
    return tmp_path


def test_palette_is_the_published_one() -> None:
    assert {label: palette_colour(label) for label in PALETTE} == PALETTE


def test_official_val_plays_test_and_val_is_taken_from_train(voc2012: Path) -> None:
    dataset = build(voc2012)
    train, val, test = (dataset.splits[role].ids for role in ("train", "val", "test"))
    assert list(test) == [f"val/{stem}" for stem in VAL]
    assert sorted([*train, *val]) == [f"train/{stem}" for stem in TRAIN]
    assert 1 <= len(val) <= 15
    assert dataset.info.split_sizes == {"train": len(train), "val": len(val), "test": 5}
    assert dataset.info.num_classes == 21
    assert (dataset.info.classes[0], dataset.info.classes[15]) == ("background", "person")
    assert dataset.info.colours[15] == PALETTE[15]
    assert dataset.info.input_size is None


def test_palette_masks_give_indices_and_borders_are_void(voc2012: Path) -> None:
    image, mask = build(voc2012).splits["test"][0]
    assert image.shape == (6, 9, 3)
    assert mask[::3, ::3].tolist() == [[0, 1, 20], [15, 255, 7]]


def test_val_does_not_change_when_train_grows(voc2012: Path, tmp_path: Path) -> None:
    before = set(build(voc2012).splits["val"].ids)
    fake(tmp_path, 2012, {"train": TRAIN + [f"2009_{number:06d}" for number in range(20)], "val": VAL})
    after = {name for name in build(voc2012).splits["val"].ids if "2009" not in name}
    assert after == before


def test_2007_has_official_roles(tmp_path: Path) -> None:
    fake(tmp_path, 2007, {"train": TRAIN[:3], "val": TRAIN[3:5], "test": TRAIN[5:6]})
    dataset = build(tmp_path, year=2007)
    assert dataset.info.split_sizes == {"train": 3, "val": 2, "test": 1}
    assert dataset.info.protocol != build_2012_protocol(tmp_path)


def build_2012_protocol(root: Path) -> object:
    fake(root, 2012, {"train": TRAIN, "val": VAL})
    return build(root).info.protocol


@pytest.mark.parametrize("name", ["trainaug", "train_aug"])
def test_augmented_training_set(voc2012: Path, name: str) -> None:
    fake(voc2012, 2012, {name: TRAIN + [f"2010_{number:06d}" for number in range(30)]}, "SegmentationClassAug")
    dataset = build(voc2012, train_set="train_aug")
    assert dataset.info.split_sizes["train"] + dataset.info.split_sizes["val"] == 90
    assert dataset.info.split_sizes["test"] == 5
    assert dataset.splits["train"].pairs[0].mask.parent.name == "SegmentationClassAug"


def test_missing_data_say_what_to_unpack(tmp_path: Path, voc2012: Path) -> None:
    with pytest.raises(DataError, match=r"voc_seg is not there.*VOC2007.*VOCtest"):
        build(tmp_path, year=2007)


def test_pack_without_masks_is_named(shared_data: Path) -> None:
    with pytest.raises(DataError, match=r"voc_seg is not there.*Segmentation"):
        build(shared_data)


def test_wrong_options(voc2012: Path) -> None:
    with pytest.raises(DataError, match="2012 or 2007, but got 2009"):
        build(voc2012, year=2009)
    with pytest.raises(DataError, match="train_aug for 2012, but got 'train_aug'"):
        build(voc2012, year=2007, train_set="train_aug")


def test_a_list_that_names_what_is_not_there(voc2012: Path) -> None:
    folder = voc2012 / "VOCdevkit/VOC2012"
    (folder / f"SegmentationClass/{VAL[2]}.png").unlink()
    with pytest.raises(DataError, match=rf"{VAL[2]}\.jpg: has no mask in .*SegmentationClass"):
        build(voc2012)
    (folder / f"JPEGImages/{VAL[2]}.jpg").unlink()
    with pytest.raises(DataError, match=rf"val\.txt: names the sample {VAL[2]}, but its image is missing"):
        build(voc2012)


def test_empty_split(voc2012: Path) -> None:
    (voc2012 / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").write_text("")
    with pytest.raises(DataError, match="The test split of voc_seg 2012 is empty"):
        build(voc2012)


def test_unknown_label_and_colour_mask_are_named(voc2012: Path) -> None:
    path = voc2012 / f"VOCdevkit/VOC2012/SegmentationClass/{VAL[0]}.png"
    Image.fromarray(np.full((6, 9), 21, np.uint8)).save(path)
    with pytest.raises(
        DataError, match=rf"{VAL[0]}\.png: label 21 at row 0, column 0 has no class: VOC's masks hold 0\.\.20"
    ):
        build(voc2012).splits["test"][0]
    Image.new("RGB", (9, 6)).save(path)
    with pytest.raises(DataError, match=rf"{VAL[0]}\.png: expected a mask with one channel"):
        build(voc2012).splits["test"][0]

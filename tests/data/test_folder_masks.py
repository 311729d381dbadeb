"""Anybody's images and masks, in each way of naming splits, classes and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.data.base import DataError
from cvbench.data.folder_masks import build

CLASSES = ["road", "car", "tree"]
MASK = np.array([[0, 1, 2, 255]] * 3, np.uint8)


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def add(folder: Path, name: str, mask: np.ndarray = MASK, ending: str = "") -> None:
    """One image of the mask's size and its mask; `name` may start with a subfolder."""
    write(folder / f"images/{name}.jpg", np.zeros((*mask.shape[:2], 3), np.uint8))
    write(folder / f"masks/{name}{ending}.png", mask)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pairs in the splits that subfolders name."""
    for name in ("train/a", "val/b", "test/c"):
        add(tmp_path / "folder_masks", name)
    return tmp_path / "folder_masks"


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Sixty pairs of thirty scenes in no split."""
    for scene in range(30):
        for frame in range(2):
            add(tmp_path / "folder_masks", f"scene{scene:02d}_{frame}")
    return tmp_path / "folder_masks"


def test_subfolders(folder: Path) -> None:
    dataset = build(folder.parent, classes=CLASSES)
    assert {role: split.ids for role, split in dataset.splits.items()} == {
        "train": ("train/a",), "val": ("val/b",), "test": ("test/c",),
    }  # fmt: skip
    image, mask = dataset.splits["test"][0]
    assert image.shape == (3, 4, 3)
    np.testing.assert_array_equal(mask, MASK)
    assert dataset.info.classes == ("road", "car", "tree")
    assert len(dataset.info.colours) == 3


def test_absolute_path_other_folders_and_mask_endings(tmp_path: Path) -> None:
    for name in ("train/a", "val/b", "test/c"):
        write(tmp_path / f"mine/photos/{name}.jpg", np.zeros((3, 4, 3), np.uint8))
        write(tmp_path / f"mine/truth/{name}_mask.png", MASK)
    options = {"images": "photos", "masks": "truth", "mask_ending": "_mask", "classes": CLASSES}
    dataset = build(tmp_path / "data", path=str(tmp_path / "mine"), **options)
    np.testing.assert_array_equal(dataset.splits["val"].target(0), MASK)


def test_without_test_val_plays_test(flat: Path, tmp_path: Path) -> None:
    names = sorted(file.stem for file in (flat / "images").iterdir())
    (flat / "train.txt").write_text("\n".join(names[:50]))
    (flat / "val.txt").write_text("\n".join(names[50:]))
    dataset = build(tmp_path, classes=CLASSES)
    assert list(dataset.splits["test"].ids) == names[50:]
    assert sorted([*dataset.splits["train"].ids, *dataset.splits["val"].ids]) == names[:50]
    assert dataset.info.protocol["roles"]["test"] == "given as val"


def test_list_files_in_each_way_of_naming_samples(tmp_path: Path) -> None:
    folder = tmp_path / "folder_masks"
    for name in ("a", "b 1", "c.d", "e", "f"):
        add(folder, name)
    (folder / "train.txt").write_text("a\nb 1\n\n")
    (folder / "val.txt").write_text("/elsewhere/images/c.d.jpg /elsewhere/masks/c.d.png\n")
    (folder / "test.txt").write_text("images\\e.jpg\r\nf.jpg\r\n")
    dataset = build(tmp_path, classes=CLASSES)
    ids = {role: split.ids for role, split in dataset.splits.items()}
    assert ids == {"train": ("a", "b 1"), "val": ("c.d",), "test": ("e", "f")}


def test_hashed_shares_are_complete_fixed_and_disjoint(flat: Path, tmp_path: Path) -> None:
    first, again = build(tmp_path, classes=CLASSES), build(tmp_path, classes=CLASSES)
    ids = [split.ids for split in first.splits.values()]
    assert sorted(sum(ids, ())) == sorted(file.stem for file in (flat / "images").iterdir())
    assert ids == [split.ids for split in again.splits.values()]
    assert 2 <= len(first.splits["test"]) <= 20


@pytest.mark.parametrize("group", [r"^(scene\d+)_", r"^scene\d+"])
def test_group_keeps_a_scene_in_one_split(flat: Path, tmp_path: Path, group: str) -> None:
    dataset = build(tmp_path, classes=CLASSES, group=group, test_share=0.3, val_share=0.3)
    scenes = {role: {name.split("_")[0] for name in split.ids} for role, split in dataset.splits.items()}
    assert all(scenes.values())
    assert sum(len(names) for names in scenes.values()) == len(set().union(*scenes.values())) == 30


@pytest.mark.parametrize("name", ["classes.txt", "codes.txt"])
def test_class_names_from_a_file(folder: Path, name: str) -> None:
    (folder / name).write_text("road\ncar\n\ntree\n")
    assert build(folder.parent).info.classes == ("road", "car", "tree")


def test_a_void_label_among_the_classes_closes_ranks(folder: Path) -> None:
    for file in (folder / "masks").rglob("*.png"):
        write(file, np.array([[0, 1, 2, 2]] * 3, np.uint8))
    dataset = build(folder.parent, classes=["unlabelled", "road", "car"], void=0)
    assert dataset.info.classes == ("road", "car")
    assert dataset.splits["train"].target(0)[0].tolist() == [255, 0, 1, 1]


def test_sixteen_bit_masks(folder: Path) -> None:
    write(folder / "masks/test/c.png", MASK.astype(np.uint16))
    np.testing.assert_array_equal(build(folder.parent, classes=CLASSES).splits["test"].target(0), MASK)
    write(folder / "masks/test/c.png", MASK.astype(np.uint16) + 256)
    with pytest.raises(DataError, match=r"c\.png: label 256 at row 0, column 0 has no class"):
        build(folder.parent, classes=CLASSES).splits["test"].target(0)


def painted(folder: Path, rows: str) -> None:
    (folder / "colours.csv").write_text("name,r,g,b\n" + rows)
    colours = np.array([(255, 0, 0), (0, 255, 0), (10, 20, 30), (0, 0, 0)], np.uint8)
    for file in (folder / "masks").rglob("*.png"):
        write(file, np.tile(colours, (3, 1, 1)))


def test_colour_masks(folder: Path) -> None:
    painted(folder, "road,255,0,0\ncar,0,255,0\nroad,10,20,30\nvoid,0,0,0\n")
    dataset = build(folder.parent, colours="colours.csv")
    assert dataset.info.classes == ("road", "car")
    assert dataset.info.colours == ((255, 0, 0), (0, 255, 0))
    assert dataset.splits["train"].target(0)[0].tolist() == [0, 1, 0, 255]
    assert build(folder.parent, colours="colours.csv", classes=["car", "road"]).splits["train"].target(0)[0, 0] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "road,255,0,0\ncar,0,255,0\nvoid,0,0,0\n",
            r"a\.png: colour \(10, 20, 30\) at row 0, column 2 is none of the 3",
        ),
        ("road,256,0,0\n", r"colours\.csv: row .*256.*numbers from 0 to 255"),
        ("road,red,0,0\n", r"colours\.csv: row .*red.*columns name, r, g, b"),
        ("road\n", r"colours\.csv: row .*columns name, r, g, b"),
        ("road,1,2,3\ncar,1,2,3\n", r"colours\.csv: a colour has two rows"),
        ("void,1,2,3\n", r"colours\.csv: expected 1 to 254 class names"),
    ],
)
def test_bad_colours(folder: Path, rows: str, message: str) -> None:
    painted(folder, rows)
    with pytest.raises(DataError, match=message):
        build(folder.parent, colours="colours.csv").splits["train"][0]


def test_colours_and_classes_must_agree(folder: Path) -> None:
    painted(folder, "road,255,0,0\n")
    with pytest.raises(DataError, match=r"colours\.csv: car is not both in this file and in `classes`"):
        build(folder.parent, colours="colours.csv", classes=["road", "car"])
    with pytest.raises(DataError, match=r"expected .*other\.csv.*Did you mean colours\.csv"):
        build(folder.parent, colours="other.csv")


def test_label_out_of_range_names_file_label_rule_and_remedy(folder: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"a\.png: label 2 at row 0, column 2 has no class: 0\.\.1 are road, car, and 255 is void\. Correct",
    ):
        build(folder.parent, classes=CLASSES[:2]).splits["train"][0]
    with pytest.raises(DataError, match="label 255 at row 0, column 3 has no class"):
        build(folder.parent, classes=CLASSES, void=None).splits["train"][0]


def test_mask_of_another_size_is_named(folder: Path) -> None:
    write(folder / "masks/val/b.png", np.zeros((4, 3), np.uint8))
    with pytest.raises(DataError, match=r"b\.png: expected the mask to be 3x4 .*b\.jpg, but got 4x3"):
        build(folder.parent, classes=CLASSES).splits["val"][0]


def test_truncated_image_is_named(folder: Path) -> None:
    path = folder / "images/val/b.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"b\.jpg: cannot be decoded"):
        build(folder.parent, classes=CLASSES).splits["val"][0]


def test_missing_files_and_folders_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "masks/val/b.png").unlink()
    with pytest.raises(DataError, match=r"b\.jpg: has no mask in .*masks.val; add the mask"):
        build(tmp_path, classes=CLASSES)
    with pytest.raises(DataError, match=r"is not there: expected .*photos.*`images` and `masks`"):
        build(tmp_path, classes=CLASSES, images="photos")
    with pytest.raises(DataError, match=r"is not there: expected .*nowhere.*option `path`"):
        build(tmp_path, path="nowhere", classes=CLASSES)
    with pytest.raises(DataError, match=r"the classes have no names.*classes\.txt"):
        build(tmp_path)


def test_two_images_of_one_name_are_refused(folder: Path) -> None:
    write(folder / "images/train/a.png", np.zeros((3, 4, 3), np.uint8))
    with pytest.raises(DataError, match=r"a\.png: a\.jpg beside it has the same name"):
        build(folder.parent, classes=CLASSES)


def test_empty_split_and_doubled_sample(flat: Path, tmp_path: Path) -> None:
    (flat / "train.txt").write_text("scene00_0\n")
    (flat / "val.txt").write_text("scene00_1\n")
    (flat / "test.txt").write_text("")
    with pytest.raises(DataError, match=r"The test split of folder_masks .* is empty"):
        build(tmp_path, classes=CLASSES)
    (flat / "test.txt").write_text("scene00_0\n")
    with pytest.raises(DataError, match=r"scene00_0\.jpg: named for test, but train has it already"):
        build(tmp_path, classes=CLASSES)
    (flat / "test.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"test\.txt: expected a text file"):
        build(tmp_path, classes=CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "(scene"}, r"`group` of folder_masks to be a regular expression, .*but got '\(scene'"),
        ({"group": "(x+)"}, r"scene00_0\.jpg: its name has nothing that `group: \(x\+\)` matches"),
        ({"test_share": 1.0}, "`test_share` of folder_masks to be between 0 and 1, but got 1.0"),
        ({"val_share": 0}, "between 0 and 1, but got 0"),
        ({"void": 300}, "0 to 255, or none, but got 300"),
        ({"classes": ["road", "road"]}, "each once, but got 'road, road'"),
    ],
)
def test_bad_options(flat: Path, tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build(tmp_path, **{"classes": CLASSES, **options})

"""Anybody's images with Ultralytics' label files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.data.base import DataError
from cvbench.data.folder_yolo import build
from cvbench.data.verify import verify
from cvbench.data.yolo_labels import names_in_yaml, read_labels


def add(folder: Path, images: str, labels: str, name: str, text: str | None) -> None:
    for part, ending in ((images, "jpg"), (labels, "txt")):
        (folder / part / name).parent.mkdir(parents=True, exist_ok=True)
        if ending == "jpg":
            Image.new("RGB", (40, 20)).save(folder / part / f"{name}.jpg")
        elif text is not None:
            (folder / part / f"{name}.txt").write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Train, val and test of three images: with two boxes, with an empty label file, without one."""
    path = tmp_path / "folder_yolo"
    for role in ("train", "val", "test"):
        for name, text in (("a", "1 0.5 0.5 0.25 0.5\n0 0.0 0.5 0.5 0.1\n"), ("sub/b", ""), ("c", None)):
            add(path, f"images/{role}", f"labels/{role}", name, text)
    (path / "data.yaml").write_text("path: ../x\ntrain: images/train\nnc: 2\nnames: ['cat', 'dog']\n")
    return path


def test_shares_of_the_image_become_its_pixels(folder: Path) -> None:
    dataset = build(folder.parent)
    assert {role: list(split.ids) for role, split in dataset.splits.items()} == {
        role: [f"{role}/a", f"{role}/c", f"{role}/sub/b"] for role in ("train", "val", "test")
    }
    assert dataset.info.classes == ("cat", "dog")
    boxes = dataset.splits["test"][0].target
    # The image is 40 wide and 20 high: centre 20, 10 and size 10 x 10; centre 0, 10 and size 20 x 2, half outside.
    np.testing.assert_allclose(boxes.xywh, [[15, 5, 10, 10], [-10, 9, 20, 2]])
    np.testing.assert_allclose(boxes.area, [100, 40])
    assert boxes.labels.tolist() == [1, 0]
    assert [len(dataset.splits["test"].target(index)) for index in (1, 2)] == [0, 0]
    assert dataset.splits["train"].class_counts(2).tolist() == [1, 1]
    found = verify(dataset)
    assert found.ok, str(found)
    assert found.remarks == ("boxes beyond their image's border: 3, by up to 10.00 pixels in val: val/a",)


@pytest.mark.parametrize("alias", ["valid", "validation", "val"])
def test_folders_of_splits_with_images_and_labels_in_each(tmp_path: Path, alias: str) -> None:
    for number in range(40):
        add(tmp_path / "mine", "train/images", "train/labels", f"t{number}", "0 0.5 0.5 0.5 0.5")
    add(tmp_path / "mine", f"{alias}/images", f"{alias}/labels", "v", "0 0.5 0.5 0.5 0.5")
    (tmp_path / "mine/classes.txt").write_text("cat\n\ndog\n")
    dataset = build(tmp_path, path="mine", val_share=0.3)
    assert dataset.splits["test"].ids == ("val/v",)
    assert dataset.info.split_sizes["train"] + dataset.info.split_sizes["val"] == 40
    assert dataset.info.classes == ("cat", "dog")


def test_no_splits(tmp_path: Path) -> None:
    for number in range(60):
        add(tmp_path / "mine", "images", "labels", f"s{number // 2:02d}_{number % 2}", "0 0.5 0.5 0.5 0.5")
    dataset = build(tmp_path, path="mine", classes=["cat"], group=r"^(s\d+)_", val_share=0.3, test_share=0.3)
    scenes = [{name.split("_")[0] for name in split.ids} for split in dataset.splits.values()]
    assert sum(map(len, scenes)) == 30 == len(set.union(*scenes))
    assert sum(dataset.info.split_sizes.values()) == 60


def test_an_edited_label_file_is_another_revision(folder: Path) -> None:
    before = build(folder.parent).info.revision
    (folder / "labels/test/a.txt").write_text("1 0.5 0.5 0.25 0.6")
    assert build(folder.parent).info.revision != before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 0.5 0.5 0.5", r"a\.txt:2: expected five numbers `class cx cy width height`, but got '1 0.5 0.5 0.5'"),
        ("1 0.5 0.5 0.5 0.5 0.9", r"a\.txt:2: expected five numbers"),
        ("1 .1 .1 .2 .2 .3 .3", "more are polygons, which are not boxes"),
        ("dog 0.5 0.5 0.5 0.5", r"a\.txt:2: expected five numbers"),
        ("2 0.5 0.5 0.5 0.5", r"a\.txt:2: expected a class from 0 to 1, as there are 2 names, but got 2"),
        ("-1 0.5 0.5 0.5 0.5", "but got -1"),
        ("0.5 0.5 0.5 0.5 0.5", "expected a class from 0 to 1"),
        ("nan 0.5 0.5 0.5 0.5", "expected a class from 0 to 1"),
        ("1 0.5 0.5 1.5 0.5", r"a\.txt:2: expected cx cy width height as shares of the image, 0 to 1, but got 1.5"),
        ("1 0.5 0.5 -0.5 0.5", "but got -0.5"),
        ("1 nan 0.5 0.5 0.5", "but got nan"),
        ("1 120 40 30 30", "but got 120; divide pixels by the image's width and height"),
    ],
)
def test_what_is_wrong_in_a_line_is_named(folder: Path, line: str, words: str) -> None:
    (folder / "labels/test/a.txt").write_text(f"0 0.5 0.5 0.5 0.5\n{line}\n")
    with pytest.raises(DataError, match=words):
        build(folder.parent)


def test_labels_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a\.txt: expected a text file with one box a line"):
        read_labels(tmp_path / "a.txt", 1)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [a, b]", ("a", "b")),
        ("names:\n  1: b\n  0: a\n", ("a", "b")),
        ("names: [2, 3]", ("2", "3")),
        ("nc: 2", None),
        ("", None),
    ],
)
def test_names_in_yaml(tmp_path: Path, text: str, names: tuple[str, ...] | None) -> None:
    (tmp_path / "data.yaml").write_text(text)
    assert names_in_yaml(tmp_path / "data.yaml") == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: {0: a, 2: b}", "expected `names` as a list, or as a mapping from 0, 1, 2"),
        ("names: cat", "expected `names` as a list"),
        ("names: [[a]]", "expected `names` as a list"),
        ("names: [a, a]", "each once, but got a, a"),
        ("names: []", "one class name or more"),
        ("names: !!python/object/apply:os.system ['true']", r"data\.yaml:1: the tag .* is not allowed"),
        ("names: [a", r"data\.yaml:\d: not valid YAML"),
    ],
)
def test_bad_names(folder: Path, text: str, words: str) -> None:
    (folder / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=words):
        build(folder.parent)


def test_no_names_at_all(folder: Path) -> None:
    (folder / "data.yaml").unlink()
    with pytest.raises(DataError, match=r"the classes have no names; expected data\.yaml .*classes\.txt.*`classes`"):
        build(folder.parent)
    (folder / "a.yaml").write_text("names: [x]")
    (folder / "b.yaml").write_text("names: [y]")  # which of the two?
    with pytest.raises(DataError, match="no names"):
        build(folder.parent)
    (folder / "labels/classes.txt").write_text("cat\ndog\n")  # as labelImg leaves it
    assert build(folder.parent).info.classes == ("cat", "dog")
    assert build(folder.parent, classes=["x", "y", "z"]).info.classes == ("x", "y", "z")


def test_what_is_missing_is_named(folder: Path) -> None:
    for path in (folder / "labels/val").glob("*.txt"):
        path.unlink()
    (folder / "labels/val/sub/b.txt").unlink()
    with pytest.raises(DataError, match=r"labels/val: has no label file for any of the 3 images .*a\.txt for a\.jpg"):
        build(folder.parent)
    (folder / "labels/val/sub").rmdir()
    (folder / "labels/val").rmdir()
    with pytest.raises(DataError, match=r"expected .*labels/val, but .*needs the label files"):
        build(folder.parent)
    with pytest.raises(DataError, match=r"folder_yolo is not there.*`path`"):
        build(folder.parent, path="nowhere")
    (folder.parent / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected .*empty/images"):
        build(folder.parent, path="empty", classes=["x"])

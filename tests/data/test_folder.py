from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.data import folder
from cvbench.data.base import DataError, Dataset


def picture(path: Path, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (6, 4), 1).save(path)


def class_folders(top: Path, classes: dict[str, int], where: str = "") -> None:
    for label, count in classes.items():
        for number in range(count):
            picture(top / label / where / f"img{number}.png")


def labelled(built: Dataset) -> dict[str, dict[str, str]]:
    """role -> id -> class name"""
    return {
        role: {name: built.info.classes[split.target(index)] for index, name in enumerate(split.ids)}
        for role, split in built.splits.items()
    }


def test_given_train_val_test(tmp_path: Path):
    for part, count in {"train": 3, "val": 2, "test": 1}.items():
        class_folders(tmp_path / "pets" / part, {"dog": count, "cat": count})
    built = folder.build(tmp_path, path="pets")
    assert built.info.classes == ("cat", "dog")
    assert dict(built.info.split_sizes) == {"train": 6, "val": 4, "test": 2}
    assert labelled(built)["test"] == {"test/cat/img0.png": "cat", "test/dog/img0.png": "dog"}
    image, label = built.splits["test"][1]
    assert (image.shape, label) == ((4, 6, 3), 1)
    assert built.info.protocol["layout"] == "folders"
    assert built.info.protocol["roles"] == {"train": "given train", "val": "given val", "test": "given test"}


def test_absolute_path_gives_the_same(tmp_path: Path):
    for part in ("train", "val", "test"):
        class_folders(tmp_path / "pets" / part, {"dog": 2, "cat": 2})
    one, other = folder.build(tmp_path, path="pets"), folder.build(Path("elsewhere"), path=str(tmp_path / "pets"))
    assert one.info == other.info
    assert one.splits["train"].ids == other.splits["train"].ids


def test_val_from_train_where_there_is_none(tmp_path: Path):
    class_folders(tmp_path / "train", {"dog": 50, "cat": 50})
    class_folders(tmp_path / "test", {"dog": 5, "cat": 5})
    built = folder.build(tmp_path, path=".", val_share=0.2)
    rows = labelled(built)
    assert len(rows["test"]) == 10
    assert len(rows["train"] | rows["val"]) == 100
    assert 5 < len(rows["val"]) < 40
    assert built.info.protocol["roles"]["val"] == "0.2 of given train, by hash"


def test_val_plays_test_where_there_is_no_test(tmp_path: Path):
    class_folders(tmp_path / "Training", {"dog": 50, "cat": 50})
    class_folders(tmp_path / "valid", {"dog": 5, "cat": 5})
    built = folder.build(tmp_path, path=".")
    assert set(labelled(built)["test"]) == {
        f"valid/{label}/img{number}.png" for label in ("cat", "dog") for number in range(5)
    }
    assert built.info.protocol["roles"]["test"] == "given val"
    assert built.info.split_sizes["train"] + built.info.split_sizes["val"] == 100


def test_evaluation_only(tmp_path: Path):
    class_folders(tmp_path / "test", {"dog": 2, "cat": 2})
    assert list(folder.build(tmp_path, path=".").splits) == ["test"]


def test_hash_layout(tmp_path: Path):
    class_folders(tmp_path, {"dog": 60, "cat": 60}, where="deep/er")
    built = folder.build(tmp_path, path=".")
    rows = labelled(built)
    assert sorted(name for part in rows.values() for name in part) == sorted(
        f"{label}/deep/er/img{number}.png" for label in ("cat", "dog") for number in range(60)
    )
    assert all(name.startswith(label) for part in rows.values() for name, label in part.items())
    assert 5 <= len(rows["test"]) <= 35
    # A new picture moves no other.
    picture(tmp_path / "dog" / "new.png")
    again = labelled(folder.build(tmp_path, path="."))
    assert all(rows[role].items() <= again[role].items() for role in rows)


def test_layout_can_be_forced(tmp_path: Path):
    class_folders(tmp_path, {"test": 60, "train": 60})  # classes of a railway
    assert folder.build(tmp_path, path=".", layout="hash").info.classes == ("test", "train")
    with pytest.raises(DataError, match="`layout: lists` needs"):
        folder.build(tmp_path, path=".", layout="lists")


def test_lists_with_numbers_and_names(tmp_path: Path):
    for name in ("a b.png", "c.png", "d.png", "e.png"):
        picture(tmp_path / "images" / name)
    (tmp_path / "train.txt").write_text("images/a b.png 1\nimages/c.png 0\n\n")
    (tmp_path / "val.txt").write_text("images/d.png 1\n")
    (tmp_path / "test.txt").write_text("images/e.png 0\n")
    built = folder.build(tmp_path, path=".")
    assert built.info.classes == ("0", "1")
    assert labelled(built)["train"] == {"images/a b.png": "1", "images/c.png": "0"}
    unnamed = built.info.revision
    (tmp_path / "classes.txt").write_text("tabby cat\ndog\n")
    built = folder.build(tmp_path, path=".")
    assert labelled(built)["test"] == {"images/e.png": "tabby cat"}
    assert built.info.revision != unnamed


def test_lists_with_class_names(tmp_path: Path):
    for name in ("a", "b", "c", "d"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "train.txt").write_text("a.png dog\nb.png cat\n")
    (tmp_path / "val.txt").write_text("c.png cat\n")
    (tmp_path / "test.txt").write_text("d.png dog\n")
    assert labelled(folder.build(tmp_path, path="."))["test"] == {"d.png": "dog"}


@pytest.mark.parametrize("options", [{"group": r"scene(\d+)"}, {"group": r"scene\d+"}, {"group_parts": 1}])
def test_one_scene_stays_in_one_split(tmp_path: Path, options: dict):
    for scene in range(40):
        class_folders(tmp_path, {"dog": 2, "cat": 2}, where=f"scene{scene}")
    built = folder.build(tmp_path, path=".", **options)
    scenes = {role: {name.split("/")[1] for name in split.ids} for role, split in built.splits.items()}
    assert sum(len(part) for part in scenes.values()) == 40
    assert sum(built.info.split_sizes.values()) == 160
    assert all(scenes.values())
    assert "group" in built.info.protocol


def test_without_group_a_scene_falls_apart(tmp_path: Path):
    for scene in range(40):
        class_folders(tmp_path, {"dog": 2, "cat": 2}, where=f"scene{scene}")
    built = folder.build(tmp_path, path=".")
    assert sum(len({name.split("/")[1] for name in split.ids}) for split in built.splits.values()) > 40


def test_a_scene_in_two_given_splits(tmp_path: Path):
    for part in ("train", "val", "test"):
        class_folders(tmp_path / part, {"dog": 2, "cat": 2}, where="kitchen")
    with pytest.raises(DataError, match="'kitchen' is in train and in val"):
        folder.build(tmp_path, path=".", group_parts=1)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "I;16", "RGBA", "CMYK"])
def test_odd_modes_become_rgb(tmp_path: Path, mode: str):
    class_folders(tmp_path / "train", {"dog": 1, "cat": 1})
    class_folders(tmp_path / "val", {"dog": 1, "cat": 1})
    class_folders(tmp_path / "test", {"dog": 1})
    picture(tmp_path / "test" / "cat" / ("a.jpg" if mode == "CMYK" else "a.png"), mode)
    assert folder.build(tmp_path, path=".").splits["test"][0].image.shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "none"}, r"folder is not there.*option `path`"),
        ({"path": ".", "test_share": 0.0}, r"`test_share` of folder to be between 0 and 1, but got 0\.0"),
        ({"path": ".", "group": "("}, r"regular expression, but got '\('"),
        ({"path": ".", "group": "scene"}, "img0.png: `group: scene` matches nothing"),
        ({"path": ".", "group_parts": 1}, "img0.png: `group_parts: 1` needs 1 folders below the class folder"),
        ({"path": ".", "group_parts": 0}, "`group_parts` of folder to be 1 or more"),
        ({"path": ".", "group": "a", "group_parts": 1}, "one of `group` and `group_parts`"),
        ({"path": "cat"}, "expected two classes or more, but found none"),
        ({"path": ".", "val_share": 1e-9}, "split val of .* is empty"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict, message: str):
    class_folders(tmp_path, {"dog": 20, "cat": 20})
    with pytest.raises(DataError, match=message):
        folder.build(tmp_path, **options)


def test_a_class_only_in_test(tmp_path: Path):
    for part in ("train", "val", "test"):
        class_folders(tmp_path / part, {"dog": 1, "cat": 1})
    picture(tmp_path / "test" / "cats" / "a.png")
    with pytest.raises(DataError, match=r"test has the class 'cats', which train has not \(cat, dog\)"):
        folder.build(tmp_path, path=".")


def test_a_class_without_train_images(tmp_path: Path):
    for part in ("train", "val", "test"):
        class_folders(tmp_path / part, {"dog": 1, "cat": 1})
    (tmp_path / "train" / "bird").mkdir()
    with pytest.raises(DataError, match="'bird' has no image in train"):
        folder.build(tmp_path, path=".")


def test_a_class_only_in_train_is_fine(tmp_path: Path):
    for part in ("train", "val", "test"):
        class_folders(tmp_path / part, {"dog": 1, "cat": 1})
    picture(tmp_path / "train" / "bird" / "a.png")
    assert folder.build(tmp_path, path=".").info.classes == ("bird", "cat", "dog")


def test_train_alone(tmp_path: Path):
    class_folders(tmp_path / "train", {"dog": 1, "cat": 1})
    with pytest.raises(DataError, match="train alone"):
        folder.build(tmp_path, path=".")


def test_empty_split(tmp_path: Path):
    for part in ("train", "val", "test"):
        class_folders(tmp_path / part, {"dog": 0 if part == "test" else 1, "cat": 0 if part == "test" else 1})
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match=r"split test of .* is empty"):
        folder.build(tmp_path, path=".")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a.png\n", r"test\.txt:1: expected `relative/path\.jpg label`.*got 'a\.png'"),
        ("/etc/a.png 0\n", r"test\.txt:1: expected `relative/path"),
        ("x/../../a.png 0\n", r"test\.txt:1: expected `relative/path"),
        ("C:/a.png 0\n", r"test\.txt:1: expected `relative/path"),
        ("none.png 0\n", r"none\.png: no such file"),
        ("b.png 0\nb.png 1\n", r"has 'b\.png' more than once"),
        ("a.png 0\n", r"'a\.png' is in train and in test"),
        ("b.png x\n", r"test has the class 'x', which train has not"),
        ("", "split test of .* is empty"),
    ],
)
def test_wrong_lists(tmp_path: Path, lines: str, message: str):
    for name in ("a", "b", "c", "d"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "train.txt").write_text("a.png 0\nc.png 1\n")
    (tmp_path / "val.txt").write_text("d.png 1\n")
    (tmp_path / "test.txt").write_text(lines)
    with pytest.raises(DataError, match=message):
        folder.build(tmp_path, path=".")


def test_more_labels_than_names(tmp_path: Path):
    picture(tmp_path / "a.png")
    for part in ("train", "val", "test"):
        (tmp_path / f"{part}.txt").write_text("a.png 2\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"classes\.txt: has 2 names, but the lists use the label 2"):
        folder.build(tmp_path, path=".")


def test_truncated_image(tmp_path: Path):
    for part in ("train", "val", "test"):
        class_folders(tmp_path / part, {"dog": 1, "cat": 1})
    path = tmp_path / "test" / "cat" / "img0.png"
    path.write_bytes(path.read_bytes()[:40])
    built = folder.build(tmp_path, path=".")
    with pytest.raises(DataError, match=r"test/cat/img0\.png: cannot be decoded"):
        built.splits["test"][0]


def test_the_real_cifar_pack(shared_data: Path):
    built = folder.build(shared_data, path="cifar10-imagefolder", val_share=0.1)
    sizes = built.info.split_sizes
    assert sizes["test"] == 1000
    assert sizes["train"] + sizes["val"] == 5000
    assert built.info.classes[:2] == ("airplane", "automobile")
    test = built.splits["test"]
    assert np.bincount([test.target(index) for index in range(1000)]).tolist() == [100] * 10
    assert all(test[index].image.shape == (32, 32, 3) for index in range(0, 1000, 50))

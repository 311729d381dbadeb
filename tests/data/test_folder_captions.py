"""Anybody's images with captions, in each way of laying them out, and what may be wrong in them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cvbench.data.base import DataError
from cvbench.data.folder_captions import build
from cvbench.data.verify import verify
from cvbench.language.vocabulary import SPECIAL
from tests.data.captioned import coco_table, draw, write

ROLES = ("train", "val", "test")


def said(name: str) -> list[str]:
    return [f"A dog , {name.partition('.')[0]}", "A dog"]


def table(names: Sequence[str], kind: str) -> Any:
    """The captions of these images in a form of file."""
    if kind == "coco":
        return coco_table({name: said(name) for name in names})
    if kind == "json":
        return {name: said(name) for name in names}
    return ["caption,image,by", *(f'"{caption}",{name},me' for name in names for caption in said(name))]


def sixty(folder: Path, kind: str = "json", images: str = "images") -> Path:
    """Sixty images of thirty scenes, and one file."""
    names = [f"scene{number // 2:02d}_{number % 2}.jpg" for number in range(60)]
    draw(folder / images, names)
    write(folder / ("captions.csv" if kind == "csv" else "captions.json"), table(names, kind))
    return folder


@pytest.mark.parametrize(
    ("file", "images", "kind"),
    [
        ("{}/captions.json", "{}", "coco"),
        ("{}/captions.json", "{}", "json"),
        ("{}/captions.csv", "{}", "csv"),
        ("annotations/captions_{}2017.json", "{}2017", "coco"),  # as COCO itself
        ("annotations/captions_{}.csv", "images/{}", "csv"),
        ("captions_{}.json", "images", "json"),
        ("{}.json", "images", "json"),
        ("{}.csv", ".", "csv"),
    ],
)
def test_one_file_a_split(tmp_path: Path, file: str, images: str, kind: str) -> None:
    for place, role in enumerate(ROLES):
        names = [f"p{10 * place + number}.jpg" for number in range(3)]
        write(tmp_path / "mine" / file.format(role), table(names, kind))
        draw(tmp_path / "mine" / images.format(role), names)
    dataset = build(tmp_path, path="mine")
    assert {role: list(split.ids) for role, split in dataset.splits.items()} == {
        role: [f"{role}/p{10 * place + number}" for number in range(3)] for place, role in enumerate(ROLES)
    }
    assert dataset.splits["val"][1].target == ["A dog , p11", "A dog"]
    assert dataset.info.protocol["roles"] == {role: f"given as {role}" for role in ROLES}
    assert dataset.info.vocabulary is not None
    assert dataset.info.vocabulary[:5] == (*SPECIAL, "a")
    assert not any("p" in word for word in dataset.info.vocabulary[4:])  # once each
    assert verify(dataset).counts == dict.fromkeys(ROLES, 3)


@pytest.mark.parametrize("kind", ["coco", "json", "csv"])
def test_one_file_for_all_is_split_by_hash(tmp_path: Path, kind: str) -> None:
    sixty(tmp_path / "folder_captions", kind)
    dataset = build(tmp_path, val_share=0.3, test_share=0.3, min_count=1)
    assert sum(dataset.info.split_sizes.values()) == 60
    assert dataset.info.protocol["roles"]["test"] == "0.3 of all by hash"
    name = dataset.splits["test"].ids[0]
    assert dataset.splits["test"].target(0) == said(f"{name}.jpg")
    again = build(tmp_path, val_share=0.3, test_share=0.3, group=r"^(scene\d+)_")
    scenes = [{name.split("_")[0] for name in split.ids} for split in again.splits.values()]
    assert sum(map(len, scenes)) == 30 == len(set.union(*scenes))


def test_images_that_lie_in_folders_of_splits(tmp_path: Path) -> None:
    names = ["train/a.jpg", "Valid/b.jpg", "test/c.jpg", "train/d.jpg"]
    draw(tmp_path / "mine", names)
    write(tmp_path / "mine/captions.json", table(names, "json"))
    dataset = build(tmp_path, path="mine")
    assert {role: list(split.ids) for role, split in dataset.splits.items()} == {
        "train": ["train/a", "train/d"],
        "val": ["Valid/b"],
        "test": ["test/c"],
    }
    others = [f"e{number}.jpg" for number in range(40)]  # where some lie elsewhere, the folders mean nothing
    draw(tmp_path / "mine", others)
    write(tmp_path / "mine/captions.json", table([*names, *others], "json"))
    mixed = build(tmp_path, path="mine")
    assert sum(mixed.info.split_sizes.values()) == 44
    assert mixed.info.protocol["roles"]["train"] == "the rest by hash"


def rows(*splits: str) -> list[str]:
    return ["image,caption,split", *(f"p{number}.jpg,A dog runs,{split}" for number, split in enumerate(splits))]


def test_a_column_says_the_split(tmp_path: Path) -> None:
    draw(tmp_path / "mine/images", [f"p{number}.jpg" for number in range(5)])
    write(tmp_path / "mine/captions.csv", rows("train", "test", "train", "validation", "TRAIN"))
    dataset = build(tmp_path, path="mine")
    assert {role: list(split.ids) for role, split in dataset.splits.items()} == {
        "train": ["p0", "p2", "p4"],
        "val": ["p3"],
        "test": ["p1"],
    }
    for wrong, words in (
        (rows("train", "tset"), r"captions\.csv:3: expected as split train, val or test, but got 'tset'"),
        (rows("train", ""), r"captions\.csv:3: expected as split train, val or test, but got ''"),
        (
            [*rows("train", "test"), "p0.jpg,A cat,test"],
            r"csv:4: expected p0\.jpg in one split, but it is in train and",
        ),
    ):
        write(tmp_path / "mine/captions.csv", wrong)
        with pytest.raises(DataError, match=words):
            build(tmp_path, path="mine")


def test_val_plays_test_where_there_is_none(tmp_path: Path) -> None:
    sixty(tmp_path / "mine")
    shutil.move(tmp_path / "mine/captions.json", tmp_path / "mine/train.json")
    draw(tmp_path / "mine/images", ["b.jpg"])
    write(tmp_path / "mine/valid.json", {"b.jpg": "A single caption"})
    dataset = build(tmp_path, path="mine", val_share=0.3)
    assert dataset.splits["test"].ids == ("val/b",)
    assert dataset.splits["test"].target(0) == ["A single caption"]
    assert dataset.info.protocol["references"] == "1 an image"
    assert dataset.info.split_sizes["train"] + dataset.info.split_sizes["val"] == 60
    (tmp_path / "mine/train.json").unlink()
    alone = build(tmp_path, path="mine")  # for captions that somebody else's model wrote
    assert list(alone.splits) == ["test"]
    assert alone.info.vocabulary is None


def test_the_files_can_be_named(tmp_path: Path) -> None:
    folder = sixty(tmp_path / "mine", images="photos")
    (folder / "captions.json").rename(folder / "words.json")
    with pytest.raises(DataError, match=r"expected captions\.json or captions\.csv there.*set `captions`"):
        build(tmp_path, path="mine")
    with pytest.raises(DataError, match=r"words\.json: has captions of scene00_0\.jpg, which is in none of .*`images`"):
        build(tmp_path, path="mine", captions="words.json")
    dataset = build(tmp_path, path="mine", captions="words.json", images="photos")
    assert sum(dataset.info.split_sizes.values()) == 60
    one = build(tmp_path, path="mine", captions={"test": "words.json"}, images={"test": "photos"})
    assert one.info.split_sizes == {"test": 60}
    for options, words in (
        ({"captions": {"tset": "words.json"}}, "of train, val, test, but got 'tset'"),
        ({"captions": "word.json"}, r"word\.json, but .* holds .*words\.json"),
        ({"captions": "words.json", "images": {"test": "photos"}}, "`images` of folder_captions to have the key None"),
    ):
        with pytest.raises(DataError, match=words):
            build(tmp_path, path="mine", **options)


def test_a_part_of_coco_and_of_flickr8k(shared_data: Path) -> None:
    assert build(shared_data, path="coco").info.split_sizes == {"test": 128}
    coco = build(shared_data, path="coco", captions="annotations/captions_val2017.json")
    assert sum(coco.info.split_sizes.values()) == 128
    flickr = build(shared_data, path="flickr8k")  # Kaggle's captions.txt
    assert sum(flickr.info.split_sizes.values()) == 321
    assert flickr.info.protocol["references"] == "5 an image"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a.jpg": ["A dog"], "b.jpg": []}, r"captions\.json: b\.jpg: expected one caption or more, but it has none"),
        (
            {"a.jpg": ["A dog", " \t"]},
            r"captions\.json: a\.jpg: expected a caption, but got ' \\t', nothing but spaces",
        ),
        ({"a.jpg": 7}, r"captions\.json: a\.jpg: expected a list of captions, but got 7"),
        ({"a.jpg": ["A dog", None]}, r"captions\.json: a\.jpg: expected a list of captions, but got \['A dog', None\]"),
        ({"a.jpg": ["A dog"], "z.jpg": ["A cat"]}, r"captions\.json: names the image z\.jpg, but .* is not there"),
        ({"z.jpg": ["A cat"]}, r"captions\.json: has captions of z\.jpg, which is in none of"),
        ({"../a.jpg": ["A dog"]}, r"captions\.json: expected a file below .* but got '\.\./a\.jpg'"),
        ('{"a.jpg": ["A dog"], "a.jpg": ["A cat"]}', r"captions\.json: has 'a\.jpg' twice in one object"),
        ({}, r"captions\.json: expected COCO's captions, or .* but got nothing in it"),
        (["A dog"], r"captions\.json: not valid JSON"),
        ("[1]", r"captions\.json: expected COCO's captions, or .* but got list"),
        (coco_table({}), r"captions\.json: expected captions, but it has none"),
        (coco_table({"a.jpg": []}), r"captions\.json: a\.jpg \(image id 1\): expected one caption or more"),
    ],
)
def test_what_is_wrong_in_a_json_is_named(tmp_path: Path, content: Any, words: str) -> None:
    draw(tmp_path / "mine/images", ["a.jpg", "b.jpg"])
    write(tmp_path / "mine/captions.json", content)
    with pytest.raises(DataError, match=words):
        build(tmp_path, path="mine")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["a.jpg,A dog"],
            r"captions\.csv:1: expected a header with the columns image, caption, but got 'a\.jpg, A dog'",
        ),
        (["image,caption"], r"captions\.csv: expected captions, but it has none"),
        (["image;caption", "a.jpg;A dog."], r"but got 'image;caption'; save the table with commas instead of ';'"),
        (["image,caption", "a.jpg"], r"captions\.csv:2: expected 2 columns as in the header, but got 1"),
        (["image,caption", "a.jpg,"], r"captions\.csv:2: a\.jpg: expected a caption, but got ''"),
        (["image,caption", ",A dog"], r"captions\.csv:2: expected a file below the folder of the images, but got ''"),
        (["image,caption,image", "a.jpg,A dog,b.jpg"], r"captions\.csv:1: expected a header with the columns"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(tmp_path: Path, lines: list[str], words: str) -> None:
    draw(tmp_path / "mine/images", ["a.jpg", "b.jpg"])
    write(tmp_path / "mine/captions.csv", lines)
    with pytest.raises(DataError, match=words):
        build(tmp_path, path="mine")


def test_other_systems_files_and_long_captions(tmp_path: Path) -> None:
    draw(tmp_path / "mine/images", ["a.jpg", "b.jpg"])
    long = "word " * 10_000
    content = f'\ufeffimage,caption\r\na.jpg,"Two\r\nlines"\r\na.jpg,{long}\r\n\r\nb.jpg,Zwölf\r\n'
    write(tmp_path / "mine/captions.csv", content)
    found = build(tmp_path, path="mine", captions={"test": "captions.csv"})
    assert found.splits["test"].target(0) == ["Two lines", long.strip()]
    assert found.splits["test"].target(1) == ["Zwölf"]
    (tmp_path / "mine/captions.csv").write_bytes("image,caption\na.jpg,Zwölf\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"captions\.csv:2: expected UTF-8 text"):
        build(tmp_path, path="mine")


def test_two_files_of_one_split_are_named(tmp_path: Path) -> None:
    for year in (2014, 2017):
        write(tmp_path / f"mine/annotations/captions_val{year}.json", {"a.jpg": "A dog"})
    with pytest.raises(DataError, match=r"one file for val, but found captions_val2014\.json, captions_val2017\.json"):
        build(tmp_path, path="mine")


def test_one_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    sixty(tmp_path / "mine")
    shutil.move(tmp_path / "mine/captions.json", tmp_path / "mine/train.json")
    write(tmp_path / "mine/test.json", {"scene00_0.jpg": "A dog"})
    with pytest.raises(DataError, match=r"scene00_0\.jpg: named for test, but (train|val) has it already"):
        build(tmp_path, path="mine")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": "nowhere"}, "folder_captions is not there.*`path`"),
        ({"group": "(scene"}, r"`group` of folder_captions to be a regular expression, .* got '\(scene'"),
        ({"test_share": 1.0}, "`test_share` of folder_captions to be between 0 and 1, but got 1.0"),
        ({"val_share": 1e-6}, "The split val of folder_captions is empty"),
        ({"min_count": 0}, "`min_count` of folder_captions to be a whole number from 1, but got 0"),
        ({"min_count": 1000}, "none occurs 1000 times in the captions of train; lower it"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, object], words: str) -> None:
    sixty(tmp_path / "folder_captions")
    with pytest.raises(DataError, match=words):
        build(tmp_path, **options)  # type: ignore[arg-type]

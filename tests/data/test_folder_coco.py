"""Anybody's images with COCO's JSON, in each way of laying them out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cvbench.data.base import DataError
from cvbench.data.folder_coco import build
from cvbench.data.verify import verify
from tests.data.coco_files import annotation, draw, image, table, write


def part(folder: Path, json: str, images: str, first: int, count: int = 3, name: str = "p{}.jpg") -> None:
    """One JSON and its images, whose boxes are of class 1, 13 and 90 in turn."""
    ids = range(first, first + count)
    boxes = [annotation(number, number, (1, 13, 90)[number % 3], [1, 1, 5, 5]) for number in ids]
    content = table([image(number, name.format(number)) for number in ids], boxes)
    write(folder / json, content)
    draw(folder / images, content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixty images of thirty scenes and one JSON."""
    path = tmp_path / "folder_coco"
    part(path, "annotations.json", "images", 0, 60, "p{}.jpg")
    for number in range(60):
        shutil.move(path / f"images/p{number}.jpg", path / f"images/scene{number // 2:02d}_{number % 2}.jpg")
    text = (path / "annotations.json").read_text()
    for number in range(60):
        text = text.replace(f'"p{number}.jpg"', f'"scene{number // 2:02d}_{number % 2}.jpg"')
    (path / "annotations.json").write_text(text)
    return path


@pytest.mark.parametrize(
    ("json", "images"),
    [
        ("{}/_annotations.coco.json", "{}"),  # as Roboflow exports
        ("annotations/{}.json", "images/{}"),
        ("annotations/{}.json", "{}"),
        ("annotations/instances_{}2017.json", "{}2017"),  # as COCO itself
        ("annotations/instances_{}.json", "images"),
        ("{}.json", "images"),
    ],
)
def test_one_json_a_split(tmp_path: Path, json: str, images: str) -> None:
    for place, name in enumerate(("train", "val", "test")):
        part(tmp_path / "mine", json.format(name), images.format(name), 10 * place)
    dataset = build(tmp_path, path="mine")
    assert {role: list(split.ids) for role, split in dataset.splits.items()} == {
        role: [f"{role}/p{10 * place + number}" for number in range(3)]
        for place, role in enumerate(("train", "val", "test"))
    }
    assert dataset.splits["val"][1].target.labels.tolist() == [2]  # image 11: category 90
    assert dataset.info.classes == ("person", "stop sign", "toothbrush")
    assert dataset.info.protocol["roles"] == {role: f"given as {role}" for role in ("train", "val", "test")}
    assert verify(dataset).ok


def test_val_plays_test_where_there_is_none(tmp_path: Path) -> None:
    part(tmp_path / "mine", "train/_annotations.coco.json", "train", 0, 40)
    part(tmp_path / "mine", "valid/_annotations.coco.json", "valid", 50)
    dataset = build(tmp_path, path="mine", val_share=0.3)
    assert dataset.splits["test"].ids == ("val/p50", "val/p51", "val/p52")
    assert dataset.info.split_sizes["train"] + dataset.info.split_sizes["val"] == 40
    assert dataset.info.protocol["roles"]["val"] == "0.3 of train by hash"
    shutil.rmtree(tmp_path / "mine/train")
    assert list(build(tmp_path, path="mine").splits) == ["test"]  # evaluation of given weights


def test_images_beside_a_named_json_and_a_name_that_two_patterns_find(tmp_path: Path) -> None:
    part(tmp_path / "mine", "deep/boxes.json", "deep", 0)
    assert build(tmp_path, path="mine", annotations={"test": "deep/boxes.json"}).splits["test"].folder.name == "deep"
    part(tmp_path / "other", "annotations/instances_valid.json", "images", 0)  # val* and valid* alike
    assert build(tmp_path, path="other").info.split_sizes == {"test": 3}


def test_shares_by_hash_keep_scenes_together(folder: Path) -> None:
    dataset = build(folder.parent, group=r"^(scene\d+)_", val_share=0.3, test_share=0.3)
    scenes = {role: {name.split("_")[0] for name in split.ids} for role, split in dataset.splits.items()}
    assert set(scenes) == {"train", "val", "test"}
    assert sum(map(len, scenes.values())) == 30 == len(set.union(*scenes.values()))
    assert sum(dataset.info.split_sizes.values()) == 60
    alone = build(folder.parent, val_share=0.3, test_share=0.3)
    assert alone.splits["test"].ids != dataset.splits["test"].ids
    assert alone.info.protocol["roles"]["test"] == "0.3 of all by hash"


def test_the_files_can_be_named(tmp_path: Path) -> None:
    part(tmp_path / "mine", "labels/a.json", "photos/a", 0, 30)
    part(tmp_path / "mine", "labels/b.json", "photos/b", 50)
    with pytest.raises(DataError, match=r"expected COCO's JSON there or in annotations/.*set `annotations`"):
        build(tmp_path, path="mine")
    given = {"annotations": {"train": "labels/a.json", "test": "labels/b.json"}}
    with pytest.raises(DataError, match=r"a\.json: names the image p0\.jpg, which is in none of .*set `images`"):
        build(tmp_path, path="mine", **given)
    images = {"train": "photos/a", "test": "photos/b"}
    dataset = build(tmp_path, path="mine", images=images, **given)
    assert dataset.splits["test"].ids == ("test/p50", "test/p51", "test/p52")
    whole = build(tmp_path, path="mine", annotations="labels/a.json", images="photos/a", val_share=0.3, test_share=0.3)
    assert sum(whole.info.split_sizes.values()) == 30
    for wrong, words in (({"tset": "labels/b.json"}, "of train, val, test, but got 'tset'"),
                         ({"test": "labels/c.json"}, r"c\.json, but .* holds a\.json, b\.json")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            build(tmp_path, path="mine", annotations=wrong)
    with pytest.raises(DataError, match="`images` of folder_coco to have the key train"):
        build(tmp_path, path="mine", images={"test": "photos/b"}, **given)


def test_a_part_of_coco_itself(shared_data: Path) -> None:
    assert build(shared_data, path="coco").info.split_sizes == {"test": 128}
    dataset = build(shared_data, path="coco", annotations="annotations/instances_val2017.json")
    assert sum(dataset.info.split_sizes.values()) == 128
    assert set(dataset.splits) == {"train", "val", "test"}
    assert dataset.info.num_classes == 80


def test_several_json_of_one_split_are_named(tmp_path: Path) -> None:
    for year in (2014, 2017):
        part(tmp_path / "mine", f"annotations/instances_val{year}.json", "images", 0)
    with pytest.raises(
        DataError, match=r"one JSON for val, but found instances_val2014\.json, instances_val2017\.json"
    ):
        build(tmp_path, path="mine")


def test_categories_must_agree(tmp_path: Path) -> None:
    part(tmp_path / "mine", "train.json", "images", 0)
    content = table([image(50, "p50.jpg")], [], [{"id": 1, "name": "human"}])
    write(tmp_path / "mine/val.json", content)
    draw(tmp_path / "mine/images", content)
    with pytest.raises(DataError, match=r"val\.json: expected the categories of .*train\.json, but they differ"):
        build(tmp_path, path="mine")


def test_one_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    part(tmp_path / "mine", "train.json", "images", 0, 30)
    part(tmp_path / "mine", "test.json", "images", 5, 1)
    with pytest.raises(DataError, match=r"p5\.jpg: named for test, but (train|val) has it already"):
        build(tmp_path, path="mine")


def test_a_missing_image_is_named(folder: Path) -> None:
    (folder / "images/scene07_1.jpg").unlink()
    with pytest.raises(DataError, match=r"annotations\.json: names the image scene07_1\.jpg, but .* is not there"):
        build(folder.parent)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": "nowhere"}, "folder_coco is not there.*`path`"),
        ({"group": "(scene"}, r"`group` of folder_coco to be a regular expression, .* got '\(scene'"),
        ({"group": "(x+)"}, r"scene\d\d_\d\.jpg: `group: \(x\+\)` matches nothing"),
        ({"test_share": 1.0}, "`test_share` of folder_coco to be between 0 and 1, but got 1.0"),
        ({"val_share": 0}, "`val_share` of folder_coco to be between 0 and 1, but got 0"),
        ({"val_share": 1e-6}, "The split val of folder_coco is empty"),
    ],
)
def test_bad_options(folder: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        build(folder.parent, **options)  # type: ignore[arg-type]

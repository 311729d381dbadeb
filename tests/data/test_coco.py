"""COCO: the real pack, tiny fake copies in the official layout, and every way to break an instances JSON."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench.data.base import DataError
from cvbench.data.coco import build
from cvbench.data.coco_json import read_coco
from cvbench.data.verify import verify
from tests.data.coco_files import CATEGORIES, annotation, draw, image, table, write

SOUND = table(
    [image(9), image(3), image(5)],
    [
        annotation(7, 9, 90, [1, 2, 3, 4], area=5.5, iscrowd=0),
        annotation(4, 3, 1, [0, 0, 30, 20], area=100, iscrowd=1),
        annotation(2, 9, 13, [28.5, 0, 2, 20]),
    ],
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "instances.json"


def test_entries_become_columns_in_the_order_of_ids(file: Path) -> None:
    found = read_coco(write(file, SOUND))
    assert found.names == ("000000000003.jpg", "000000000005.jpg", "000000000009.jpg")
    assert list(found.categories.items()) == [(1, "person"), (13, "stop sign"), (90, "toothbrush")]
    assert found.columns.counts.tolist() == [1, 0, 2]
    boxes = found.columns.boxes
    assert boxes.labels.tolist() == [0, 2, 1]
    assert boxes.xywh.tolist() == [[0, 0, 30, 20], [1, 2, 3, 4], [28.5, 0, 2, 20]]
    assert boxes.area.tolist() == [100, 5.5, 40]  # width x height where there is no area
    assert boxes.crowd.tolist() == [True, False, False]
    assert not boxes.difficult.any()
    assert found.columns.sizes.tolist() == [[20, 30]] * 3


def official(root: Path, train: int = 60, val: int = 4, year: int = 2017) -> Path:
    for part, count, first in (("train", train, 1000), ("val", val, 1)):
        if count:
            content = table([image(first + number) for number in range(count)], [annotation(1, first, 1, [1, 1, 5, 5])])
            write(root / f"coco/annotations/instances_{part}{year}.json", content)
            draw(root / f"coco/{part}{year}", content)
    return root


def test_official_val_plays_test_and_val_is_taken_from_train(tmp_path: Path) -> None:
    dataset = build(official(tmp_path), val_share=0.3)
    train, val, test = (dataset.splits[role].ids for role in ("train", "val", "test"))
    assert list(test) == [f"val/{number:012d}" for number in range(1, 5)]
    assert sorted([*train, *val]) == [f"train/{number:012d}" for number in range(1000, 1060)]
    shares = {name: int(sha256(name.encode()).hexdigest()[:16], 16) / 16**16 for name in [*train, *val]}
    assert set(val) == {name for name, share in shares.items() if share < 0.3}
    assert dataset.info.protocol["category_ids"] == [1, 13, 90]
    assert dataset.info.classes == ("person", "stop sign", "toothbrush")
    assert dataset.splits["test"][0].target.xywh.tolist() == [[1, 1, 5, 5]]
    assert len(dataset.splits["test"].target(1)) == 0  # images without annotations stay in
    assert build(official(tmp_path, val=5), val_share=0.3).splits["val"].ids == val


def test_val_alone_is_for_evaluation_and_train_alone_is_not(tmp_path: Path) -> None:
    official(tmp_path, train=0)
    assert build(tmp_path).info.split_sizes == {"test": 4}
    write(tmp_path / "coco/annotations/instances_train2017.json", SOUND)  # its archive holds both, images or not
    dataset = build(tmp_path)
    assert dataset.info.split_sizes == {"test": 4}
    assert dataset.info.protocol["roles"] == {"test": "official val"}
    with pytest.raises(DataError, match=r"coco is not there.*instances_val2014"):
        build(tmp_path, year=2014)


def test_2014_is_another_folder(tmp_path: Path) -> None:
    assert build(official(tmp_path, year=2014), year=2014, val_share=0.3).info.split_sizes["test"] == 4


def test_the_pack_equals_a_plain_reading(shared_data: Path) -> None:
    dataset = build(shared_data)
    raw = json.loads((shared_data / "coco/annotations/instances_val2017.json").read_text())
    split = dataset.splits["test"]
    assert [int(name.split("/")[1]) for name in split.ids] == sorted(entry["id"] for entry in raw["images"])
    assert len(split) == 128
    total = 0
    for index, name in enumerate(split.ids):
        mine = [entry for entry in raw["annotations"] if entry["image_id"] == int(name.split("/")[1])]
        boxes = split.target(index)
        assert boxes.xywh.tolist() == [entry["bbox"] for entry in mine]
        ids = [dataset.info.protocol["category_ids"][label] for label in boxes.labels]
        assert ids == [entry["category_id"] for entry in mine]
        np.testing.assert_array_equal(boxes.area, [entry["area"] for entry in mine])
        total += len(boxes)
    assert total == 898


def test_the_pack_is_sound(shared_data: Path) -> None:
    found = verify(build(shared_data))
    assert found.ok, str(found)
    assert found.counts == {"test": 128}


def test_crowds_and_areas_of_published_annotations(shared_data: Path) -> None:
    """The 100 images of val2014 that pycocotools' own demonstration scores, with their real masks' areas."""
    path = shared_data / "metric_refs/coco_eval_val2014_100/instances_val2014_100.json"
    raw, found = json.loads(path.read_text()), read_coco(path)
    assert len(found.columns.boxes) == len(raw["annotations"])
    assert found.columns.boxes.crowd.sum() == sum(entry["iscrowd"] for entry in raw["annotations"]) > 0
    assert sorted(found.columns.boxes.area.tolist()) == sorted(entry["area"] for entry in raw["annotations"])
    assert len(found.categories) == 80


def changed(**parts: Any) -> dict[str, Any]:
    return {**SOUND, **parts}


def one(bbox: Any = (1, 1, 2, 2), **entries: Any) -> dict[str, Any]:
    """The sound table with one annotation."""
    return changed(annotations=[annotation(7, 9, 90, bbox) | entries])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (one([9, 1, -4, 2]), "id 7 .image 0+9.jpg.: expected a width .* 0 or more, but got .* 9, 1, -4, 2"),
        (one([9, 1, float("nan"), 2]), "id 7 .*finite numbers, but got .* 9, 1, nan, 2"),
        (one([30, 1, 4, 2]), "id 7 .*touches its image of 30x20 .* got .* 30, 1, 4, 2"),
        (one([1, 2, 3]), r"id 7: expected four numbers as bbox .* got \[1, 2, 3\]"),
        (one(["1", 2, 3, 4]), "id 7: expected four numbers as bbox"),
        (one(None), "id 7: expected four numbers as bbox .* got None"),
        (one([True, 2, 3, 4]), "id 7: expected four numbers as bbox"),
        (one(area=-1), "id 7: expected a number of pixels as area, 0 or more, but got -1"),
        (one(area="big"), "as area, 0 or more, but got 'big'"),
        (one(category_id=2), r"id 7: expected as category_id an id that the file lists \(1, 13, 90\), but got 2"),
        (one(category_id="person"), "annotations: entry 1: expected an integer as category_id, but got 'person'"),
        (one(image_id=8), r"id 7: expected as image_id an id that the file lists \(3, 5, 9\), but got 8"),
        (one(id=2**70), "entry 1: expected an integer as id, but got 1180"),
        (one(id=None), "entry 1: expected an integer as id, but got None"),
        (changed(annotations=[annotation(7, 9, 1, [1, 1, 1, 1])] * 2), "annotations: two of them have the id 7"),
        (changed(images=[image(9), image(9, "b.jpg")]), "images: two of them have the id 9"),
        (changed(images=[image(9, "b.jpg"), image(8, "b.jpg")]), "images: two images have the file b.jpg"),
        (changed(images=[image(9, "../b.jpg")]), r"images: id 9: expected a file below .* but got '\.\./b\.jpg'"),
        (changed(images=[image(9, "/etc/b.jpg")]), "images: id 9: expected a file below"),
        (changed(images=[image(9, height=-1)]), "images: id 9: expected height and width in whole pixels, but got -1"),
        (changed(images=[{"id": 9}]), "images: id 9: expected a text as file_name, but got None"),
        (changed(images=[], annotations=one()["annotations"]), r"an id that the file lists \(none\), but got 9"),
        (changed(categories=[*CATEGORIES, CATEGORIES[0]]), "categories: two of them have the id 90"),
        (changed(categories=[*CATEGORIES, {"id": 2, "name": "person"}]), "categories: .*each name once, but got"),
        (changed(categories=[]), "categories: expected one category or more"),
        (changed(images=[9]), "expected images to be a list of objects"),
        (changed(images={}), "expected images to be a list of objects, but got dict"),
        ({"images": [], "annotations": []}, "images, annotations, without categories; give the `instances`"),
        ([1], "expected COCO's JSON object with images, annotations, categories, but got list"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_json_is_named(file: Path, content: Any, words: str) -> None:
    with pytest.raises(DataError, match=rf"instances\.json: .*{words}"):
        read_coco(write(file, content))


@pytest.mark.parametrize("damage", ["cut", "deep", "binary", "digits", "missing"])
def test_damaged_json_is_named(file: Path, damage: str) -> None:
    write(file, SOUND)
    if damage == "cut":
        file.write_text(file.read_text()[:300])
    elif damage == "deep":
        file.write_text("[" * 200_000)
    elif damage == "binary":
        file.write_bytes(b"\xff\xfe\x00{")
    elif damage == "digits":
        file.write_text('{"images": [' + "9" * 5000 + "]}")
    else:
        file.unlink()
    with pytest.raises(DataError, match=r"instances\.json: (not valid JSON, cut off or damaged|no such file)"):
        read_coco(file)


def test_sizes_may_be_missing_and_boxes_may_be_empty_or_partly_outside(file: Path) -> None:
    images = [{"id": 9, "file_name": "a.jpg"}]
    boxes = [annotation(1, 9, 1, [500, 0, 5, 5]), annotation(2, 9, 1, [3, 3, 0, 4])]
    found = read_coco(write(file, changed(images=images, annotations=boxes)))
    assert found.columns.sizes.tolist() == [[0, 0]]
    assert found.columns.boxes.learnt.tolist() == [True, False]
    assert len(read_coco(write(file, one([-1, -1, 40, 40]))).columns.boxes) == 1


def test_no_annotations_at_all(file: Path) -> None:
    assert read_coco(write(file, changed(annotations=[]))).columns.counts.tolist() == [0, 0, 0]


def test_missing_images_and_other_categories_are_named(tmp_path: Path) -> None:
    official(tmp_path)
    (tmp_path / "coco/val2017/000000000002.jpg").unlink()
    with pytest.raises(
        DataError, match=r"instances_val2017\.json: names the image 000000000002\.jpg, but .* not there"
    ):
        build(tmp_path)
    official(tmp_path)
    other = table([image(1000)], [], [{"id": 1, "name": "people"}])
    write(tmp_path / "coco/annotations/instances_train2017.json", other)
    with pytest.raises(DataError, match=r"instances_train2017\.json and .*: expected the same categories"):
        build(tmp_path)


def test_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`year` of coco to be 2017 or 2014, but got 2015"):
        build(tmp_path, year=2015)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="`val_share` of coco to be between 0 and 1, but got 0"):
        build(tmp_path, val_share=0)
    with pytest.raises(DataError, match=r"data root .* does not exist"):
        build(tmp_path / "nowhere")

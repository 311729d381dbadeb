"""COCO captions: the real pack, tiny fake copies of the official layout and of Karpathy's, and what may be wrong."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cvbench.data.base import DataError
from cvbench.data.caption_json import read_coco_captions
from cvbench.data.coco import build as build_coco
from cvbench.data.coco_captions import build
from cvbench.data.preview import preview
from cvbench.data.verify import verify
from tests.data.captioned import coco_table, draw, karpathy, write

SOUND = coco_table({"b.jpg": ["A dog .", "Dogs"], "a.jpg": ["A cat"]}, first=7)


def official(root: Path, train: int = 60, val: int = 4, year: int = 2017) -> Path:
    for part, count, first in (("train", train, 1000), ("val", val, 1)):
        names = [f"{number:012d}.jpg" for number in range(first, first + count)]
        if names:
            captions = {name: [f"A {part} image .", f"Number {place}"] for place, name in enumerate(names)}
            write(root / f"coco/annotations/captions_{part}{year}.json", coco_table(captions, first))
            draw(root / f"coco/{part}{year}", names)
    return root


def test_official_val_plays_test_and_val_is_taken_from_train(tmp_path: Path) -> None:
    dataset = build(official(tmp_path), val_share=0.3)
    train, val, test = (dataset.splits[role].ids for role in ("train", "val", "test"))
    assert list(test) == [f"val/{number:012d}" for number in range(1, 5)]
    assert sorted([*train, *val]) == [f"train/{number:012d}" for number in range(1000, 1060)]
    shares = {name: int(sha256(name.encode()).hexdigest()[:16], 16) / 16**16 for name in [*train, *val]}
    assert set(val) == {name for name, share in shares.items() if share < 0.3}
    assert dataset.splits["test"].target(1) == ["A val image .", "Number 1"]
    assert dataset.info.vocabulary is not None
    assert dataset.info.vocabulary[4:] != ()
    assert "train" in dataset.info.vocabulary
    assert "val" not in dataset.info.vocabulary
    assert dataset.info.protocol["year"] == 2017
    assert verify(dataset).ok


def test_val_alone_is_for_evaluation_and_train_alone_is_not(tmp_path: Path) -> None:
    official(tmp_path, train=0)
    dataset = build(tmp_path)
    assert dataset.info.split_sizes == {"test": 4}
    assert dataset.info.vocabulary is None
    write(tmp_path / "coco/annotations/captions_train2017.json", SOUND)  # its archive holds both, images or not
    assert build(tmp_path, min_count=9).info.protocol["roles"] == {"test": "official val"}
    with pytest.raises(DataError, match=r"coco_captions is not there.*captions_val2014.*for 2014 unpack"):
        build(tmp_path, year=2014)
    with pytest.raises(DataError, match="`min_count` of coco_captions to be a whole number from 1, but got 0"):
        build(tmp_path, min_count=0)


def test_2014_is_another_folder(tmp_path: Path) -> None:
    assert build(official(tmp_path, year=2014), year=2014, val_share=0.3).info.split_sizes["test"] == 4


def karpathys(root: Path) -> Path:
    """His JSON of seven images of 2014; all but those of train are of val2014."""
    parts = {"train": "train2014", "restval": "val2014", "val": "val2014", "test": "val2014"}
    splits = {
        split: {f"{part}/COCO_{part}_{number:012d}.jpg": [f"The {split} .", "It is ."] for number in range(first, last)}
        for (split, part), (first, last) in zip(parts.items(), [(1, 3), (3, 4), (4, 6), (6, 8)], strict=True)
    }
    write(root / "coco/dataset_coco.json", karpathy(splits, "coco"))
    draw(root / "coco", [name for names in splits.values() for name in names])
    return root


def test_karpathys_split_learns_restval_too(tmp_path: Path) -> None:
    dataset = build(karpathys(tmp_path), year=2014, split="karpathy", min_count=1)
    assert {role: list(split.ids) for role, split in dataset.splits.items()} == {
        "train": [f"train/COCO_train2014_{number:012d}" for number in (1, 2)] + ["val/COCO_val2014_000000000003"],
        "val": [f"val/COCO_val2014_{number:012d}" for number in (4, 5)],
        "test": [f"val/COCO_val2014_{number:012d}" for number in (6, 7)],
    }
    assert dataset.splits["train"][2].target == ["The restval .", "It is ."]
    assert dataset.info.vocabulary is not None
    assert "restval" in dataset.info.vocabulary
    assert "test" not in dataset.info.vocabulary
    assert dataset.info.protocol["roles"]["train"] == "Karpathy's train and restval"
    shutil.rmtree(tmp_path / "coco/train2014")
    alone = build(tmp_path, year=2014, split="karpathy")
    assert alone.info.split_sizes == {"test": 2}
    assert alone.info.vocabulary is None
    (tmp_path / "coco/val2014/COCO_val2014_000000000007.jpg").unlink()
    with pytest.raises(DataError, match=r"dataset_coco\.json: names the image val2014/COCO_val2014_000000000007\.jpg"):
        build(tmp_path, year=2014, split="karpathy")


def test_wrong_options(tmp_path: Path) -> None:
    official(tmp_path)
    for options, words in (
        ({"year": 2015}, "`year` of coco_captions to be 2017 or 2014, but got 2015"),
        ({"split": "karpaty"}, "`split` of coco_captions to be official or karpathy, but got 'karpaty'"),
        (
            {"split": "karpathy"},
            "`year` of coco_captions to be 2014 with `split: karpathy`.* got 2017; set `year: 2014`",
        ),
        ({"split": "karpathy", "year": 2014}, r"expected .*dataset_coco\.json.*caption_datasets\.zip"),
        ({"val_share": 0}, "`val_share` of coco_captions to be between 0 and 1, but got 0"),
    ):
        with pytest.raises(DataError, match=words):
            build(tmp_path, **options)
    with pytest.raises(DataError, match=r"data root .* does not exist"):
        build(tmp_path / "nowhere")


def test_the_pack_equals_a_plain_reading(shared_data: Path) -> None:
    dataset = build(shared_data)
    raw = json.loads((shared_data / "coco/annotations/captions_val2017.json").read_text())
    split = dataset.splits["test"]
    assert split.ids == build_coco(shared_data).splits["test"].ids
    for index, name in enumerate(split.ids):
        mine = [entry["caption"] for entry in raw["annotations"] if entry["image_id"] == int(name.split("/")[1])]
        assert split.target(index) == [caption.strip().replace("\n", " ") for caption in mine]
    assert sum(len(split.target(index)) for index in range(len(split))) == 641
    assert dataset.info.vocabulary is None


def test_the_pack_is_sound_and_can_be_looked_at(shared_data: Path, tmp_path: Path) -> None:
    dataset = build(shared_data)
    found = verify(dataset)
    assert found.ok, str(found)
    assert found.counts == {"test": 128}
    assert preview(dataset, "test", 2, tmp_path / "p.png").stat().st_size > 20_000


def changed(**parts: Any) -> dict[str, Any]:
    return {**SOUND, **parts}


def one(**entries: Any) -> dict[str, Any]:
    """The sound table, whose third annotation is changed."""
    return changed(annotations=[*SOUND["annotations"][:2], {**SOUND["annotations"][2], **entries}])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (one(caption=" \n"), r"annotations: id 3: a\.jpg: expected a caption, but got ' \\n', nothing but spaces"),
        (one(caption=None), "annotations: id 3: expected a text as caption, but got None"),
        (one(caption="half \ud800"), r"annotations: id 3: a\.jpg: expected text, but got half a character"),
        (one(image_id=9), r"id 3: expected as image_id an id that the file lists \(7, 8\), but got 9"),
        (one(image_id=7), r"a\.jpg \(image id 8\): expected one caption or more, but it has none"),
        (one(id=2), "annotations: two of them have the id 2"),
        (one(id="3"), "annotations: entry 3: expected an integer as id, but got '3'"),
        (changed(images=[*SOUND["images"], {"id": 9, "file_name": "a.jpg"}]), r"two images have the file a\.jpg"),
        (changed(images=[*SOUND["images"], {"id": 7, "file_name": "c.jpg"}]), "images: two of them have the id 7"),
        (changed(images=[{"id": 7, "file_name": "/b.jpg"}]), "images: id 7: expected a file below"),
        (changed(images=7), "expected images to be a list of objects, but got int"),
        ({"images": []}, "images, annotations, but got the keys images, without annotations; give the `captions` file"),
        ("{", "not valid JSON, cut off or damaged"),
        ('{"images": "\xff"', "not valid JSON, cut off or damaged"),
    ],
)
def test_what_is_wrong_in_a_json_is_named(tmp_path: Path, content: Any, words: str) -> None:
    path = write(tmp_path / "captions.json", content)
    if "\xff" in str(content):
        path.write_bytes(path.read_text("utf-8").encode("latin-1"))
    with pytest.raises(DataError, match=rf"captions\.json: .*{words}"):
        read_coco_captions(path)


def test_captions_become_one_line_each_and_may_be_long(tmp_path: Path) -> None:
    long = "word " * 10_000
    captions = {"a.jpg": [" A\tdog\r\nruns .\n", long, "naïve\u2028café \U0001f600"], "b.jpg": ["x"] * 7}
    found = read_coco_captions(write(tmp_path / "captions.json", coco_table(captions)))
    assert found["a.jpg"] == ["A dog  runs .", long.strip(), "naïve café \U0001f600"]
    assert found["b.jpg"] == ["x"] * 7  # two people may write the same


def test_images_are_in_the_order_of_their_ids(tmp_path: Path) -> None:
    table = coco_table({"b.jpg": ["one"], "a.jpg": ["two"]})
    table["images"].reverse()
    table["annotations"].reverse()
    assert list(read_coco_captions(write(tmp_path / "captions.json", table)).items()) == [
        ("b.jpg", ["one"]),
        ("a.jpg", ["two"]),
    ]

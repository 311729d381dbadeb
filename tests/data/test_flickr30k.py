"""Flickr30k on small fake copies: each of its files of captions, each of its splits, and what may be wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvbench.data.base import DataError
from cvbench.data.flickr30k import build
from cvbench.data.verify import verify
from tests.data.captioned import draw, karpathy, write

SPLITS = {"train": ["1000092795.jpg", "2199200615.jpg"], "val": ["3.jpg"], "test": ["5.jpg", "4.jpg"]}
NAMES = [name for names in SPLITS.values() for name in names]
HEADER = "image_name| comment_number| comment"
BROKEN = "2199200615.jpg| 4   A dog runs across the grass ."  # as published


def said(name: str) -> list[str]:
    return [f"Two men , {name[0]} | {place} ." for place in range(3)]


KARPATHY = karpathy({split: {name: said(name) for name in names} for split, names in SPLITS.items()})
TOKENS = [f"{name}#{place}\t{caption}" for name in NAMES for place, caption in enumerate(said(name))]
BARS = [HEADER, *(f"{name}| {place}| {caption}" for name in NAMES for place, caption in enumerate(said(name)))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The images, and Karpathy's JSON alone."""
    draw(tmp_path / "flickr30k/flickr30k-images", NAMES)
    write(tmp_path / "flickr30k/dataset_flickr30k.json", KARPATHY)
    return tmp_path / "flickr30k"


def test_karpathys_file_alone_will_do(folder: Path) -> None:
    dataset = build(folder.parent, min_count=1)
    assert [f"{role}: {' '.join(split.ids)}" for role, split in dataset.splits.items()] == [
        "train: 1000092795 2199200615",
        "val: 3",
        "test: 5 4",
    ]
    assert dataset.splits["test"].target(0) == [f"Two men , 5 | {place} ." for place in range(3)]
    assert dataset.info.protocol["roles"] == {role: f"Karpathy's {role}" for role in ("train", "val", "test")}
    assert dataset.info.vocabulary is not None
    assert {"1", "two"} <= set(dataset.info.vocabulary)
    assert not {"3", "4", "5"} & set(dataset.info.vocabulary)
    assert verify(dataset).ok


@pytest.mark.parametrize(
    ("file", "lines"),
    [("results_20130124.token", TOKENS), ("results.csv", BARS), ("flickr30k_images/results.csv", BARS)],
)
def test_captions_come_from_the_official_files_where_they_are_there(folder: Path, file: str, lines: list[str]) -> None:
    alone = build(folder.parent)
    write(folder / file, lines)
    dataset = build(folder.parent)
    assert dataset.splits["test"].target(1) == alone.splits["test"].target(1) == said("4.jpg")
    assert dataset.info.revision != alone.info.revision
    write(folder / file, [line.replace("Two men", "Three men") for line in lines])
    assert build(folder.parent).splits["test"].target(0)[0] == "Three men , 5 | 0 ."


def test_the_line_that_lacks_a_separator_is_mended_and_no_other(folder: Path) -> None:
    write(folder / "results.csv", [*BARS, f"{BROKEN} "])
    dataset = build(folder.parent)
    assert dataset.splits["train"].target(1)[-1] == "A dog runs across the grass ."
    write(folder / "results.csv", [*BARS, "4.jpg| 4   A dog runs ."])
    with pytest.raises(
        DataError, match=r"results\.csv:17: expected `name\.jpg\| 0\| caption`, but got '4\.jpg\| 4   A"
    ):
        build(folder.parent)


def test_lists_of_entities_where_karpathys_file_is_not_there(folder: Path) -> None:
    (folder / "dataset_flickr30k.json").unlink()
    write(folder / "results_20130124.token", TOKENS)
    with pytest.raises(DataError, match=r"expected .*dataset_flickr30k\.json.*train\.txt, val\.txt and test\.txt"):
        build(folder.parent)
    for split, names in SPLITS.items():
        write(folder / f"{split}.txt", [name.removesuffix(".jpg") for name in names])
    dataset = build(folder.parent)
    assert dataset.splits["test"].ids == ("5", "4")
    assert dataset.info.protocol["roles"]["val"] == "Flickr30k Entities' val"
    (folder / "val.txt").unlink()
    with pytest.raises(DataError, match=r"expected .*val\.txt"):
        build(folder.parent)
    write(folder / "val.txt", ["9"])
    with pytest.raises(DataError, match=r"\.token: expected one caption or more of 9\.jpg, which is named for val"):
        build(folder.parent)


def test_images_in_kaggles_folders(folder: Path) -> None:
    (folder / "flickr30k_images").mkdir()
    (folder / "flickr30k-images").rename(folder / "flickr30k_images/flickr30k_images")
    assert build(folder.parent).splits["val"][0].image.shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([*BARS[1:]], r"results\.csv:1: expected the header image_name\| comment_number\| comment, but got"),
        ([*BARS, "4.jpg| 1| Again ."], r"results\.csv:17: expected each number .* line 15 has 4\.jpg\| 1 already"),
        ([*BARS, "4.jpg| 3|  "], r"results\.csv:17: 4\.jpg: expected a caption, but got '  ', nothing but spaces"),
        ([*BARS, "4.jpg| two| A dog"], r"results\.csv:17: expected `name\.jpg\| 0\| caption`"),
        ([*BARS, "../4.jpg| 2| A dog"], r"results\.csv:17: expected a file below the folder"),
        ([*BARS, "9.jpg| 0| A dog"], r"results\.csv: has captions of 9\.jpg, but there is no such image"),
        (BARS[:-3], r"results\.csv: expected one caption or more of 4\.jpg, which is named for test"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(folder: Path, lines: list[str], words: str) -> None:
    write(folder / "results.csv", lines)
    with pytest.raises(DataError, match=words):
        build(folder.parent)


def entry(**changes: object) -> dict[str, object]:
    return {"images": [{"filename": "4.jpg", "split": "test", "sentences": [{"raw": "A dog"}]} | changes]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            entry(split="restvall"),
            "images: entry 1: expected as split one of train, restval, val, test, but got 'restv",
        ),
        (entry(sentences=[]), r"entry 1: 4\.jpg: expected one caption or more, but it has none"),
        (entry(sentences=[{"raw": "\n "}]), r"entry 1: 4\.jpg: expected a caption, but got '\\n ', nothing but spaces"),
        (entry(sentences=[{"tokens": ["a"]}]), r"entry 1: 4\.jpg: expected a text as raw, but got None"),
        (entry(sentences=["A dog"]), r"entry 1: 4\.jpg: expected sentences to be a list of objects"),
        (entry(filename=None), "entry 1: expected a text as filename, but got None"),
        (entry(filename="../../x.jpg"), "entry 1: expected a file below the folder"),
        ({"images": entry()["images"] * 2}, r"entry 2: 4\.jpg was there before; expected each image once"),  # type: ignore[operator]
        ({"image": []}, "with images, but got the keys image, without images; give Karpathy's dataset_"),
        ({"images": []}, "The split train of flickr30k is empty"),
        ("{", "not valid JSON, cut off or damaged"),
    ],
)
def test_what_is_wrong_in_karpathys_file_is_named(folder: Path, content: object, words: str) -> None:
    write(folder / "dataset_flickr30k.json", content)
    with pytest.raises(DataError, match=words):
        build(folder.parent)


def test_missing_images_are_counted(folder: Path) -> None:
    (folder / "flickr30k-images/5.jpg").unlink()
    words = r"dataset_flickr30k\.json: names 2 images, but 1 of them are not in .*flickr30k-images, such as 5\.jpg"
    with pytest.raises(DataError, match=words):
        build(folder.parent)
    with pytest.raises(DataError, match=r"data root .* does not exist"):
        build(folder / "nowhere")

"""Flickr8k: the real pack, small fake copies in the official layout and in Kaggle's, and what may be wrong in them."""

from __future__ import annotations

import csv
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from cvbench.data.base import DataError
from cvbench.data.flickr8k import FILES, build
from cvbench.data.preview import preview
from cvbench.data.verify import verify
from cvbench.language import tokenizer
from cvbench.language.vocabulary import SPECIAL
from tests.data.captioned import draw, write

LISTS = {"train": ["a.jpg", "b.jpg", "c.jpg"], "dev": ["d.jpg"], "test": ["f.jpg", "e.jpg"]}
NAMES = [name for names in LISTS.values() for name in names]


def tokens(names: list[str]) -> list[str]:
    return [f"{name}#{place}\tA dog {name[0]} runs {place} ." for name in names for place in range(2)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six images with two captions each, as officially published."""
    folder = tmp_path / "flickr8k"
    draw(folder / "Flicker8k_Dataset", NAMES)
    write(folder / "Flickr8k_text/Flickr8k.token.txt", tokens(NAMES))
    for part, names in LISTS.items():
        write(folder / f"Flickr8k_text/Flickr_8k.{part}Images.txt", names)
    return tmp_path


def test_official_lists_and_tokens(root: Path) -> None:
    dataset = build(root, min_count=1)
    assert {role: list(split.ids) for role, split in dataset.splits.items()} == {
        "train": ["a", "b", "c"],
        "val": ["d"],
        "test": ["f", "e"],
    }
    assert dataset.splits["test"].target(0) == ["A dog f runs 0 .", "A dog f runs 1 ."]
    assert dataset.splits["test"][1].image[0, 0].tolist() == [4, 0, 0]  # the fifth image drawn
    info = dataset.info
    assert (info.task, info.classes, info.name) == ("captioning", (), "flickr8k")
    assert info.protocol == {
        "tokenizer": f"{tokenizer.NAME} {tokenizer.VERSION}",
        "references": "2 an image",
        "roles": {"train": "official train", "val": "official dev", "test": "official test"},
    }


def test_the_vocabulary_is_of_train_alone(root: Path) -> None:
    words = build(root, min_count=1).info.vocabulary
    assert words is not None
    assert words[:4] == SPECIAL
    assert {"a", "b", "c", "dog", "runs"} <= set(words)
    assert not {"d", "e", "f"} & set(words)  # named in captions of val and test only
    few = build(root, min_count=6).info.vocabulary
    assert few is not None
    assert set(few) - set(SPECIAL) <= {"a", "dog", "runs", "."}  # in each of the six captions; "a" eight times
    with pytest.raises(DataError, match="`min_count` of flickr8k to leave some words, but none occurs 99 times"):
        build(root, min_count=99)
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(DataError, match="`min_count` of flickr8k to be a whole number from 1, but got"):
            build(root, min_count=wrong)  # type: ignore[arg-type]


def test_texts_beside_the_images_are_found_too(root: Path) -> None:
    official = build(root)
    for path in (root / "flickr8k/Flickr8k_text").iterdir():  # as the archive is packed
        shutil.move(path, root / "flickr8k" / path.name)
    assert build(root).info.split_sizes == official.info.split_sizes


def test_captions_of_an_image_that_was_never_published_are_left_out(root: Path) -> None:
    path = root / "flickr8k/Flickr8k_text/Flickr8k.token.txt"
    revision = build(root).info.revision
    mangled = "2258277193_586949ec62.jpg.1#0\tpeople waiting for the subway"
    write(path, [*tokens(NAMES), mangled, "2258277193_586949ec62.jpg#3\tThree people standing at a station ."])
    assert build(root).info.split_sizes == {"train": 3, "val": 1, "test": 2}
    assert build(root).info.revision != revision
    write(path, [*tokens(NAMES), "2258277193_586949ec62.jpg.2#0\tpeople waiting for the subway"])
    with pytest.raises(DataError, match=r"captions of 2258277193_586949ec62\.jpg\.2, but there is no such image"):
        build(root)


def test_images_in_no_split_may_lie_there(root: Path) -> None:
    draw(root / "flickr8k/Flicker8k_Dataset", ["g.jpg"])
    write(root / "flickr8k/Flickr8k_text/Flickr8k.token.txt", tokens([*NAMES, "g.jpg"]))
    assert build(root).info.split_sizes == {"train": 3, "val": 1, "test": 2}


def test_a_part_is_refused_or_told(root: Path) -> None:
    folder = root / "flickr8k/Flicker8k_Dataset"
    whole = build(root, partial=True).info
    assert whole.protocol == build(root).info.protocol  # nothing is missing
    (folder / "b.jpg").unlink()
    (folder / "e.jpg").unlink()
    words = (
        r"trainImages\.txt: names 3 images, but 1 of them are not in .*Flicker8k_Dataset, such as b\.jpg; .*`partial:"
    )
    with pytest.raises(DataError, match=words):
        build(root)
    part = build(root, partial=True).info
    assert part.split_sizes == {"train": 2, "val": 1, "test": 1}
    assert part.protocol["images"] == "train 2 of 3, val 1 of 1, test 1 of 2: the others are not there"
    (folder / "d.jpg").unlink()
    with pytest.raises(DataError, match="The split val of flickr8k is empty"):
        build(root, partial=True)


def kaggle(tmp_path: Path, rows: list[str], names: list[str]) -> Path:
    draw(tmp_path / "flickr8k/Images", names)
    write(tmp_path / "flickr8k/captions.txt", ["image,caption", *rows])
    return tmp_path


def test_a_table_without_lists_is_split_by_hash(tmp_path: Path) -> None:
    names = [f"p{number}.jpg" for number in range(80)]
    rows = [row for name in names for row in (f'{name},"A cat, asleep ."', f'{name},""" A cat """')]
    dataset = build(kaggle(tmp_path, rows, names))

    def position(name: str) -> float:
        return int(sha256(name.encode()).hexdigest()[:16], 16) / 16**16

    assert set(dataset.splits["test"].ids) == {f"p{n}" for n in range(80) if position(f"test/p{n}") < 0.125}
    assert sum(dataset.info.split_sizes.values()) == 80
    assert dataset.splits["train"].target(0) == ["A cat, asleep .", '" A cat "']
    assert dataset.info.protocol["roles"]["test"] == "0.125 of all by hash"
    (tmp_path / "flickr8k/Images/p3.jpg").unlink()
    with pytest.raises(DataError, match=r"captions\.txt: names 80 images, but 1 of them .* p3\.jpg; .*`partial: true`"):
        build(tmp_path)
    assert build(tmp_path, partial=True).info.protocol["images"] == "all 79 of 80: the others are not there"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("p1.jpg,A cat, asleep .", r"captions\.txt:3: expected 2 columns as in the header, but got 3; put a caption"),
        ("p1.jpg,   ", r"captions\.txt:3: p1\.jpg: expected a caption, but got '   ', nothing but spaces"),
        ('p1.jpg,"A cat', r"captions\.txt:\d: not valid CSV \(unexpected end of data\)"),
        ("../p1.jpg,A cat", r"captions\.txt:3: expected a file below the folder .* got '\.\./p1\.jpg'"),
        (f"p1.jpg,{'x' * 140_000}", r"captions\.txt:3: not valid CSV \(field larger than"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        build(kaggle(tmp_path, ["p0.jpg,A cat", row], ["p0.jpg", "p1.jpg"]))


def test_a_table_needs_its_header(tmp_path: Path) -> None:
    kaggle(tmp_path, [], ["p0.jpg"])
    path = tmp_path / "flickr8k/captions.txt"
    write(path, ["p0.jpg,A cat"])
    with pytest.raises(DataError, match=r"captions\.txt:1: expected a header with the columns image, caption, but got"):
        build(tmp_path)
    write(path, "")
    with pytest.raises(DataError, match=r"captions\.txt: expected a table .* but it is empty"):
        build(tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.jpg A dog runs", r"token\.txt:13: expected `name\.jpg#0<TAB>caption`, but got 'a\.jpg A dog runs'"),
        ("a.jpg#x\tA dog", r"token\.txt:13: expected `name\.jpg#0<TAB>caption`"),
        ("a.jpg#1\tA dog", r"token\.txt:13: expected each number of an image once, but line 2 has a\.jpg#1 already"),
        ("a.jpg#2\t \t ", r"token\.txt:13: a\.jpg: expected a caption, but got .*, nothing but spaces"),
        ("z.jpg#0\tA dog", r"token\.txt: has captions of z\.jpg, but there is no such image"),
    ],
)
def test_what_is_wrong_in_a_token_file_is_named(root: Path, line: str, words: str) -> None:
    write(root / "flickr8k/Flickr8k_text/Flickr8k.token.txt", [*tokens(NAMES), line])
    with pytest.raises(DataError, match=words):
        build(root)


@pytest.mark.parametrize(
    ("part", "names", "words"),
    [
        ("train", ["a.jpg", "b.jpg", "a.jpg"], r"trainImages\.txt:3: line 1 has a\.jpg already"),
        ("test", ["e.jpg", "a.jpg"], r"a\.jpg: named for test, but train has it already"),
        ("dev", ["/etc/d.jpg"], r"devImages\.txt:1: expected a file below the folder"),
        ("dev", [], "The split val of flickr8k is empty"),
    ],
)
def test_what_is_wrong_in_a_list_is_named(root: Path, part: str, names: list[str], words: str) -> None:
    write(root / f"flickr8k/Flickr8k_text/Flickr_8k.{part}Images.txt", names)
    with pytest.raises(DataError, match=words):
        build(root)


def test_an_image_without_captions_is_named(root: Path) -> None:
    write(root / "flickr8k/Flickr8k_text/Flickr8k.token.txt", tokens(NAMES[:-2]))
    words = r"token\.txt: expected one caption or more of f\.jpg, which is named for test, .* none \(and 1 more\)"
    with pytest.raises(DataError, match=words):
        build(root)


def test_bytes_that_are_no_utf8_are_named(root: Path) -> None:
    path = root / "flickr8k/Flickr8k_text/Flickr8k.token.txt"
    path.write_bytes(path.read_bytes() + b"a.jpg#2\tA caf\xe9\n")
    with pytest.raises(DataError, match=r"token\.txt:13: expected UTF-8 text .*save the file as UTF-8"):
        build(root)


def test_what_is_missing_is_named(root: Path) -> None:
    folder = root / "flickr8k"
    (folder / "Flickr8k_text/Flickr_8k.devImages.txt").unlink()
    with pytest.raises(DataError, match=r"flickr8k is not there: expected .*devImages\.txt"):
        build(root)
    (folder / "Flickr8k_text/Flickr8k.token.txt").unlink()
    with pytest.raises(DataError, match=r"expected .*Flickr8k\.token\.txt.*cvbench data fetch flickr8k"):
        build(root)
    shutil.rmtree(folder / "Flicker8k_Dataset")
    with pytest.raises(DataError, match=r"expected .*Images, but .*holds Flickr8k_text"):
        build(root)
    with pytest.raises(DataError, match=r"data root .* does not exist"):
        build(root / "nowhere")
    assert all(sum_.startswith("md5:") and len(sum_) == 36 for sum_ in FILES.values())


def test_the_pack_equals_a_plain_reading(shared_data: Path) -> None:
    dataset = build(shared_data)
    assert dataset.info.split_sizes == {"train": 244, "val": 35, "test": 37}
    with open(shared_data / "flickr8k/captions.txt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for role, part in (("train", "train"), ("val", "dev"), ("test", "test")):
        split = dataset.splits[role]
        names = (shared_data / f"flickr8k/Flickr8k_text/Flickr_8k.{part}Images.txt").read_text().split()
        assert [f"{name}.jpg" for name in split.ids] == names
        for index, name in enumerate(names):
            assert split.target(index) == [row["caption"].strip() for row in rows if row["image"] == name]


def test_the_pack_is_sound_and_can_be_looked_at(shared_data: Path, tmp_path: Path) -> None:
    dataset = build(shared_data)
    found = verify(dataset)
    assert found.ok, str(found)
    assert preview(dataset, "test", 2, tmp_path / "p.png").stat().st_size > 20_000


def test_all_official_captions_with_the_images_of_the_pack(shared_data: Path, tmp_path: Path) -> None:
    """The official files name 8,000 images in splits, 91 besides, and one that never was; 321 of them are here."""
    texts = shared_data / "metric_refs/flickr8k_expert"
    shutil.copytree(texts, tmp_path / "flickr8k/Flickr8k_text")
    (tmp_path / "flickr8k/Images").symlink_to(shared_data / "flickr8k/Images")
    with pytest.raises(DataError, match=r"names 6,000 images, but 5,756 of them are not in"):
        build(tmp_path)
    info = build(tmp_path, partial=True).info
    assert info.split_sizes == {"train": 244, "val": 35, "test": 37}
    assert info.protocol["images"].startswith("train 244 of 6000, val 35 of 1000, test 37 of 1000")
    for path in (tmp_path / "flickr8k/Flickr8k_text").glob("*Images.txt"):
        path.unlink()
    assert build(tmp_path, partial=True).info.protocol["images"].startswith("all 321 of 8091")

"""Pascal VOC detection: the real pack, tiny fake copies in the official layout, and every way to break an XML."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from cvbench.data.base import DataError
from cvbench.data.verify import verify
from cvbench.data.voc import CLASSES, build
from cvbench.data.voc_xml import read_voc_xml

PERSON = """<object><name>person</name><pose>Left</pose><difficult>1</difficult>
  <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>2</ymax></bndbox>
  <part><name>head</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>6</xmax><ymax>6</ymax></bndbox></part></object>"""
# As VOC2011 has some: no `difficult`, fractions, other order of the corners' names.
DOG = """<object><name>dog</name>
  <bndbox><xmax>20.5</xmax><xmin>10.25</xmin><ymax>20</ymax><ymin>3</ymin></bndbox></object>"""


def xml(*objects: str, size: str = "<size><width>30</width><height>20</height><depth>3</depth></size>") -> str:
    return f"<annotation><filename>x.jpg</filename>{size}{''.join(objects)}</annotation>"


def fake(root: Path, year: int, lists: dict[str, list[str]]) -> Path:
    folder = root / f"VOCdevkit/VOC{year}"
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, stems in lists.items():
        (folder / f"ImageSets/Main/{name}.txt").write_text("\n".join(stems) + "\n")
        for stem in stems:
            Image.new("RGB", (30, 20)).save(folder / f"JPEGImages/{stem}.jpg")
            (folder / f"Annotations/{stem}.xml").write_text(xml(PERSON, DOG))
    return folder


@pytest.fixture
def annotation(tmp_path: Path) -> Path:
    return tmp_path / "x.xml"


def test_boxes_are_those_of_the_development_kit(annotation: Path) -> None:
    annotation.write_text(xml(PERSON, DOG))
    boxes, size = read_voc_xml(annotation, CLASSES)
    assert size == (20, 30)
    assert boxes.labels.tolist() == [CLASSES.index("person"), CLASSES.index("dog")]
    # Pixels 1..30 and 2..2 are in: the kit's width is xmax - xmin + 1. A `part` is no thing of its own.
    assert boxes.xywh.tolist() == [[0, 1, 30, 1], [9.25, 2, 11.25, 18]]
    assert boxes.difficult.tolist() == [True, False]
    assert boxes.area.tolist() == [30, 202.5]


def test_overlaps_are_those_of_the_development_kit() -> None:
    """VOCevaldet.m: bi = intersection of 1-based corners, with + 1 in each side."""
    corners = np.array([[1, 1, 10, 10], [6, 3, 12, 20]], np.float64)
    low, high = np.maximum(*corners[:, :2]), np.minimum(*corners[:, 2:])
    kit = np.prod(high - low + 1) / (
        np.prod(corners[:, 2:] - corners[:, :2] + 1, axis=1).sum() - np.prod(high - low + 1)
    )
    ours = np.concatenate([corners[:, :2] - 1, corners[:, 2:]], axis=1)  # half open
    low, high = np.maximum(*ours[:, :2]), np.minimum(*ours[:, 2:])
    assert kit == np.prod(high - low) / (np.prod(ours[:, 2:] - ours[:, :2], axis=1).sum() - np.prod(high - low))


def test_the_pack_equals_a_plain_reading(shared_data: Path) -> None:
    dataset = build(shared_data, val_share=0.2)
    folder = shared_data / "VOCdevkit/VOC2012"
    official = {name: (folder / f"ImageSets/Main/{name}.txt").read_text().split() for name in ("train", "val")}
    assert list(dataset.splits["test"].ids) == [f"val/{stem}" for stem in official["val"]]
    rest = sorted([*dataset.splits["train"].ids, *dataset.splits["val"].ids])
    assert rest == sorted(f"train/{stem}" for stem in official["train"])

    def position(name: str) -> float:  # the definition of a share by hash
        return int.from_bytes(sha256(name.encode()).digest()[:8], "big") / 2**64

    assert set(dataset.splits["val"].ids) == {name for name in rest if position(name) < 0.2}
    total = 0
    for split in dataset.splits.values():
        for index, name in enumerate(split.ids):
            found = ElementTree.parse(folder / f"Annotations/{name.split('/')[1]}.xml").findall("object")
            boxes = split.target(index)
            names = [thing.findtext("name") for thing in found]
            assert [dataset.info.classes[label] for label in boxes.labels] == names
            assert boxes.difficult.sum() == sum(thing.findtext("difficult") == "1" for thing in found)
            corners = [
                [float(thing.findtext(f"bndbox/{c}")) for c in ("xmin", "ymin", "xmax", "ymax")] for thing in found
            ]
            np.testing.assert_array_equal(boxes.xyxy, np.array(corners) - [1, 1, 0, 0])
            total += len(boxes)
    assert total == 273


def test_the_pack_is_sound(shared_data: Path) -> None:
    found = verify(build(shared_data))
    assert found.ok, str(found)
    assert found.counts["test"] == 50
    assert not found.remarks


def test_2007_has_official_roles(tmp_path: Path) -> None:
    fake(tmp_path, 2007, {"train": ["000001", "000002"], "val": ["000003"], "test": ["000004"]})
    dataset = build(tmp_path, year=2007)
    ids = {role: list(split.ids) for role, split in dataset.splits.items()}
    assert ids == {"train": ["train/000001", "train/000002"], "val": ["val/000003"], "test": ["test/000004"]}
    assert dataset.info.protocol["roles"]["test"] == "official test"
    assert dataset.info.num_classes == 20
    assert "background" not in dataset.info.classes


def test_trainval_and_both_years(tmp_path: Path) -> None:
    names = [f"{number:06d}" for number in range(60)]
    fake(tmp_path, 2007, {"train": names[:20], "val": names[20:40], "test": names[40:42]})
    dataset = build(tmp_path, year=2007, train_set="trainval", val_share=0.3)
    assert dataset.info.split_sizes["train"] + dataset.info.split_sizes["val"] == 40
    alone = set(dataset.splits["val"].ids)
    fake(
        tmp_path,
        2012,
        {"train": [f"2008_{name}" for name in names[:10]], "val": [f"2009_{name}" for name in names[:5]]},
    )
    both = build(tmp_path, year=2007, train_set="07+12", val_share=0.3)
    assert both.info.split_sizes["train"] + both.info.split_sizes["val"] == 55
    assert both.info.split_sizes["test"] == 2
    assert {name for name in both.splits["val"].ids if "_" not in name} == alone  # each name decides for itself
    assert both.splits["train"][0].image.shape == (20, 30, 3)
    assert both.info.revision != dataset.info.revision


def test_an_edited_annotation_is_another_revision(tmp_path: Path) -> None:
    folder = fake(tmp_path, 2007, {"train": ["a"], "val": ["b"], "test": ["c"]})
    before = build(tmp_path, year=2007).info.revision
    (folder / "Annotations/c.xml").write_text(xml(DOG))
    assert build(tmp_path, year=2007).info.revision != before


def test_an_image_without_things_stays_in(annotation: Path) -> None:
    annotation.write_text(xml(size=""))
    boxes, size = read_voc_xml(annotation, CLASSES)
    assert len(boxes) == 0
    assert size == (0, 0)


BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def cow(*corners: object, name: str = "cow") -> str:
    return xml(f"<object><name>{name}</name>{BOX.format(*corners)}</object>")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (xml(PERSON)[:200], "not valid XML, cut off or damaged"),
        ("", "not valid XML"),
        ("<a/>", "expected VOC's <annotation>, but got <a>"),
        (cow(1, 1, 5, 5, name="persn"), "object 1: expected a class of VOC.* but got 'persn'; did you mean 'person'"),
        (cow(9, 1, 5, 5), "object 1: expected xmin <= xmax and ymin <= ymax, but got xmin 9, ymin 1, xmax 5, ymax 5"),
        (cow(1, 9, 5, 5), "ymin 9, xmax 5, ymax 5; swap them"),
        (cow("nan", 1, 5, 5), r"object 1 \(cow\): expected a number as <xmin>, but got 'nan'"),
        (cow(1, 1, 5, "five"), "expected a number as <ymax>, but got 'five'"),
        (cow(31, 1, 40, 5), r"object 1 \(cow\): expected a box that touches its image of 30x20 .* got .* 30, 0, 10, 5"),
        (xml("<object><name>cow</name></object>"), r"object 1 \(cow\): expected a <bndbox>, but there is none"),
        (xml("<object><bndbox/></object>"), "object 1: expected a class of VOC as its <name>, but got ''"),
        (xml(PERSON.replace("<difficult>1", "<difficult>x")), "expected a number as <difficult>, but got 'x'"),
        (xml(size="<size><width>wide</width></size>"), "expected a number as <width>, but got 'wide'"),
    ],
)
def test_what_is_wrong_in_an_annotation_is_named(annotation: Path, text: str, words: str) -> None:
    annotation.write_text(text)
    with pytest.raises(DataError, match=rf"x\.xml: .*{words}"):
        read_voc_xml(annotation, CLASSES)


def test_a_box_by_a_pixel_outside_is_kept(annotation: Path) -> None:
    annotation.write_text(cow(0, 1, 31, 20))
    assert read_voc_xml(annotation, CLASSES)[0].xywh.tolist() == [[-1, 0, 32, 20]]


BOMB = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("kind", [BOMB, '<!DOCTYPE annotation SYSTEM "file:///etc/passwd">', "<!DOCTYPE annotation>"])
def test_document_types_are_refused_in_any_encoding(annotation: Path, encoding: str, kind: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    annotation.write_bytes((head + kind + cow(1, 1, 5, 5, name="&c;" if kind == BOMB else "cow")).encode(encoding))
    with pytest.raises(DataError, match=r"x\.xml: expected plain XML, but it has a <!DOCTYPE>"):
        read_voc_xml(annotation, CLASSES)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"voc is not there.*VOC2007.*VOCtest"):
        build(tmp_path, year=2007)
    folder = fake(tmp_path, 2007, {"train": ["a"], "val": ["b"], "test": ["c"]})
    (folder / "Annotations/b.xml").unlink()
    with pytest.raises(DataError, match=r"Annotations/b\.xml: no such file"):
        build(tmp_path, year=2007)
    (folder / "JPEGImages/a.jpg").unlink()
    with pytest.raises(DataError, match=r"Main/train\.txt: names the sample a, but its image is missing"):
        build(tmp_path, year=2007)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"year": 2009}, "`year` of voc to be 2012 or 2007, but got 2009"),
        ({"train_set": "trainval"}, "for 2007 trainval or 07.12, but got 'trainval' for 2012"),
        ({"year": 2007, "train_set": "all"}, "but got 'all' for 2007"),
        ({"val_share": 1.0}, "`val_share` of voc to be between 0 and 1, but got 1.0"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        build(tmp_path, **options)  # type: ignore[arg-type]

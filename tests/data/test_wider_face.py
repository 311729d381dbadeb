"""WIDER FACE on tiny fake copies in the official layout (the real images are not at hand)."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cvbench.data.base import DataError
from cvbench.data.verify import verify
from cvbench.data.wider_face import build

# The first entry of the official train list, an image without faces as the list has it, and odd faces.
FACES = {
    "0--Parade/0_Parade_marchingband_1_849": ["449 330 122 149 0 0 0 0 0 0"],
    "0--Parade/0_Parade_Parade_0_452": [],
    "1--Handshaking/1_Handshaking_a": ["10 20 30 40 0 0 0 1 0 0", "5 5 0 7 2 0 0 0 2 1", "0 0 8 9 2 1 1 0 2 1 "],
}


def text(faces: dict[str, list[str]]) -> str:
    lines = []
    for name, rows in faces.items():
        lines += [f"{name}.jpg", str(len(rows)), *(rows or ["0 0 0 0 0 0 0 0 0 0 "])]
    return "\n".join(lines) + "\n"


def fake(root: Path, part: str, faces: dict[str, list[str]]) -> Path:
    path = root / f"wider_face/wider_face_split/wider_face_{part}_bbx_gt.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(faces))
    for name in faces:
        image = root / f"wider_face/WIDER_{part}/images/{name}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1024, 768)).save(image)
    return path


@pytest.fixture
def val(tmp_path: Path) -> Path:
    return fake(tmp_path, "val", FACES)


def test_official_val_plays_test_and_faces_are_read(tmp_path: Path, val: Path) -> None:
    fake(tmp_path, "train", {f"2--Demonstration/{number}": ["1 1 9 9 0 0 0 0 0 0"] for number in range(40)})
    dataset = build(tmp_path, val_share=0.3)
    test = dataset.splits["test"]
    assert list(test.ids) == [f"val/{name}" for name in FACES]
    assert dataset.info.split_sizes["train"] + dataset.info.split_sizes["val"] == 40
    assert dataset.info.classes == ("face",)
    assert test.target(0).xywh.tolist() == [[449, 330, 122, 149]]
    assert len(test.target(1)) == 0
    odd = test.target(2)
    assert odd.xywh.tolist() == [[10, 20, 30, 40], [5, 5, 0, 7], [0, 0, 8, 9]]
    assert odd.difficult.tolist() == [True, True, False]  # invalid; of no width; merely hidden and blurred
    assert odd.labels.tolist() == [0, 0, 0]
    assert "invalid" in dataset.info.protocol["attributes"]
    found = verify(dataset)
    assert found.ok, str(found)
    assert found.remarks == (
        "boxes of no area, which are not learnt: 1, such as one in test: val/1--Handshaking/1_Handshaking_a",
    )


def test_val_alone_is_for_evaluation(tmp_path: Path, val: Path) -> None:
    assert build(tmp_path).info.split_sizes == {"test": 3}


def test_the_line_of_zeros_may_be_missing(tmp_path: Path, val: Path) -> None:
    val.write_text(val.read_text().replace("\n0 0 0 0 0 0 0 0 0 0 ", ""))
    assert [len(build(tmp_path).splits["test"].target(index)) for index in range(3)] == [1, 0, 3]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("449 330 122 149", "449 330 -122 149", "1_849.jpg: face 1: expected a width .*but got .* 449, 330, -122, 149"),
        ("449 330 122 149 0", "449 330 122 149", "1_849.jpg: expected ten whole numbers for a face, but got '449 330"),
        ("449 330", "449 x", "expected ten whole numbers"),
        (".jpg\n1\n", ".jpg\n", "an image's name and then the number of its faces, but got '0--Parade/0_P.* and '449"),
        (".jpg\n3\n", ".jpg\n4\n", "1_Handshaking_a.jpg: expected 4 faces, but the file ends after 3"),
        ("0--Parade/0_Parade_m", "../../0_Parade_m", r"expected a file below .* but got '\.\./\.\./0_Parade"),
        ("0_Parade_march", "0_Parade_starch", "names the image 0--Parade/0_Parade_starch.*is not there"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, val: Path, old: str, new: str, words: str) -> None:
    assert old in val.read_text()
    val.write_text(val.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=rf"wider_face_val_bbx_gt\.txt: .*{words}"):
        build(tmp_path)


def test_a_list_that_is_cut_off(tmp_path: Path, val: Path) -> None:
    val.write_text("\n".join(val.read_text().splitlines()[:-3]))
    with pytest.raises(DataError, match="expected 3 faces, but the file ends after 0"):
        build(tmp_path)
    val.write_text("\n".join(val.read_text().splitlines()[:-1]))
    with pytest.raises(DataError, match=r"1_Handshaking_a\.jpg' and 'the end'"):
        build(tmp_path)


def test_what_is_missing_is_named(tmp_path: Path, val: Path) -> None:
    with pytest.raises(DataError, match=r"wider_face is not there.*WIDER_val\.zip"):
        build(tmp_path / "wider_face")
    (tmp_path / "wider_face/WIDER_train").mkdir()
    with pytest.raises(DataError, match="wider_face_train_bbx_gt"):
        build(tmp_path)
    with pytest.raises(DataError, match="`val_share` of wider_face to be between 0 and 1, but got 2"):
        build(tmp_path, val_share=2)

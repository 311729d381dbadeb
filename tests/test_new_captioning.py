"""`cvbench new` for captioning: what it finds in folders as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvbench.data.base import DataError
from cvbench.data.folder_captions import build
from cvbench.own_data.captioning import OWN
from tests.data.captioned import coco_table, draw, write

NAMES = [f"p{number}.jpg" for number in range(40)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw(tmp_path / "pets/images", NAMES)
    return tmp_path / "pets"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("captions.csv", ["image,caption", *(f"{name},A dog" for name in NAMES)]),
        ("captions.json", {name: ["A dog"] for name in NAMES}),
        ("annotations/captions.json", coco_table({name: ["A dog"] for name in NAMES})),
    ],
)
def test_each_kind_of_file_is_found_and_can_be_built(folder: Path, file: str, content: object) -> None:
    write(folder / file, content)
    layout = OWN.look(folder)
    assert (layout.dataset, layout.options, layout.remarks) == ("folder_captions", {"path": str(folder)}, ())
    assert OWN.look(folder / "images") == layout  # the folder of the images will do too
    assert sum(build(Path(), **layout.options).info.split_sizes.values()) == 40


def test_a_folder_without_captions_says_what_was_expected(folder: Path) -> None:
    with pytest.raises(DataError, match=r"expected captions\.csv with the columns image and caption, .* holds images"):
        OWN.look(folder)


def test_the_floor_and_three_kinds_of_models_are_proposed() -> None:
    names = [line.removeprefix("- ").split()[0] for line in OWN.models((224, 224))]
    assert names == ["prior", "show_and_tell", "show_attend_tell", "transformer_captioner"]

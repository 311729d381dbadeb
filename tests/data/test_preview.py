"""Contact sheets: labels are drawn where and as they should be, and texts fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cvbench.data import streets
from cvbench.data.base import VOID, DataError, Dataset, DatasetInfo, Sample, Split
from cvbench.data.boxes import Boxes
from cvbench.data.drawing import (
    PAPER,
    boxed,
    colourise,
    framed,
    legend,
    mask_pair,
    palette,
    scaled,
    sheet,
    wrapped,
    written,
)  # fmt: skip
from cvbench.data.frames import Corners, common, name_places
from cvbench.data.preview import preview


class Listed(Split):
    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples
        self.ids = [f"test/{index}" for index in range(len(samples))]

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def dataset(samples: list[Sample], classes: tuple[str, ...] = ("cat", "dog"), **options: Any) -> Dataset:
    info = DatasetInfo("toy", "any", {}, "0" * 12, classes, {"test": len(samples)}, "none", True, **options)
    return Dataset(info, {"test": Listed(samples)})


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def has(image: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((image == np.array(colour, np.uint8)).all(-1).any())


def test_colourise_by_hand() -> None:
    mask = np.array([[0, 1], [VOID, 7]], np.uint8)
    drawn = colourise(mask, [(10, 20, 30), (200, 100, 0)])
    assert drawn.dtype == np.uint8
    assert drawn[0].tolist() == [[10, 20, 30], [200, 100, 0]]
    assert {tuple(colour) for colour in drawn[1].tolist()} <= {(0, 0, 0), (86, 86, 86)}


def test_void_is_hatched_even_where_256_classes_have_a_colour() -> None:
    drawn = colourise(np.full((8, 8), VOID, np.uint8), [(1, 2, 3)] * 256)
    assert not has(drawn, (1, 2, 3))
    assert has(drawn, (0, 0, 0))
    assert has(drawn, (86, 86, 86))
    assert has(colourise(np.full((8, 8), VOID, np.uint8), [(1, 2, 3)] * 256, void=None), (1, 2, 3))


@pytest.mark.parametrize("count", [0, 1, 12, 21, 150])
def test_palette_gives_colours_that_differ_and_are_never_black(count: int) -> None:
    colours = palette(count)
    assert len(set(colours)) == count
    assert all(0 <= value <= 255 for colour in colours for value in colour)
    assert all(max(colour) > 120 for colour in colours)


def test_wrapped_lines_fit_and_lose_no_word() -> None:
    text = "a crossroads with four vehicles, no pedestrians and one cyclist"
    lines = wrapped(text, 120)
    assert " ".join(lines) == text
    assert len(lines) > 2
    assert wrapped("Donaudampfschifffahrtsgesellschaft", 80)[-1].endswith("…")


@pytest.mark.parametrize("width", [60, 150, 400])
def test_texts_and_legends_stay_off_their_right_edge(width: int) -> None:
    text = np.asarray(written(["supercalifragilisticexpialidocious and more of the same, again and again"], width))
    names = ["road marking", "a class of a remarkably long and winding name", "sky"]
    swatches = np.asarray(legend(names, palette(3), width, void=True))
    for drawn in (text, swatches):
        assert drawn.shape[1] == width
        assert (drawn[:, -1] == PAPER).all()
        assert (drawn[-1] == PAPER).all()


def test_the_legend_holds_each_colour_and_void() -> None:
    drawn = np.asarray(legend(["sky", "road"], [(1, 2, 3), (4, 5, 6)], 300, void=True))
    assert has(drawn, (1, 2, 3))
    assert has(drawn, (4, 5, 6))
    assert has(drawn, (86, 86, 86))
    assert not has(np.asarray(legend(["sky"], [(1, 2, 3)], 300)), (86, 86, 86))


def test_small_images_grow_by_whole_pixels_and_large_ones_shrink() -> None:
    small = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    assert scaled(small, 42).size == (40, 30)
    assert (np.asarray(scaled(small, 42))[::10, ::10, 0] == small[..., 0]).all()
    assert scaled(np.zeros((300, 600, 3), np.uint8), 320).size == (320, 160)


def test_frames_lie_on_the_borders_of_their_boxes() -> None:
    picture = Image.new("RGB", (60, 60))
    drawn = np.asarray(framed(picture, np.array([[10.0, 20.0, 50.0, 40.0]]), ["dog"], [(250, 0, 0)]))
    red = (drawn == (250, 0, 0)).all(-1)
    assert red[30, [10, 49]].all()
    assert not red[30, [9, 50, 30]].any()
    assert red[39, 10:50].all()
    assert not red[40].any()
    assert not np.asarray(picture).any()  # a copy


def test_names_hide_neither_each_other_nor_the_frames_at_the_border() -> None:
    # Two boxes of one place, each the whole picture: nothing fits above or below, so both names go within.
    boxes = [Corners(0, 0, 200, 100), Corners(0, 0, 200, 100)]
    first, second = name_places(boxes, [(40, 15), (40, 15)], (200, 100))
    assert common(first, second) == 0
    for place in (first, second):
        assert place.left >= 2
        assert place.top >= 2
        assert place.right <= 198
        assert place.bottom <= 98
    drawn = np.asarray(
        framed(Image.new("RGB", (200, 100)), np.array([[0.0, 0.0, 200.0, 100.0]]), ["dog"], [(250, 0, 0)])
    )
    assert (drawn[[0, 1, 98, 99]] == (250, 0, 0)).all()
    assert (drawn[:, [0, 1, 198, 199]] == (250, 0, 0)).all()


def test_a_name_stands_above_its_box_and_within_the_picture() -> None:
    assert name_places([Corners(50, 40, 80, 60)], [(20, 15)], (100, 100)) == [(50, 25, 70, 40)]
    assert name_places([Corners(90, 40, 100, 60)], [(20, 15)], (100, 100)) == [(80, 25, 100, 40)]
    assert name_places([Corners(50, 5, 80, 20)], [(20, 15)], (100, 100)) == [(50, 20, 70, 35)]


def test_boxes_beyond_the_border_are_drawn_at_it() -> None:
    drawn = np.asarray(framed(Image.new("RGB", (60, 60)), np.array([[-20.0, 30.0, 99.0, 50.0]]), ["x"], [(250, 0, 0)]))
    assert (drawn[30:50, [0, 59]] == (250, 0, 0)).all()


def test_crowds_are_dashed_and_difficult_things_dotted() -> None:
    def runs(**kind: list[int]) -> set[int]:
        """How long the stretches of one colour are on the box's lower line, its ends left out."""
        boxes = Boxes.of([[10, 20, 60, 30]], [0], **kind)
        drawn = np.asarray(boxed(np.zeros((80, 100, 3), np.uint8), boxes, ["dog"], [(250, 0, 0)], 100))
        changes = np.flatnonzero(np.diff((drawn[49, 10:67] == PAPER).all(-1)))
        return set(np.diff(changes).tolist())

    assert runs() == set()
    assert runs(crowd=[1]) == {10}
    assert runs(difficult=[1]) == {3}


def test_boxes_without_things_and_of_no_class_can_be_drawn(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    samples = [Sample(image, Boxes.none()), Sample(image, Boxes.of([[1, 1, 0, 5], [3, 3, 30, 30]], [1, 9]))]
    assert preview(dataset(samples), "test", 9, tmp_path / "sheet.png").exists()


def test_a_sheet_holds_every_tile_and_is_no_wider_than_asked() -> None:
    colours = palette(7)
    paper = sheet([Image.new("RGB", (100, 40), colour) for colour in colours], width=350, title="seven")
    assert paper.width <= 350
    assert all((np.asarray(paper) == colour).all(-1).sum() == 4000 for colour in colours)


def test_a_mask_pair_shows_both_equally_large() -> None:
    pair = np.asarray(mask_pair(np.full((30, 40, 3), 9, np.uint8), np.ones((30, 40), np.uint8), [(0, 0, 0), (7, 8, 9)]))
    assert pair.shape == (240, 640, 3)
    assert (pair[:, :320] == 9).all()
    assert (pair[:, 320:] == (7, 8, 9)).all()


def test_masks_are_drawn_with_a_legend_of_what_is_there(tmp_path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:10] = VOID
    sample = Sample(np.full((48, 64, 3), 128, np.uint8), mask)
    colours = ((200, 10, 10), (10, 200, 10))
    drawn = pixels(preview(dataset([sample], colours=colours), "test", 1, tmp_path / "new" / "sheet.png"))
    assert has(drawn, colours[0])
    legend_rows = drawn[-30:]
    assert has(legend_rows, colours[0])
    assert has(legend_rows, (86, 86, 86))
    assert not has(drawn, colours[1])


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection", "captioning"])
def test_every_task_of_streets_is_drawn(task: str, tmp_path: Path) -> None:
    built = streets.build(Path("unused"), task=task, height=48, width=64, train=12, val=1, test=1)
    out = preview(built, "train", 5, tmp_path / "sheet.png", seed=3)
    assert pixels(out).std() > 10
    again = preview(built, "train", 5, tmp_path / "again.png", seed=3)
    other = preview(built, "train", 5, tmp_path / "other.png", seed=4)
    assert out.read_bytes() == again.read_bytes()
    assert out.read_bytes() != other.read_bytes()


def test_grey_images_numpy_labels_and_wrong_labels_can_be_drawn(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    samples = [Sample(image, 1), Sample(image, np.int64(0)), Sample(image, 5)]
    assert preview(dataset(samples), "test", 9, tmp_path / "sheet.png").exists()


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    with pytest.raises(DataError, match="expected a split of test, but got 'val'"):
        preview(dataset([Sample(image, 0)]), "val", 1, tmp_path / "x.png")
    with pytest.raises(DataError, match="empty"):
        preview(dataset([]), "test", 1, tmp_path / "x.png")
    with pytest.raises(ValueError, match="at least 1"):
        preview(dataset([Sample(image, 0)]), "test", 0, tmp_path / "x.png")
    with pytest.raises(DataError, match="float"):
        preview(dataset([Sample(image, 0.5)]), "test", 1, tmp_path / "x.png")

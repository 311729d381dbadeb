"""`Boxes`, what is wrong with one, and splits of image files with boxes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvbench.data.base import ArraySplit, DataError, Sample, Split
from cvbench.data.box_checks import faults, overhang
from cvbench.data.box_files import BoxColumns, BoxFiles, box_dataset, contained, stem
from cvbench.data.boxes import Boxes

INSIDE = [1.0, 2.0, 3.0, 4.0]
SIZE = (10, 20)  # height, width


def test_rows_and_joined_keep_every_column() -> None:
    one = Boxes.of([INSIDE, [0, 0, 1, 1]], [0, 1], area=[5, 1], crowd=[1, 0], difficult=[0, 1])
    both = Boxes.joined([one, Boxes.none(), one.rows(slice(1, 2))])
    assert both.labels.tolist() == [0, 1, 1]
    assert both.area.tolist() == [5, 1, 1]
    assert both.crowd.tolist() == [True, False, False]
    assert both.difficult.tolist() == [False, True, True]
    assert both.xywh.tolist() == [INSIDE, [0, 0, 1, 1], [0, 0, 1, 1]]
    assert one.rows(np.array([False, True])).labels.tolist() == [1]
    assert len(Boxes.joined([])) == 0


def test_between_takes_corners() -> None:
    boxes = Boxes.between([[1, 2, 4, 6]], [3])
    assert boxes.xywh.tolist() == [INSIDE]
    assert boxes.area.tolist() == [12]


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([1, 2, -3, 4], "a width and a height of 0 or more, but got .* 1, 2, -3, 4; order its swapped corners"),
        ([np.nan, 2, 3, 4], "finite numbers, but got .* nan, 2, 3, 4"),
        ([1, 2, np.inf, 4], "finite numbers, but got .* 1, 2, inf, 4"),
        ([-np.inf, 2, np.inf, 4], "finite numbers"),
        ([20, 0, 5, 5], r"touches its image of 20x10 \(width x height\), but got .* 20, 0, 5, 5"),
        ([-5, 0, 5, 5], "touches its image"),
        ([0, 10, 5, 5], "touches its image"),
        ([0, -5, 5, 5], "touches its image"),
        ([21, 0, 0, 5], "touches its image"),
    ],
)
def test_what_cannot_be_meant_is_found(box: list[float], words: str) -> None:
    [(row, rule)] = faults(np.array([INSIDE, box]), np.array(SIZE))
    assert row == 1
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(rule)


@pytest.mark.parametrize(
    "box", [[19, 9, 5, 5], [-1, -1, 2, 2], [-5, -5, 99, 99], [5, 5, 0, 0], [0, 0, 0, 5], [20, 5, 0, 1], [5, 10, 3, 0]]
)
def test_partly_outside_or_without_area_is_allowed(box: list[float]) -> None:
    assert faults(np.array([box], np.float64), np.array(SIZE)) == []


def test_without_a_size_only_what_needs_none_is_checked() -> None:
    sizes = np.array([[0, 0], SIZE])
    assert [row for row, _ in faults(np.array([[50.0, 0, 5, 5], [50, 0, 5, 5]]), sizes)] == [1]


def test_overhang_is_that_of_the_worst_side() -> None:
    boxes = np.array([INSIDE, [-2, 1, 3, 3], [18, 8, 3, 5], [0, 0, 20, 10]])
    assert overhang(boxes, SIZE).tolist() == [0, 2, 3, 0]


@pytest.mark.parametrize("name", ["../a.jpg", "a/../../b.jpg", "/etc/a.jpg", "C:\\a.jpg", "..\\a.jpg", "\\a.jpg", ""])
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"list\.txt: expected a file below the folder of the images, but got"):
        contained(name, "list.txt")


def test_other_names_are_kept() -> None:
    assert contained("a/b..c.jpg", "x") == "a/b..c.jpg"
    assert contained("a\\b.jpg", "x") == "a/b.jpg"
    assert stem("train2017/a.b.jpg") == "train2017/a.b"


@pytest.fixture
def split(tmp_path: Path) -> BoxFiles:
    """Images of 20x10 with 2, 0 and 1 boxes, the second of unknown size."""
    for name in "abc":
        Image.new("RGB", (20, 10)).save(tmp_path / f"{name}.png")
    boxes = [Boxes.of([INSIDE, [0, 0, 2, 2]], [1, 0], crowd=[0, 1]), Boxes.none(), Boxes.of([[5, 5, 5, 5]], [1])]
    return BoxFiles(tmp_path, ["a.png", "b.png", "c.png"], ["a", "b", "c"], BoxColumns.of(boxes, [SIZE, (0, 0), SIZE]))


def test_each_image_has_its_boxes(split: BoxFiles) -> None:
    assert [target.labels.tolist() for _, target in split] == [[1, 0], [], [1]]
    assert split[-1].target.xywh.tolist() == [[5, 5, 5, 5]]
    assert split[0].image.shape == (10, 20, 3)
    part = split.where(np.array([False, True, True]))
    assert part.ids == ("b", "c")
    assert [len(part.target(index)) for index in range(2)] == [0, 1]


def test_learnt_boxes_are_counted_without_reading_and_by_every_split(split: BoxFiles, tmp_path: Path) -> None:
    assert Split.class_counts(split, 3).tolist() == [0, 2, 0]  # the crowd is not learnt
    for file in tmp_path.iterdir():
        file.unlink()
    assert split.class_counts(3).tolist() == [0, 2, 0]


def test_workers_get_arrays(split: BoxFiles) -> None:
    copy = pickle.loads(pickle.dumps(split))
    assert copy[0].target.xywh.tolist() == split[0].target.xywh.tolist()
    assert copy.ids == split.ids


def test_an_image_of_another_size_than_annotated_is_named(split: BoxFiles, tmp_path: Path) -> None:
    Image.new("RGB", (10, 20)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: expected 10x20 \(height x width\).*but got 20x10 .*EXIF"):
        split[0]
    Image.new("RGB", (40, 20)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: expected 10x20 .* but got 20x40; its boxes would be misplaced"):
        split[0]


def test_a_box_outside_is_found_when_the_size_is_first_known(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    split = BoxFiles(tmp_path, ["a.png"], ["a"], BoxColumns.of([Boxes.of([INSIDE, [30, 0, 5, 5]], [0, 0])]))
    assert len(split.target(0)) == 2
    with pytest.raises(DataError, match=r"a\.png: box 2 of 2: expected a box that touches its image of 20x10"):
        split[0]


def test_shares_become_pixels(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    columns = BoxColumns.of([Boxes.of([[0.5, 0.5, 0.25, 0.1]], [0])], shares=True)
    split = BoxFiles(tmp_path, ["a.png"], ["a"], columns)
    for target in (split.target(0), split[0].target):
        np.testing.assert_allclose(target.xywh, [[10, 5, 5, 1]])
        np.testing.assert_allclose(target.area, [5])


def test_an_image_in_two_splits_is_refused(split: BoxFiles) -> None:
    given = {"name": "toy", "classes": ["x", "y"], "protocol": {}, "revision": "", "licence": "", "remedy": "Add some."}
    assert box_dataset({"test": split}, **given).info.split_sizes == {"test": 3}
    with pytest.raises(DataError, match=r"a\.png: named for test, but train has it already"):
        box_dataset({"train": split, "test": split}, **given)
    with pytest.raises(DataError, match="split test of toy is empty"):
        box_dataset({"test": split.where(np.zeros(3, bool))}, **given)


def test_counts_of_other_targets_stay(tmp_path: Path) -> None:
    class Listed(ArraySplit):
        def __getitem__(self, index: int) -> Sample:
            return Sample(self.images[index], self.targets[index])

        def target(self, index: int) -> Boxes:
            return self.targets[index]  # type: ignore[no-any-return]

    boxes = [Boxes.of([INSIDE, [1, 1, 0, 5], INSIDE], [299, 0, 0], difficult=[0, 0, 1])]
    assert Listed(["a"], np.zeros((1, 2, 2, 3), np.uint8), boxes).class_counts(300).nonzero()[0].tolist() == [299]

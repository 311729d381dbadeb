"""`verify` finds what is wrong with a dataset, and nothing in a sound one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench.data import streets
from cvbench.data.base import VOID, ArraySplit, DataError, Dataset, DatasetInfo, Sample, Split
from cvbench.data.boxes import Boxes
from cvbench.data.verify import Report, verify


class Listed(Split):
    """Samples from a list; an exception in the list is raised when it is read."""

    def __init__(self, samples: list[Any], ids: list[str] | None = None) -> None:
        self.samples = samples
        self.ids = ids or [f"{index:03d}" for index in range(len(samples))]

    def __getitem__(self, index: int) -> Sample:
        sample = self.samples[index]
        if isinstance(sample, Exception):
            raise sample
        return sample


def image(seed: int, height: int = 4, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def report(**splits: list[Any] | Split) -> Report:
    built = {role: split if isinstance(split, Split) else Listed(split) for role, split in splits.items()}
    sizes = {role: len(split) for role, split in built.items()}
    return verify(Dataset(DatasetInfo("toy", "any", {}, "0" * 12, ("cat", "dog", "cow"), sizes, "none", True), built))


def test_a_sound_dataset_is_ok() -> None:
    found = report(train=[Sample(image(0), 0), Sample(image(1), 2)], test=[Sample(image(2), np.int64(1))])
    assert found.ok
    assert found.problems == found.duplicates == found.leaks == ()
    assert found.counts == {"train": 2, "test": 1}
    assert "OK: 0 problems" in str(found)


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection", "captioning"])
def test_streets_is_sound(task: str) -> None:
    found = verify(streets.build(Path("unused"), task=task, height=48, width=64, train=20, val=5, test=5))
    assert found.ok, str(found)
    assert not found.duplicates


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_read() -> None:
    found = report(test=[DataError("a/b.png: truncated"), Sample(image(1), 7)])
    assert not found.ok
    assert found.problems == ("test: 000: a/b.png: truncated", "test: 001: expected a label in 0..2, but got 7")
    assert found.counts == {"test": 2}


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (Sample(image(0), -1), "label in 0..2, but got -1"),
        (Sample(image(0), np.zeros((4, 5), np.uint8)), r"mask of uint8 \(4, 6\) as the image, but got uint8 \(4, 5\)"),
        (Sample(image(0), np.zeros((4, 6), np.int64)), "but got int64"),
        (Sample(image(0), np.full((4, 6), 3, np.uint8)), "in 0..2 or 255 .void., but got 3"),
        (Sample(image(0)[..., :1], 0), r"uint8 \(H, W, 3\), but got uint8 \(4, 6, 1\)"),
        (Sample(image(0).astype(np.float32), 0), "but got float32"),
        (Sample(image(0), "cat"), "but got str"),
        (Sample(image(0), []), "captions"),
        (Sample(image(0), ["A cat.", " "]), "captions that are not empty"),
        (Sample(image(0), Boxes.of([[6, 0, 2, 4]], [0])), "touches its image of 6x4 .*but got .*height 6, 0, 2, 4"),
        (Sample(image(0), Boxes.of([[3, 0, -2, 4]], [0])), "width and a height of 0 or more, but got .* 3, 0, -2, 4"),
        (Sample(image(0), Boxes.of([[3, 0, np.nan, 4]], [0])), "finite numbers, but got .* 3, 0, nan, 4"),
        (Sample(image(0), Boxes.of([[0, 0, 6, 4]], [3])), "box label in 0..2, but got 3"),
        (Sample(image(0), Boxes.of(np.zeros((2, 4)), [0])), r"expected xywh of shape \(1, 4\).*but got \(2, 4\)"),
        (Sample(image(0), Boxes.of([[0, 0, 1, 1]], [0], crowd=[0, 1])), r"crowd of shape \(1,\).*but got \(2,\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(sample: Sample, words: str) -> None:
    found = report(test=[sample])
    assert len(found.problems) == 1
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found.problems[0])


def test_void_and_every_class_are_allowed_in_a_mask() -> None:
    mask = np.full((4, 6), VOID, np.uint8)
    mask[0, :3] = (0, 1, 2)
    assert report(test=[Sample(image(0), mask)]).ok


def test_an_image_without_boxes_is_sound() -> None:
    found = report(test=[Sample(image(0), Boxes.none())])
    assert found.ok
    assert not found.remarks


def test_boxes_beyond_the_border_and_without_area_are_remarks() -> None:
    # The image is 6 wide and 4 high.
    boxes = Boxes.of([[0, 0, 6.004, 4], [-1.5, 0, 3, 4], [2, 3, 1, 1.75], [3, 1, 0, 2], [1, 1, 2, 2]], [0] * 5)
    found = report(train=[Sample(image(1), Boxes.none())], test=[Sample(image(0), boxes)])
    assert found.ok
    assert found.remarks == (
        "boxes beyond their image's border: 2, by up to 1.50 pixels in test: 000",
        "boxes of no area, which are not learnt: 1, such as one in test: 000",
    )
    assert f"remark: {found.remarks[0]}" in str(found)


def test_the_content_hash_follows_every_column_of_the_boxes() -> None:
    def sha(**columns: Any) -> str:
        given = {"xywh": [[1, 1, 2, 2]], "labels": [0], **columns}
        return report(test=[Sample(image(0), Boxes.of(given.pop("xywh"), given.pop("labels"), **given))]).content_sha256

    changes: list[dict[str, Any]] = [{}, {"xywh": [[1, 1, 2, 3]], "area": [4]}, {"labels": [1]}, {"area": [3]},
                                     {"crowd": [1]}, {"difficult": [1]}]  # fmt: skip
    assert len({sha(**change) for change in changes}) == 6


def test_empty_splits_and_repeated_ids_are_problems() -> None:
    found = report(train=[], test=Listed([Sample(image(0), 0), Sample(image(1), 0)], ["x", "x"]))
    assert found.problems == ("train: the split is empty", "test: 1 ids stand for several samples, such as x")


def test_duplicates_are_named_within_and_across_splits() -> None:
    found = report(
        train=[Sample(image(0), 0), Sample(image(1), 0), Sample(image(0), 1)],
        test=[Sample(image(1), 0), Sample(image(2), 0)],
    )
    assert found.ok  # a fact of the data, not damage
    assert found.duplicates == (("train: 000", "train: 002"), ("train: 001", "test: 000"))
    assert found.leaks == (("train: 001", "test: 000"),)
    assert "in two splits: train: 001 = test: 000" in str(found)


def test_equal_bytes_of_another_shape_are_no_duplicate() -> None:
    flat = np.zeros((2, 6, 3), np.uint8), np.zeros((6, 2, 3), np.uint8)
    assert not report(test=[Sample(pixels, 0) for pixels in flat]).duplicates


def test_the_content_hash_follows_pixels_targets_and_ids_and_not_storage() -> None:
    images, labels = np.stack([image(0), image(1)]), np.array([0, 1])
    listed = report(test=[Sample(images[0], 0), Sample(images[1], 1)])
    arrays = report(test=ArraySplit(["000", "001"], images, labels))
    numpy_labels = report(test=[Sample(images[0], np.int64(0)), Sample(images[1], np.int32(1))])
    assert listed.content_sha256 == arrays.content_sha256 == numpy_labels.content_sha256
    changed = images.copy()
    changed[1, 2, 3, 0] ^= 1
    others = [
        report(test=ArraySplit(["000", "001"], changed, labels)),
        report(test=ArraySplit(["000", "001"], images, labels[::-1])),
        report(test=ArraySplit(["000", "002"], images, labels)),
        report(test=[Sample(images[0], 0), DataError("gone")]),
        report(test=[Sample(images[0], 0)]),
    ]
    assert len({listed.content_sha256, *(other.content_sha256 for other in others)}) == 6


def test_progress_is_told_of_every_sample() -> None:
    told: list[tuple[int, int]] = []
    split = Listed([Sample(image(0), 0), DataError("gone"), Sample(image(1), 0)])
    info = DatasetInfo("toy", "any", {}, "0" * 12, ("cat",), {"test": 3}, "none", True)
    verify(Dataset(info, {"test": split}), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_camvid_as_published_is_sound(shared_data: Path) -> None:
    from cvbench.data import camvid

    found = verify(camvid.build(shared_data))
    assert found.ok, str(found)
    assert found.counts == {"train": 74, "val": 21, "test": 47}

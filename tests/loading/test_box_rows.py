"""Boxes move with their pixels: each box is painted into its image, and afterwards looked for there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cvbench.data.boxes import Boxes
from cvbench.loading.augment import Augmenter
from cvbench.loading.batches import DetectionBatch
from cvbench.loading.box_rows import BoxRows, to_disk
from cvbench.loading.geometry import DRAWS, evaluation_geometry, random_geometry, resize
from cvbench.spec import Augment, Recipe

HEIGHT, WIDTH = 96, 128


def painted(boxes: list[tuple[int, int, int, int]], height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """An image whose first channels hold one white box (x0, y0, x1, y1) each, uint8 (H, W, 3)."""
    image = np.zeros((height, width, 3), np.uint8)
    for channel, (x0, y0, x1, y1) in enumerate(boxes):
        image[y0:y1, x0:x1, channel] = 255
    return image


def extent(channel: Tensor) -> list[float]:
    """x0, y0, x1, y1 around what is at least half white, to the fraction of a pixel that its mean brightness tells."""
    rows, columns = channel.amax(dim=1), channel.amax(dim=0)
    seen_rows, seen_columns = (rows > 0.5).nonzero(), (columns > 0.5).nonzero()
    return [float(seen_columns[0]), float(seen_rows[0]), float(seen_columns[-1] + 1), float(seen_rows[-1] + 1)]


def as_boxes(corners: list[tuple[int, int, int, int]]) -> Boxes:
    return Boxes.of([(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in corners], list(range(len(corners))))


def batch_of(images: list[np.ndarray], boxes: list[Boxes], recipe: Recipe, draws: Tensor) -> DetectionBatch:
    """As a source makes it in evaluation: at the input size, with one row of draws an image."""
    resized, rows = [], []
    for image, things in zip(images, boxes, strict=True):
        size = (image.shape[0], image.shape[1])
        geometry = evaluation_geometry(*size, recipe)
        resized.append(torch.from_numpy(resize(image, geometry).copy()))
        rows.append(BoxRows.prepare(things, size, geometry, training=False))
    return BoxRows.batch(torch.stack(resized).permute(0, 3, 1, 2), rows, torch.arange(len(images)), draws)


def drawn(count: int) -> Tensor:
    return torch.rand(count, DRAWS, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("resize_to", ["stretch", "fit"])
def test_a_box_lies_on_its_pixels_at_the_input_size(resize_to: str) -> None:
    corners = [(10, 20, 70, 50), (0, 0, 12, 90), (100, 60, 128, 96)]
    recipe = Recipe(input_size=(64, 160), resize=resize_to)
    batch = batch_of([painted(corners)], [as_boxes(corners)], recipe, torch.zeros(1, 0))
    assert batch.counts.tolist() == [3]
    for channel, box in enumerate(batch.boxes):
        assert box.tolist() == pytest.approx(extent(batch.images[0, channel] / 255), abs=1.0)
    # Scale by hand: 64/96 high and 160/128 wide when stretched, both 64/96 when fitted in.
    across, down = (1.25, 2 / 3) if resize_to == "stretch" else (85 / 128, 64 / 96)
    assert batch.boxes[0].tolist() == pytest.approx([10 * across, 20 * down, 70 * across, 50 * down], abs=1e-4)
    back = torch.cat([to_disk(batch.boxes, batch.frames[0])])
    assert back.numpy() == pytest.approx(as_boxes(corners).xywh, abs=1e-4)


def test_what_is_said_of_a_fitted_image_never_lies_in_its_border() -> None:
    recipe = Recipe(input_size=(64, 160), resize="fit")
    batch = batch_of([painted([])], [as_boxes([])], recipe, torch.zeros(1, 0))
    (whole,) = to_disk(torch.tensor([[-5.0, -5.0, 500.0, 70.0]]), batch.frames[0]).tolist()
    assert whole == [0.0, 0.0, WIDTH, HEIGHT]


@pytest.mark.parametrize(
    "augment",
    [
        Augment(flip=True),
        Augment(shift=9),
        Augment(flip=True, shift=5, colour=0.0),
        Augment(crop_scale=(0.5, 1.5)),
        Augment(flip=True, crop_scale=(0.6, 1.0), crop_ratio=(0.75, 1.33)),
    ],
    ids=str,
)
def test_boxes_move_with_their_pixels(augment: Augment) -> None:
    corners = [(40, 30, 90, 60), (50, 44, 66, 70), (30, 20, 36, 80)]
    count, augmenter = 12, Augmenter(augment)
    batch = batch_of([painted(corners)] * count, [as_boxes(corners)] * count, Recipe(), drawn(count))
    moved = BoxRows.augment(batch, augmenter)
    places = moved.boxes.split(moved.counts.tolist())
    labels = moved.labels.split(moved.counts.tolist())
    if augment.crop_scale is None:
        assert moved.counts.tolist() == [3] * count
    assert int(moved.counts.sum()) > 2 * count
    for image, boxes, channels in zip(moved.images, places, labels, strict=True):
        for channel, box in zip(channels.tolist(), boxes, strict=True):
            assert box.tolist() == pytest.approx(extent(image[channel]), abs=1.01)


def test_a_turned_box_becomes_the_upright_one_around_it() -> None:
    corners = [(54, 38, 74, 58)]  # a square of 20 pixels in the middle
    draws = torch.full((1, DRAWS), 0.999999)  # the largest angle
    batch = batch_of([painted(corners)], [as_boxes(corners)], Recipe(), draws)
    moved = BoxRows.augment(batch, Augmenter(Augment(rotate=45.0)))
    half = 10 * 2**0.5
    assert moved.boxes[0].tolist() == pytest.approx([64 - half, 48 - half, 64 + half, 48 + half], abs=1e-3)
    assert moved.boxes[0].tolist() == pytest.approx(extent(moved.images[0, 0]), abs=1.5)


def test_a_crop_that_is_cut_while_decoding_takes_its_boxes_along() -> None:
    corners = [(20, 10, 110, 90), (40, 30, 60, 50)]
    image, recipe = painted(corners), Recipe(input_size=(48, 64), augment=Augment(crop_scale=(0.4, 0.9)))
    rows, pictures = [], []
    for row in drawn(8).numpy():
        geometry = random_geometry(HEIGHT, WIDTH, recipe, row)
        rows.append(BoxRows.prepare(as_boxes(corners), (HEIGHT, WIDTH), geometry, training=True))
        pictures.append(torch.from_numpy(resize(image, geometry).copy()))
    batch = BoxRows.batch(torch.stack(pictures).permute(0, 3, 1, 2), rows, torch.arange(8), torch.zeros(8, 0))
    places, labels = batch.boxes.split(batch.counts.tolist()), batch.labels.split(batch.counts.tolist())
    assert int(batch.counts.sum()) >= 12
    for image_at, boxes, channels in zip(batch.images, places, labels, strict=True):
        for channel, box in zip(channels.tolist(), boxes, strict=True):
            assert box.tolist() == pytest.approx(extent(image_at[channel] / 255), abs=1.01)


def test_what_is_learnt_and_what_is_scored() -> None:
    boxes = Boxes.of(
        [(10, 10, 20, 20), (0, 0, 50, 50), (30, 30, 0, 12), (5, 5, 9, 9), (-30, 40, 38, 10), (120, 90, 40, 40)],
        [0, 1, 2, 3, 0, 1],
        crowd=[False, True, False, False, False, False],
        difficult=[False, False, False, True, False, False],
        area=[111.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    )
    empty = Boxes.of([], [])
    batch = batch_of([painted([]), painted([])], [boxes, empty], Recipe(), torch.zeros(2, 0))
    # Learnt is the first alone: a crowd, no width, a difficult one, one 8/38 inside, one 48/1600 inside.
    assert batch.boxes.tolist() == [[10.0, 10.0, 30.0, 30.0]]
    assert (batch.labels.tolist(), batch.counts.tolist()) == ([0], [1, 0])
    # Scored is every one as it is on disk.
    assert batch.truth_counts.tolist() == [6, 0]
    np.testing.assert_array_equal(batch.truth[:, :4], boxes.xywh)
    np.testing.assert_array_equal(
        batch.truth[:, 4:], np.stack([boxes.area, boxes.labels, boxes.crowd, boxes.difficult], 1)
    )


def test_a_box_is_cut_at_the_border() -> None:
    boxes = Boxes.of([(-10.0, 90.0, 40.0, 8.0)], [2])
    batch = batch_of([painted([])], [boxes], Recipe(), torch.zeros(1, 0))
    assert batch.boxes.tolist() == [[0.0, 90.0, 30.0, 96.0]]


def test_a_target_that_is_no_boxes_is_named() -> None:
    assert BoxRows.misfit({"boxes_xyxy": []}, (4, 4)) == "Expected Boxes, but got dict"
    assert BoxRows.misfit(Boxes.of([], []), (4, 4)) is None

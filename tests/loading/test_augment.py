"""Augmentation against torchvision's functions, masks against the images they belong to."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import to_tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from cvbench.data.base import VOID
from cvbench.loading import geometry
from cvbench.loading.augment import Augmenter, to_float
from cvbench.spec import Augment

EVERYTHING = Augment(flip=True, shift=2, crop_scale=(0.4, 1.3), crop_ratio=(0.8, 1.25), rotate=20.0, colour=0.3)


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)  # as the harness does on the CPU
    yield
    torch.use_deterministic_algorithms(False)


def images(count: int = 6, channels: int = 3, height: int = 20, width: int = 28) -> Tensor:
    """uint8, channels-last in memory as the sources give them."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, height, width, channels), generator=generator).to(torch.uint8).permute(0, 3, 1, 2)


def draws(count: int = 6, seed: int = 2, **columns: float) -> Tensor:
    drawn = torch.rand(count, geometry.DRAWS, generator=torch.Generator().manual_seed(seed))
    for name, value in columns.items():
        drawn[:, getattr(geometry, name)] = value
    return drawn


def test_without_augmentation_only_the_scale_changes() -> None:
    given = images()
    masks = given[:, 0].clone()
    moved, kept = Augmenter(Augment())(given, masks, draws())
    assert torch.equal(moved, torch.stack([to_tensor(image.permute(1, 2, 0).numpy()) for image in given]))
    assert kept is masks


def test_flip_is_decided_for_each_sample() -> None:
    given, drawn = images(), draws()
    drawn[:, geometry.FLIP] = torch.tensor([0.0, 0.49, 0.5, 0.99, 0.1, 0.9])
    moved, masks = Augmenter(Augment(flip=True))(given, given[:, 0], drawn)
    assert masks is not None
    for index, mirrored in enumerate([True, True, False, False, True, False]):
        expected = tv.horizontal_flip(given[index]) if mirrored else given[index]
        assert torch.equal(moved[index], to_float(expected))
        assert torch.equal(masks[index], expected[0])


def test_shift_by_whole_pixels_brings_in_zeros_and_void() -> None:
    given, most = images(), 3
    drawn = draws()
    # the offset k = floor(draw * 7) moves the picture by 3 - k pixels: all seven values, the last just below 1
    drawn[:, geometry.SHIFT_X] = torch.tensor([0.0, 0.15, 0.43, 0.6, 0.99999994, 0.3])
    drawn[:, geometry.SHIFT_Y] = torch.tensor([0.99999994, 0.5, 0.0, 0.2, 0.72, 0.8])
    right, down = [3, 2, 0, -1, -3, 1], [-3, 0, 3, 2, -2, -2]
    moved, masks = Augmenter(Augment(shift=most))(given, given[:, 0], drawn)
    assert masks is not None
    for index in range(6):
        padded = tv.pad(given[index], [most] * 4, fill=0)
        top, left = most - down[index], most - right[index]
        assert torch.equal(moved[index], to_float(tv.crop(padded, top, left, 20, 28))), index
        void = tv.pad(given[index, :1], [most] * 4, fill=VOID)
        assert torch.equal(masks[index], tv.crop(void, top, left, 20, 28)[0]), index


def test_shifts_are_uniform_over_all_offsets() -> None:
    given = torch.zeros(3000, 1, 1, 9, dtype=torch.uint8)
    given[..., 4] = 255
    moved, _ = Augmenter(Augment(shift=2))(given, None, draws(3000, SHIFT_Y=0.5))
    places = moved[:, 0, 0].argmax(dim=1).bincount(minlength=9)
    assert places[[0, 1, 7, 8]].sum() == 0
    assert places[2:7].min() > 500  # 600 expected, sigma 22


def test_flip_together_with_a_crop_flips_the_crop() -> None:
    given, drawn = images(), draws(FLIP=0.7)
    plain, _ = Augmenter(Augment(flip=True, crop_scale=(0.3, 0.6)))(given, None, drawn)
    drawn[:, geometry.FLIP] = 0.3
    mirrored, _ = Augmenter(Augment(flip=True, crop_scale=(0.3, 0.6)))(given, None, drawn)
    torch.testing.assert_close(mirrored, tv.horizontal_flip(plain), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(20, 28), (28, 20), (21, 21)])
def test_rotation_is_torchvisions(size: tuple[int, int]) -> None:
    given, drawn = images(height=size[0], width=size[1]), draws()
    labels = given[:, 0] // 32
    moved, masks = Augmenter(Augment(rotate=30.0))(given, labels, drawn)
    assert masks is not None
    for index in range(6):
        degrees = 30.0 * (2 * float(drawn[index, geometry.ROTATE]) - 1)
        expected = tv.rotate(to_float(given[index]), degrees, InterpolationMode.BILINEAR)
        inside = tv.rotate(torch.ones(1, *size), degrees, InterpolationMode.BILINEAR)[0] > 0.999
        torch.testing.assert_close(moved[index][:, inside], expected[:, inside], atol=1e-4, rtol=0)
        nearest = tv.rotate(labels[index][None], degrees, InterpolationMode.NEAREST, fill=[VOID])[0]
        assert (masks[index] == nearest).float().mean() > 0.995  # ties between two pixels


def test_crop_is_torchvisions_resized_crop() -> None:
    given = images(height=20, width=28)
    drawn = draws(SCALE=0.0, CROP_X=0.5, CROP_Y=0.5)  # a quarter of the area in the middle: 10 x 14 pixels
    moved, masks = Augmenter(Augment(crop_scale=(0.25, 1.0)))(given, given[:, 0], drawn)
    assert masks is not None
    for index in range(6):
        expected = tv.resized_crop(to_float(given[index]), 5, 7, 10, 14, [20, 28], antialias=False)
        torch.testing.assert_close(moved[index][:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-4, rtol=0)
        nearest = tv.resized_crop(
            given[index, :1], 5, 7, 10, 14, [20, 28], interpolation=InterpolationMode.NEAREST_EXACT
        )
        assert torch.equal(masks[index], nearest[0])


def test_a_crop_larger_than_the_image_shrinks_it_into_black_and_void() -> None:
    given = torch.full((1, 3, 20, 28), 255, dtype=torch.uint8)
    moved, masks = Augmenter(Augment(crop_scale=(4.0, 4.0)))(given, given[:, 0] // 51, draws(1, CROP_X=0.5, CROP_Y=0.5))
    assert masks is not None
    inner = torch.zeros(20, 28, dtype=torch.bool)
    inner[5:15, 7:21] = True  # half the size each way, in the middle
    assert torch.equal(masks[0], torch.where(inner, 5, VOID).to(torch.uint8))
    assert float(moved[0, 0, 6:14, 8:20].min()) == 1.0
    assert float(moved[0, 0][~inner].max()) == 0.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "augment",
    [
        Augment(flip=True, shift=3),
        Augment(flip=True, shift=3, rotate=25.0),
        Augment(flip=True, crop_scale=(0.3, 1.0), crop_ratio=(0.75, 4 / 3)),
        EVERYTHING.model_copy(update={"colour": 0.0}),
    ],
)
def test_masks_follow_their_images_to_the_pixel(augment: Augment, seed: int) -> None:
    # Images whose two channels are the x and y of each pixel, masks of the same: where bilinear reads the place (a ramp
    # is exact under it), nearest must have taken the pixel around that place.
    height, width = 30, 40
    ramp_y, ramp_x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([ramp_x, ramp_y]).float().expand(8, 2, height, width) / 255
    inside = torch.ones(8, 1, height, width)
    drawn = draws(8, seed)
    augmenter = Augmenter(augment)
    for channel, ramp in enumerate((ramp_x, ramp_y)):
        moved, masks = augmenter(places[:, channel : channel + 1], ramp.to(torch.uint8).expand(8, -1, -1), drawn)
        weight, _ = augmenter(inside, None, drawn)
        assert masks is not None
        whole = weight[:, 0] > 0.9999  # no share of the black outside
        assert whole.any()
        distance = (masks.float() - moved[:, 0] * 255)[whole].abs()
        assert float(distance.max()) <= 0.5 + 1e-3
        assert (masks[weight[:, 0] == 0] == VOID).all()
        assert (masks[weight[:, 0] > 0.51] != VOID).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augment", [Augment(flip=True, shift=2, colour=0.2), EVERYTHING])
def test_a_sample_is_changed_the_same_alone_and_in_any_batch(augment: Augment, channels: int) -> None:
    given, drawn = images(7, channels), draws(7)
    augmenter = Augmenter(augment)
    together, masks = augmenter(given, given[:, 0], drawn)
    assert masks is not None
    for chosen in ([3], [6, 0], [5, 1, 4, 2]):
        apart, apart_masks = augmenter(given[chosen], given[chosen, 0], drawn[chosen])
        assert apart_masks is not None
        assert torch.equal(apart, together[chosen])
        assert torch.equal(apart_masks, masks[chosen])


@pytest.mark.parametrize(
    ("column", "reference"),
    [
        ("BRIGHTNESS", tv.adjust_brightness),
        ("SATURATION", tv.adjust_saturation),
        ("CONTRAST", tv.adjust_contrast),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_torchvisions(column: str, reference, channels: int) -> None:  # type: ignore[no-untyped-def]
    given = images(channels=channels)
    middle = draws(BRIGHTNESS=0.5, CONTRAST=0.5, SATURATION=0.5)  # factors of 1
    middle[:, getattr(geometry, column)] = torch.linspace(0, 0.99, 6)
    moved, _ = Augmenter(Augment(colour=0.4))(given, None, middle)
    for index, draw in enumerate(torch.linspace(0, 0.99, 6).tolist()):
        expected = reference(to_float(given[index]), 1 + 0.4 * (2 * draw - 1))
        torch.testing.assert_close(
            moved[index], expected, atol=1e-3, rtol=0
        )  # its grey has 0.2989, ours BT.601's 0.299


def test_factors_stay_within_the_strength_and_pixels_within_0_and_1() -> None:
    grey = torch.full((500, 1, 2, 2), 0.5)
    moved, _ = Augmenter(Augment(colour=0.6))(grey, None, draws(500))
    assert 0.2 <= float(moved.min()) < 0.25
    assert 0.75 < float(moved.max()) <= 0.8
    bright, _ = Augmenter(Augment(colour=1.0))(images(), None, draws())
    assert float(bright.min()) >= 0.0
    assert float(bright.max()) <= 1.0


def test_crops_cut_while_decoding_are_not_cut_again() -> None:
    given = images()
    moved, _ = Augmenter(Augment(crop_scale=(0.1, 0.2)), crop=False)(given, None, draws())
    assert torch.equal(moved, to_float(given))


def test_angles_are_uniform_up_to_the_limit() -> None:
    # a point right of the centre, 10 pixels away: its height tells the angle
    given = torch.zeros(400, 1, 31, 31)
    given[:, 0, 15, 25] = 1.0
    moved, _ = Augmenter(Augment(rotate=40.0))(given, None, draws(400))
    y, x = torch.meshgrid(torch.arange(31.0) - 15, torch.arange(31.0) - 15, indexing="ij")
    total = moved.sum(dim=(1, 2, 3))
    angles = torch.atan2((moved[:, 0] * y).sum(dim=(1, 2)) / total, (moved[:, 0] * x).sum(dim=(1, 2)) / total)
    degrees = angles * 180 / math.pi
    assert float(degrees.abs().max()) <= 41
    assert float(degrees.max()) > 37
    assert float(degrees.min()) < -37
    assert abs(float(degrees.mean())) < 4  # sigma 23 / 20

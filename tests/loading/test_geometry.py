"""Boxes and resizing against torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from cvbench.loading.geometry import (
    DRAWS,
    Geometry,
    crop_boxes,
    crops_while_decoding,
    evaluation_geometry,
    random_geometry,
    resize,
)
from cvbench.spec import Augment, Recipe


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth random colours, uint8 (H, W, C)."""
    coarse = torch.rand(1, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    return (fine[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def close(ours: np.ndarray, theirs: torch.Tensor) -> None:
    """Equal but for the rounding of two implementations: one level."""
    difference = np.abs(ours.astype(int) - theirs.permute(1, 2, 0).numpy().astype(int))
    assert difference.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(24, 36), (100, 41)])
def test_stretch_is_torchvisions_antialiased_resize(channels: int, size: tuple[int, int]) -> None:
    image = picture(60, 50, channels)
    ours = resize(image, evaluation_geometry(60, 50, Recipe(input_size=size)))
    theirs = tv.resize(torch.from_numpy(image).permute(2, 0, 1), list(size), antialias=True)
    assert ours.shape == (*size, channels)
    close(ours, theirs)


def test_crop_is_torchvisions_resize_256_and_centre_224() -> None:
    image = picture(512, 768)
    recipe = Recipe(input_size=(224, 224), resize="crop", crop_fraction=0.875)
    theirs = tv.center_crop(tv.resize(torch.from_numpy(image).permute(2, 0, 1), [256], antialias=True), [224])
    close(resize(image, evaluation_geometry(512, 768, recipe)), theirs)


def test_crop_to_a_shape_that_is_not_square() -> None:
    # 360x480 to 180x240 (the same shape): 0.875 of each side. To 180x180: 0.875 of the height, in the middle.
    wide = Recipe(input_size=(180, 240), resize="crop")
    assert evaluation_geometry(360, 480, wide).box == pytest.approx((30, 22.5, 450, 337.5))
    square = Recipe(input_size=(180, 180), resize="crop")
    assert evaluation_geometry(360, 480, square).box == pytest.approx((82.5, 22.5, 397.5, 337.5))


def test_nothing_to_do_copies_nothing() -> None:
    image = picture(6, 7)
    assert resize(image, evaluation_geometry(6, 7, Recipe())) is image


def test_random_crops_have_szegedys_area_and_ratio_and_stay_inside() -> None:
    draws = np.random.default_rng(0).random((4000, DRAWS), dtype=np.float32)
    left, top, width, height = crop_boxes(draws, Augment(crop_scale=(0.08, 0.5), crop_ratio=(0.75, 4 / 3))).T
    area, ratio = width * height, width / height
    assert (area.min(), area.max()) == pytest.approx((0.08, 0.5), abs=1e-3)
    assert area.mean() == pytest.approx(0.29, abs=0.01)  # uniform
    assert (ratio.min(), ratio.max()) == pytest.approx((0.75, 4 / 3), abs=1e-3)
    assert np.log(ratio).mean() == pytest.approx(0, abs=0.02)  # log-uniform
    assert min(left.min(), top.min()) >= 0
    assert max((left + width).max(), (top + height).max()) <= 1
    assert left.mean() == pytest.approx((1 - width).mean() / 2, abs=0.01)


def test_a_side_that_does_not_fit_is_cut_unless_the_crop_may_hang_over() -> None:
    draws = np.full((1, DRAWS), 0.999, dtype=np.float32)
    cut = crop_boxes(draws, Augment(crop_scale=(0.9, 1.0), crop_ratio=(0.75, 4 / 3)))[0]
    assert cut[2] == 1.0
    hanging = crop_boxes(draws, Augment(crop_scale=(1.0, 4.0)))[0]
    assert hanging[2:] == pytest.approx([2.0, 2.0], abs=1e-2)  # area 4: half the size each way
    assert hanging[:2] == pytest.approx([-1.0, -1.0], abs=1e-2)


def test_random_crop_is_torchvisions_resized_crop() -> None:
    image = picture(80, 120)
    draws = np.full(DRAWS, 0.5, dtype=np.float32)
    # area 0.25, so half of each side; placed in the middle
    geometry = random_geometry(80, 120, Recipe(input_size=(30, 40), augment=Augment(crop_scale=(0.25, 0.25))), draws)
    assert geometry == Geometry((30.0, 20.0, 90.0, 60.0), (30, 40))
    theirs = tv.resized_crop(
        torch.from_numpy(image).permute(2, 0, 1), 20, 30, 40, 60, [30, 40], InterpolationMode.BILINEAR, antialias=True
    )
    inner = slice(2, -2)  # Pillow's filter sees the pixels beside the box, torchvision's copy has lost them
    difference = resize(image, geometry)[inner, inner].astype(int) - theirs.permute(1, 2, 0).numpy()[inner, inner]
    assert np.abs(difference).max() <= 1


def test_crops_are_cut_while_decoding_where_the_file_has_more_detail() -> None:
    crop = Augment(crop_scale=(0.5, 1.0))
    cases = [
        (Recipe(augment=crop, input_size=(224, 224)), None, True),  # ImageNet: sizes vary
        (Recipe(augment=crop, input_size=(180, 240)), (360, 480), True),
        (Recipe(augment=crop), (32, 32), False),  # CIFAR at its own size: nothing to gain
        (Recipe(augment=crop, input_size=(32, 32)), (32, 32), False),
        (Recipe(augment=Augment(crop_scale=(0.5, 2.0)), input_size=(8, 8)), None, False),  # leaves the image
        (Recipe(input_size=(224, 224)), None, False),
    ]
    for recipe, native, expected in cases:
        assert crops_while_decoding(recipe, native) is expected, (recipe, native)

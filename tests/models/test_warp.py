"""R-CNN's crops against hand calculation, block means and Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cvbench.models.detection.warp import warp, with_context


def test_a_box_of_195_pixels_is_copied_with_16_pixels_around_it():
    # The published numbers: crops of 227 with 16 of context show 195 pixels of the box, so one of 195 is not resized.
    image = torch.rand(1, 3, 240, 230)
    (crop,) = warp(image, [torch.tensor([[10.0, 20.0, 205.0, 215.0]])], 227, 16)
    expected = torch.zeros(3, 227, 227)  # columns 0..5 lie left of the image
    expected[:, :, 6:] = image[0, :, 4:231, 0:221]
    torch.testing.assert_close(crop, expected, atol=1e-6, rtol=0)


def test_context_takes_its_share_of_either_side_whatever_the_shape():
    # Scale 64 / (64 - 16) = 4/3 about the centre (30, 50): half sizes 24 and 6 become 32 and 8.
    box = torch.tensor([[6.0, 44.0, 54.0, 56.0]])
    assert with_context(box, 64, 8).tolist() == [[-2.0, 42.0, 62.0, 58.0]]


@pytest.mark.parametrize("box", [[8, 9, 12, 14], [10.25, 20.5, 90.75, 31], [5, 5, 165, 165], [4, 50, 170, 58]])
def test_a_ramp_stays_a_ramp(box):
    # Interpolation and means of a linear function give its value at the centre, at any scale.
    y, x = torch.meshgrid(torch.arange(180.0), torch.arange(180.0), indexing="ij")
    image = (3 * x - 2 * y)[None, None] / 180
    (crop,) = warp(image, [torch.tensor([box], dtype=torch.float32)], 20, 0)
    left, top, right, bottom = box
    steps = (np.arange(20) + 0.5) / 20
    wide, high = left + (right - left) * steps - 0.5, top + (bottom - top) * steps - 0.5
    expected = (3 * wide[None, :] - 2 * high[:, None]) / 180
    np.testing.assert_allclose(crop[0].numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("side", [32, 64, 512])
def test_a_large_region_is_averaged(side):
    image = torch.rand(1, 2, side, side)
    (crop,) = warp(image, [torch.tensor([[0.0, 0.0, side, side]])], 16, 0)
    block = side // 16
    expected = image[0].numpy().reshape(2, 16, block, 16, block).mean(axis=(2, 4))
    # Samples lie between pixels: half a sample's width of the neighbouring blocks has its part.
    assert np.abs(crop.numpy() - expected).mean() < 0.25 * np.abs(image.numpy() - 0.5).mean() / block


def test_equals_pillow_on_a_smooth_picture():
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.random((12, 16), dtype=np.float32) - 0.5)
    picture = noise.resize((160, 120), Image.Resampling.BICUBIC)
    places = rng.uniform(0, 60, (30, 2))
    boxes = np.concatenate([places, places + rng.uniform(6, 60, (30, 2))], axis=1)
    image = torch.from_numpy(np.array(picture))[None, None]
    crops = warp(image, [torch.from_numpy(boxes).float()], 40, 5).numpy()[:, 0]
    # Pillow refuses boxes beyond the border: give it the picture with a border of zeros, which is what `warp` promises.
    padded = Image.new("F", (360, 320))
    padded.paste(picture, (100, 100))
    for box, crop in zip(boxes, crops, strict=True):
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * (40 / 30)
        outer = np.concatenate([middle - half, middle + half]) + 100
        expected = np.asarray(padded.resize((40, 40), Image.Resampling.BILINEAR, box=tuple(outer)))
        steps = (np.arange(40) + 0.5) / 40
        across, down = (outer[i] + (outer[i + 2] - outer[i]) * steps - 100 for i in (0, 1))
        inside = ((across >= 0) & (across <= 160))[None, :] & ((down >= 0) & (down <= 120))[:, None]
        assert not crop[~inside].any()
        # Away from the border, where Pillow mixes the picture with the zeros.
        safe = ((across > 3) & (across < 157))[None, :] & ((down > 3) & (down < 117))[:, None]
        assert np.abs(crop - expected)[safe].max() < 0.03


def test_crops_come_image_after_image_in_the_order_of_the_boxes():
    images = torch.stack([torch.full((1, 64, 64), value) for value in (1.0, 2.0, 3.0)])
    small, large = [4.0, 4.0, 12.0, 12.0], [0.0, 0.0, 64.0, 64.0]
    boxes = [torch.tensor([large, small, large]), torch.zeros(0, 4), torch.tensor([small, large])]
    crops = warp(images, boxes, 8, 0)
    assert crops.shape == (5, 1, 8, 8)
    assert crops.mean(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1, 1, 3, 3])


def test_no_boxes_no_crops():
    assert warp(torch.rand(2, 3, 16, 16), [torch.zeros(0, 4)] * 2, 8, 1).shape == (0, 3, 8, 8)

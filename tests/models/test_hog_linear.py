"""The histogram-of-gradients layer against scikit-image."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch
from skimage import data
from skimage.feature import hog as skimage_hog

from cvbench.models.classification import hog_linear


def reference(image: np.ndarray, cell: int, bins: int, block: int) -> np.ndarray:
    """scikit-image's features of one image, float32 (C, H, W)."""
    grey = image.shape[0] == 1
    return skimage_hog(
        image[0] if grey else image.transpose(1, 2, 0),
        orientations=bins,
        pixels_per_cell=(cell, cell),
        cells_per_block=(block, block),
        channel_axis=None if grey else -1,
    )


@pytest.mark.parametrize(
    ("size", "channels", "cell", "bins", "block"),
    [
        ((28, 28), 1, 4, 9, 2),
        ((8, 8), 1, 2, 9, 2),
        ((33, 46), 3, 4, 9, 2),  # sides that are no multiples of the cell
        ((32, 40), 3, 8, 6, 3),
        ((16, 16), 1, 4, 10, 1),
    ],
)
@pytest.mark.parametrize("kind", ["noise", "photo"])
def test_equals_scikit_image(size, channels, cell, bins, block, kind):
    rng = np.random.default_rng(0)
    if kind == "noise":
        images = rng.integers(0, 256, (4, channels, *size)).astype(np.float32) / 255
    else:
        photo = data.astronaut().transpose(2, 0, 1)[:channels].astype(np.float32) / 255
        places = rng.integers(0, 512 - max(size), (4, 2))
        images = np.stack([photo[:, y : y + size[0], x : x + size[1]] for y, x in places])
    features = hog_linear.hog(torch.from_numpy(images), cell=cell, bins=bins, block=block).numpy()
    expected = np.stack([reference(image, cell, bins, block) for image in images])
    assert features.shape == expected.shape
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_real_digits_equal_scikit_image(shared_data):
    file = shared_data / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    raw = np.frombuffer(gzip.decompress(file.read_bytes())[16:], np.uint8)
    images = raw.reshape(-1, 1, 28, 28)[:50].astype(np.float32) / 255
    features = hog_linear.hog(torch.from_numpy(images)).numpy()
    expected = np.stack([reference(image, 4, 9, 2) for image in images])
    assert features.shape == (50, 1296)
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_a_flat_image_has_no_features():
    assert torch.equal(hog_linear.hog(torch.full((1, 3, 16, 16), 0.5)), torch.zeros(1, 324))


def test_only_the_classifier_learns(make_info, deterministic):
    model = hog_linear.build(make_info(size=(28, 28), channels=1))
    assert sum(parameter.numel() for parameter in model.parameters()) == 1296 * 10 + 10
    model(torch.rand(2, 1, 28, 28)).sum().backward()
    assert model.linear.weight.grad is not None


def test_images_smaller_than_a_block_are_refused(make_info):
    with pytest.raises(ValueError, match=r"at least 8 pixels a side, but got 7x28.*smaller `cell`"):
        hog_linear.build(make_info(size=(7, 28), channels=1))

"""What detectors on region proposals wait for: finding proposals against reading them again, and the warp of crops."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import resized_crop

from cvbench.models.detection.proposals import Proposals, SourceName
from cvbench.models.detection.warp import warp
from tests.speed.timing import Row, compare

CROPS = 256


def photo() -> NDArray[np.uint8]:
    """A real image of VOC's size, uint8 (H, W, 3); where there is none, noise of several grains."""
    repository = Path(__file__).resolve().parents[2]
    root = Path(os.environ.get("CVBENCH_DATA", repository.parent / "shared" / "data"))
    files = sorted((root / "VOCdevkit" / "VOC2012" / "JPEGImages").glob("*.jpg"))
    if files:
        with Image.open(files[0]) as image:
            return np.array(image.convert("RGB"))
    rng = np.random.default_rng(0)
    grains = [Image.fromarray(rng.integers(0, 256, (s, s, 3), np.uint8)).resize((500, 375)) for s in (4, 20, 100)]
    return np.mean([np.asarray(grain) for grain in grains], axis=0).astype(np.uint8)


def measure() -> list[Row]:
    torch.set_num_threads(1)
    image = photo()
    rows = [
        _cache(image, "selective_search", "selective search: read again"),
        _cache(image, "regions", "regions: same"),
    ]
    # The loop of torch 2.15 is nearly as fast as memory allows at 227 pixels (older ones took twenty times as long), so
    # that the target is out of reach there; the warp is one call on any device, with the mean outside the image.
    return rows + [_warp(image, size, target=4.0) for size in (227, 32)]


def _cache(image: NDArray[np.uint8], source: SourceName, name: str) -> Row:
    """The second epoch against the first, turned as augmentation turns it."""
    fresh, kept = Proposals(source, 2000), Proposals(source, 2000)
    with tempfile.TemporaryDirectory() as folder:
        kept.use_cache(Path(folder))
        mirrored = np.ascontiguousarray(image[:, ::-1])
        assert np.array_equal(kept.of(image), fresh.of(image))
        return compare(name, lambda: kept.of(mirrored), lambda: fresh.of(mirrored), target=100.0, rounds=3)


def _warp(image: NDArray[np.uint8], size: int, target: float) -> Row:
    """256 regions in one call against a loop of resized crops, neither with context."""
    pixels = torch.from_numpy(image).permute(2, 0, 1).float().div(255).contiguous()
    boxes = torch.from_numpy(Proposals("regions", CROPS).of(image))

    def loop() -> Tensor:
        return torch.stack(
            [
                resized_crop(pixels, top, left, bottom - top, right - left, [size, size], antialias=True)
                for left, top, right, bottom in boxes.long().tolist()
            ]
        )

    ours: Callable[[], Tensor] = lambda: warp(pixels[None], [boxes], size, 0)  # noqa: E731
    assert (ours() - loop()).abs().mean() < 0.02
    return compare(f"warp, {CROPS} crops of {size}: against a loop", ours, loop, target, rounds=5)

"""Region proposals for batches of images, kept on disk by the images' pixels."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvbench.models.detection import regions, selective_search

SourceName = Literal["selective_search", "selective_search_quality", "regions", "windows"]


class Source(NamedTuple):
    """find(image uint8 (H, W, C), least side in pixels) -> int64 (N, 4) xyxy, best first; a function of the pixels.

    settings(): what else it depends on, JSON values.
    """

    find: Callable[[NDArray[np.uint8], float], NDArray[np.int64]]
    settings: Callable[[], dict[str, Any]]


SOURCES: dict[str, Source] = {
    "selective_search": Source(selective_search.fast, selective_search.settings),
    "selective_search_quality": Source(selective_search.quality, selective_search.settings),
    "regions": Source(regions.regions, regions.settings),
    "windows": Source(regions.windows, regions.settings),
}


class Proposals:
    """At most `number` boxes an image, the first that `source` finds; images in, boxes out.

    A mirrored image gets exactly the mirrored boxes, and from the same entry of the cache: of an image and its mirror
    image one is looked at, and the boxes are turned. Where nothing is found, the whole image is the one proposal.
    Images moved or coloured by augmentation are new images, looked at again, and each leaves a small file in the cache;
    flips do not. The black border of a fitted image (`resize: fit`) is proposed from, too.

    min_size: boxes with a side below this share of the image's longer side are left out; R-CNN's published code uses
    20 pixels of 500. Raises ValueError for a wrong number, and where a source lacks its package.
    """

    def __init__(self, source: SourceName, number: int, min_size: float = 0.04) -> None:
        if source not in SOURCES:
            raise ValueError(f"Expected `source` to be one of {', '.join(SOURCES)}, but got {source!r}")
        if number < 1:
            raise ValueError(f"Expected `proposals` to be at least 1, but got {number}")
        if not 0 <= min_size <= 1:
            raise ValueError(f"Expected `min_size` to be a share of the image's side in [0, 1], but got {min_size}")
        self.source, self.number, self.min_size = source, number, min_size
        self.settings = json.dumps([source, min_size, SOURCES[source].settings()], sort_keys=True)
        self.folder: Path | None = None

    def use_cache(self, folder: Path | None) -> None:
        """Keeps boxes in `folder` from now on, in a file an image; None: keeps nothing."""
        self.folder = folder and folder / "proposals"

    def __call__(self, images: Tensor) -> list[Tensor]:
        """images: float (B, C, H, W) in [0, 1], C = 1 or 3. Returns float32 (N, 4) xyxy for each, on their device."""
        pixels = (images.detach() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        # OpenCV works without the interpreter's lock; results do not depend on who comes first.
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            found = list(threads.map(self.of, pixels))
        return [torch.from_numpy(boxes).to(images.device) for boxes in found]

    def of(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The boxes of one image, uint8 (H, W, C); float32 (N, 4) xyxy."""
        image = np.ascontiguousarray(image)
        mirror = torch.from_numpy(image.copy()).flip(1).numpy()  # 20 times as fast as numpy's
        turned = mirror.tobytes() < image.tobytes()
        boxes = self._kept(mirror if turned else image)[: self.number].astype(np.float32)
        if turned:
            boxes[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]
        return boxes

    def _kept(self, image: NDArray[np.uint8]) -> NDArray[np.int64]:
        if self.folder is None:
            return self._find(image)
        facts = f"{self.settings} {image.shape}".encode()
        key = hashlib.sha256(facts + image.tobytes()).hexdigest()[:32]
        file = self.folder / key[:2] / f"{key}.npy"
        boxes = _read(file)
        if boxes is None:
            boxes = self._find(image)
            _write(file, boxes)
        return boxes

    def _find(self, image: NDArray[np.uint8]) -> NDArray[np.int64]:
        height, width = image.shape[:2]
        boxes = SOURCES[self.source].find(image, self.min_size * max(height, width))
        return boxes if len(boxes) else np.array([[0, 0, width, height]])


def _read(file: Path) -> NDArray[np.int64] | None:
    """The boxes in a file of the cache; None where there is none that is whole."""
    try:
        boxes = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = isinstance(boxes, np.ndarray) and boxes.dtype == np.uint16 and boxes.ndim == 2 and boxes.shape[1:] == (4,)
    return boxes.astype(np.int64) if whole and len(boxes) else None


def _write(file: Path, boxes: NDArray[np.int64]) -> None:
    """Writes a file of the cache in one move, so that several processes may. A cache that cannot be written costs time
    only.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as part:
                np.save(part, boxes.astype(np.uint16))
            Path(name).replace(file)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        logging.getLogger(__name__).debug("proposals are not cached: %s", error)

"""`CaptionText`: the captions of images, as they were written, from disk through the cache to the task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvbench.data.base import DataError, Split
from cvbench.loading.batches import CaptioningBatch
from cvbench.loading.geometry import Geometry
from cvbench.loading.targets import Targets


class CaptionText(Targets):
    """Any number of captions an image; a prepared target is their JSON, uint8 (N,), so that the cache and other
    processes get them unchanged. A batch has those bytes, image after image.
    """

    resizes = ("stretch", "crop", "fit")
    ragged = True
    on_host = ("draws", "text", "text_bytes")
    most_validated = 1000

    @staticmethod
    def check_split(split: Split, name: str) -> None:
        if len(split) < 2:
            raise DataError(
                f"{name}: Expected at least two images, but got {len(split)}: CIDEr weighs words by how many images "
                "have them, and of a single one it is always 0"
            )

    @staticmethod
    def misfit(target: Any, size: tuple[int, int]) -> str | None:
        if isinstance(target, list | tuple) and target and all(isinstance(caption, str) for caption in target):
            return None
        return f"Expected a list of one or more captions, but got {target!r:.80}"

    @staticmethod
    def prepare(target: Any, size: tuple[int, int], geometry: Geometry, *, training: bool) -> NDArray[np.uint8]:
        return written(target)

    @staticmethod
    def batch(
        images: Tensor, targets: Sequence[NDArray[Any]] | NDArray[Any], index: Tensor, draws: Tensor
    ) -> CaptioningBatch:
        lengths = torch.tensor([len(target) for target in targets])
        return CaptioningBatch(images, torch.from_numpy(np.concatenate(list(targets))), lengths, index, draws)


def written(captions: Sequence[str]) -> NDArray[np.uint8]:
    """The captions of one image as bytes, uint8 (N,)."""
    return np.frombuffer(json.dumps(list(captions)).encode(), dtype=np.uint8)


def read(text: NDArray[np.uint8], lengths: NDArray[np.int64]) -> list[list[str]]:
    """The captions of each image, from the bytes of all of them, one image after the other.

    text: uint8 (T,). lengths: int64 (B,), the bytes of each image, T in all.

    >>> bytes_ = [written(["A dog."]), written(["Zwei Hünde.", "x"])]
    >>> read(np.concatenate(bytes_), np.array([len(one) for one in bytes_]))
    [['A dog.'], ['Zwei Hünde.', 'x']]
    """
    parts = np.split(text, np.cumsum(lengths)[:-1])
    return [json.loads(part.tobytes().decode()) for part in parts]

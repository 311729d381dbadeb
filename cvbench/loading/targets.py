"""How each kind of target is prepared for a size, stacked, batched and augmented. A task names its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cvbench.data.base import VOID, Split
from cvbench.loading.augment import Augmenter
from cvbench.loading.batches import ClassificationBatch, SegmentationBatch
from cvbench.loading.geometry import Geometry


class Targets(ABC):
    """A kind of target. Never made: its functions know no state, and `type[Targets]` is what is passed on.

    resizes: the values of `recipe.resize` that leave in the picture all that is scored. ragged: prepared targets have
    as many rows as there are things in the image. on_host: fields of the batch that are never moved to the device.
    most_validated: samples of val that a selection looks at, a fixed choice of them; None: all.
    """

    resizes: ClassVar[tuple[str, ...]]
    ragged: ClassVar[bool] = False
    on_host: ClassVar[tuple[str, ...]] = ("draws",)
    most_validated: ClassVar[int | None] = None

    @staticmethod
    def check_split(split: Split, name: str) -> None:
        """Raises DataError where nothing in a split that is to be scored could be: found before anything is trained."""
        return

    @staticmethod
    def misfit(target: Any, size: tuple[int, int]) -> str | None:
        """What is wrong with the target of an image of `size` (H, W), "Expected X, but got Y"; None if nothing is."""
        return None

    @staticmethod
    @abstractmethod
    def prepare(target: Any, size: tuple[int, int], geometry: Geometry, *, training: bool) -> NDArray[Any]:
        """One sample's target as an array, brought to the input size where training needs that.

        size: (H, W) of the image on disk, from which `geometry` took its box.
        """

    @staticmethod
    @abstractmethod
    def batch(images: Tensor, targets: Sequence[NDArray[Any]] | NDArray[Any], index: Tensor, draws: Tensor) -> Any:
        """The task's batch from stacked images and the prepared targets."""

    @staticmethod
    def augment(batch: Any, augmenter: Augmenter) -> Any:
        """The batch augmented on its device: its images, and what must move with them."""
        images, _ = augmenter(batch.images, None, batch.draws)
        return batch._replace(images=images)


class Labels(Targets):
    """A class index an image."""

    resizes = ("stretch", "crop", "fit")

    @staticmethod
    def prepare(target: Any, size: tuple[int, int], geometry: Geometry, *, training: bool) -> NDArray[np.int64]:
        return np.asarray(target, dtype=np.int64)

    @staticmethod
    def batch(
        images: Tensor, targets: Sequence[NDArray[Any]] | NDArray[Any], index: Tensor, draws: Tensor
    ) -> ClassificationBatch:
        return ClassificationBatch(images, torch.from_numpy(np.asarray(targets, dtype=np.int64)), index, draws)


class Masks(Targets):
    """A class index a pixel; evaluation keeps the scoring size, training the input size."""

    resizes = ("stretch",)

    @staticmethod
    def misfit(target: Any, size: tuple[int, int]) -> str | None:
        if (np.shape(target), target.dtype) == (size, np.uint8):
            return None
        return f"Expected a uint8 mask of its image's size {size}, but got {target.dtype} {np.shape(target)}"

    @staticmethod
    def prepare(target: Any, size: tuple[int, int], geometry: Geometry, *, training: bool) -> NDArray[np.uint8]:
        mask: NDArray[np.uint8] = target
        if not training:
            return mask
        picture = Image.fromarray(mask)
        return np.asarray(picture.resize(geometry.size[::-1], Image.Resampling.NEAREST, box=geometry.box))

    @staticmethod
    def batch(
        images: Tensor, targets: Sequence[NDArray[Any]] | NDArray[Any], index: Tensor, draws: Tensor
    ) -> SegmentationBatch:
        sizes = torch.tensor([mask.shape for mask in targets], dtype=torch.int64)
        if isinstance(targets, np.ndarray):
            return SegmentationBatch(images, torch.from_numpy(targets), sizes, index, draws)
        height, width = sizes.amax(dim=0).tolist()
        padded = np.full((len(targets), height, width), VOID, dtype=np.uint8)
        for row, mask in zip(padded, targets, strict=True):
            row[: mask.shape[0], : mask.shape[1]] = mask
        return SegmentationBatch(images, torch.from_numpy(padded), sizes, index, draws)

    @staticmethod
    def augment(batch: SegmentationBatch, augmenter: Augmenter) -> SegmentationBatch:
        images, masks = augmenter(batch.images, batch.masks, batch.draws)
        assert masks is not None
        return batch._replace(images=images, masks=masks)

"""The two ways to pixels: slices of arrays that were decoded once, or files decoded as they are asked for."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from numpy.typing import NDArray

from cvbench.data.base import DataError, DatasetInfo, Split
from cvbench.loading.cache import Arrays, CacheError, Ragged, UnequalTargetsError, cache_key, cached
from cvbench.loading.geometry import crops_while_decoding, evaluation_geometry, random_geometry, resize
from cvbench.loading.loader import Source
from cvbench.loading.targets import Targets
from cvbench.spec import Recipe

#: raised when `FileSource.prepare`, or what it calls, makes other pixels of the same file
PIXELS = 1

_log = logging.getLogger(__name__)


class ArraySource:
    """Slices whole batches out of uint8 arrays."""

    in_memory = True
    crops = False

    def __init__(self, split: Split, arrays: Arrays, targets: type[Targets]) -> None:
        self.ids, self.arrays, self.targets = split.ids, arrays, targets

    def fetch(self, index: NDArray[np.int64], draws: NDArray[np.float32]) -> Any:
        # (B, H, W, C) in memory seen as (B, C, H, W): channels-last without a copy.
        images = torch.from_numpy(self.arrays.images[index]).permute(0, 3, 1, 2)
        targets = self.arrays.targets
        chosen = targets.at(index) if isinstance(targets, Ragged) else targets[index]
        return self.targets.batch(images, chosen, torch.from_numpy(index), torch.from_numpy(draws))


class FileSource:
    """Decodes each image when it is asked for; where `crops`, random crops are cut from the full-size picture."""

    in_memory = False

    def __init__(
        self, split: Split, info: DatasetInfo, recipe: Recipe, targets: type[Targets], *, training: bool
    ) -> None:
        self.ids, self.split, self.recipe, self.targets, self.training = split.ids, split, recipe, targets, training
        self.name, self.channels = info.name, info.channels
        self.size = recipe.input_size or info.input_size
        self.crops = training and crops_while_decoding(recipe, info.input_size)

    def prepare(self, index: int, draws: NDArray[np.float32] | None = None) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """One sample at the input size: image uint8 (h, w, C) and its prepared target. Raises DataError."""
        image, target = self.split[index]
        height, width = image.shape[:2]
        if self.crops and draws is not None:
            geometry = random_geometry(height, width, self.recipe, draws)
        else:
            geometry = evaluation_geometry(height, width, self.recipe)
        image = resize(image, geometry)
        expected = (*(self.size or geometry.size), self.channels)
        if image.shape != expected:
            raise DataError(
                f"{self.name}: sample {self.ids[index]!r}: Expected an image of shape {expected}, but got "
                f"{image.shape}; set recipe.input_size, or mend `channels` and `input_size` of the dataset's info"
            )
        if (misfit := self.targets.misfit(target, (height, width))) is not None:
            raise DataError(
                f"{self.name}: sample {self.ids[index]!r}: {misfit}; mend the file, or the dataset's reading"
            )
        return image, self.targets.prepare(target, (height, width), geometry, training=self.training)

    def fetch(self, index: NDArray[np.int64], draws: NDArray[np.float32]) -> Any:
        drawn: list[Any] = list(draws) if self.training else [None] * len(index)
        samples = [self.prepare(int(i), row) for i, row in zip(index, drawn, strict=True)]
        images = torch.from_numpy(np.stack([image for image, _ in samples])).permute(0, 3, 1, 2)
        return self.targets.batch(
            images, [target for _, target in samples], torch.from_numpy(index), torch.from_numpy(draws)
        )


def open_source(
    split: Split,
    info: DatasetInfo,
    recipe: Recipe,
    targets: type[Targets],
    *,
    training: bool,
    cache: Path,
    cache_limit_bytes: int,
    key: tuple[Any, ...],
) -> Source:
    """The fastest source that fits: published arrays, the decoded cache below the limit, else files.

    All give the same pixels: the machine decides how fast they come, never what they are. A cache that cannot be
    written costs speed only, and a line in the log.

    key: what names this split's pixels besides what is known here (dataset name, options and version, role), JSON
    values. Raises DataError for unreadable files.
    """
    source = FileSource(split, info, recipe, targets, training=training)
    bulk = split.bulk()
    if bulk is not None and recipe.input_size in (None, bulk[0].shape[1:3]) and recipe.resize == "stretch":
        return ArraySource(split, Arrays(*bulk), targets)
    if source.crops or source.size is None or len(split) * _sample_bytes(source) > cache_limit_bytes:
        return source
    facts = (
        *key,
        info.revision,
        dict(info.protocol),
        source.size,
        recipe.resize,
        recipe.crop_fraction,
        training,
        targets.__name__,
        PIXELS,
        PIL.__version__,  # decodes and resizes
    )
    try:
        folder = cache / info.name / cache_key(*facts)
        return ArraySource(split, cached(folder, len(split), source.prepare, ragged=targets.ragged), targets)
    except UnequalTargetsError:
        return source
    except CacheError as error:
        _log.warning("%s: decoding anew in every epoch, because the cache cannot be used: %s", info.name, error)
        return source


def _sample_bytes(source: FileSource) -> int:
    return sum(array.nbytes for array in source.prepare(0))

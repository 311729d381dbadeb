"""The two ways to pixels: slices of arrays that were decoded once, or files decoded as they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cvbench.data.base import DatasetInfo, Split
from cvbench.loading.cache import Arrays, UnequalTargetsError, cache_key, cached
from cvbench.loading.geometry import crops_while_decoding, evaluation_geometry, random_geometry, resize
from cvbench.loading.loader import Source
from cvbench.loading.targets import Targets
from cvbench.spec import Recipe


class ArraySource:
    """Slices whole batches out of uint8 arrays."""

    in_memory = True

    def __init__(self, split: Split, arrays: Arrays, targets: type[Targets]) -> None:
        self.ids, self.arrays, self.targets = split.ids, arrays, targets

    def fetch(self, index: NDArray[np.int64], draws: NDArray[np.float32]) -> Any:
        # (B, H, W, C) in memory seen as (B, C, H, W): channels-last without a copy.
        images = torch.from_numpy(self.arrays.images[index]).permute(0, 3, 1, 2)
        targets = self.arrays.targets[index]
        return self.targets.batch(images, targets, torch.from_numpy(index), torch.from_numpy(draws))


class FileSource:
    """Decodes each image when it is asked for; random crops are cut from the full-size picture."""

    in_memory = False

    def __init__(self, split: Split, recipe: Recipe, targets: type[Targets], *, training: bool) -> None:
        self.ids, self.split, self.recipe, self.targets, self.training = split.ids, split, recipe, targets, training
        self.crops = training and crops_while_decoding(recipe.augment)

    def prepare(self, index: int, draws: NDArray[np.float32] | None = None) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """One sample at the input size: image uint8 (h, w, C) and its prepared target."""
        image, target = self.split[index]
        height, width = image.shape[:2]
        if self.crops and draws is not None:
            geometry = random_geometry(height, width, self.recipe, draws)
        else:
            geometry = evaluation_geometry(height, width, self.recipe)
        return resize(image, geometry), self.targets.prepare(target, geometry, training=self.training)

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

    key: what names this split's pixels besides their size (dataset options, revision, role).
    Raises DataError for unreadable files, and OSError when the cache's disk is full.
    """
    source = FileSource(split, recipe, targets, training=training)
    bulk = split.bulk()
    if bulk is not None and recipe.input_size in (None, bulk[0].shape[1:3]) and recipe.resize == "stretch":
        return ArraySource(split, Arrays(*bulk), targets)
    size = recipe.input_size or info.input_size
    if source.crops or size is None or len(split) * size[0] * size[1] * info.channels > cache_limit_bytes:
        return source
    whole = (
        *key,
        info.revision,
        dict(info.protocol),
        size,
        recipe.resize,
        recipe.crop_fraction,
        training,
        targets.__name__,
    )
    try:
        return ArraySource(split, cached(cache / info.name / cache_key(*whole), len(split), source.prepare), targets)
    except UnequalTargetsError:
        return source

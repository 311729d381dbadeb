"""`DataModule`: a dataset, a recipe and a machine as Lightning's loaders, and augmentation on the device."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch

from cvbench.data.base import DataError, Dataset
from cvbench.data.split import FixedSample
from cvbench.loading.augment import Augmenter, to_float
from cvbench.loading.loader import Loader, Source
from cvbench.loading.sources import open_source
from cvbench.loading.targets import Targets
from cvbench.machine import Machine
from cvbench.spec import Augment, DatasetRef, Recipe


class DataModule(L.LightningDataModule):
    """Loaders of every role. `batch_size` is of one process; draws and order come from `seed`.

    ref: the dataset as the run names it, part of the cache's key. Raises DataError for an empty split, and ValueError
    where the recipe would crop away what the task scores.
    """

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        machine: Machine,
        *,
        targets: type[Targets],
        ref: DatasetRef,
        seed: int,
        batch_size: int,
    ) -> None:
        super().__init__()
        if recipe.resize not in targets.resizes:
            allowed = " or ".join(map(repr, targets.resizes))
            raise ValueError(
                f"Expected recipe.resize to be {allowed}, but got {recipe.resize!r}: it would not keep in place all "
                "that is scored"
            )
        self.dataset, self.recipe, self.machine, self.targets = dataset, recipe, machine, targets
        self.splits = dict(dataset.splits)
        if targets.most_validated is not None and "val" in self.splits:
            self.splits["val"] = FixedSample(self.splits["val"], targets.most_validated)
        self.ref, self.seed, self.batch_size = ref, seed, batch_size
        #: batches of a training epoch; None: all that are whole
        self.steps_per_epoch: int | None = None
        self._sources: dict[str, Source] = {}

    def source(self, role: str, *, training: bool = False) -> Source:
        """The opened source of a role; opening may decode and cache the whole split."""
        key = f"{role}/{training}"
        if key not in self._sources:
            split = self.splits.get(role)
            if split is None or len(split) == 0:
                rule = "Expected at least one sample, but got none"
                raise DataError(
                    f"{self.dataset.info.name}: split {role!r}: {rule}; `cvbench data verify` shows the splits"
                )
            self._sources[key] = open_source(
                split,
                self.dataset.info,
                self.recipe,
                self.targets,
                training=training,
                cache=self.machine.cache,
                cache_limit_bytes=self.machine.cache_limit_bytes,
                key=(role, len(split), self.ref.name, self.ref.options, _version(self.ref)),
            )
        return self._sources[key]

    def open(self, roles: Mapping[str, bool]) -> None:
        """Opens role -> training now, so that damaged or too few data are found before anything is trained."""
        for role, training in roles.items():
            self._dealt(role, self.machine.world, training=training)

    def train_dataloader(self) -> Loader:
        return self._loader("train", training=True)

    def val_dataloader(self) -> Loader:
        return self._loader("val", training=False)

    def test_dataloader(self) -> Loader:
        return self._loader("test", training=False)

    def batches(self, role: str, device: torch.device) -> Iterator[Any]:
        """Every sample of a role once, in order, not augmented, on `device`; the same on every process."""
        source = self.source(role)
        loader = Loader(source, self.batch_size, training=False, workers=self.machine.workers)
        for batch in loader:
            yield self.on_after_batch_transfer(self.transfer_batch_to_device(batch, device, 0), 0)

    def _loader(self, role: str, *, training: bool) -> Loader:
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return Loader(
            self._dealt(role, world, training=training),
            self.batch_size,
            training=training,
            seed=self.seed,
            rank=rank,
            world=world,
            workers=self.machine.workers,
            steps=self.steps_per_epoch if training else None,
            draws=self.recipe.augment != Augment(),
            accumulate=self.machine.share(self.recipe.batch_size).accumulate if training else 1,
        )

    def _dealt(self, role: str, world: int, *, training: bool) -> Source:
        """The source of a role, where each of `world` processes gets some of it: Lightning fails in one without any."""
        source = self.source(role, training=training)
        if len(source.ids) < world:
            remedy = "lower --devices or --nodes"
            raise DataError(f"split {role!r} has {len(source.ids)} samples, too few for {world} processes; {remedy}")
        return source

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """All of the batch but what stays on the host: its draws, which are turned into parameters there (see
        `Augmenter`), and float64, which not every device has.
        """
        kept = {name: getattr(batch, name) for name in self.targets.on_host}
        left: Any = batch._replace(**dict.fromkeys(kept))
        return super().transfer_batch_to_device(left, device, dataloader_idx)._replace(**kept)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """On the device: augment in training, then float images in [0, 1]."""
        if batch.draws.shape[1]:
            crop = not self.source("train", training=True).crops
            return self.targets.augment(batch, Augmenter(self.recipe.augment, crop=crop))
        return batch._replace(images=to_float(batch.images))


def _version(ref: DatasetRef) -> int | str | None:
    """What stands for the code that reads the pixels: its file's VERSION, or a plug-in's source, which has none."""
    if ref.version is not None:
        return ref.version
    file = getattr(sys.modules.get(ref.name.partition(":")[0]), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None

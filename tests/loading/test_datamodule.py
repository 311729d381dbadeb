"""The data module under Lightning's own Trainer: loaders of each role, augmentation, resuming in mid-epoch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from cvbench.data.base import ArraySplit, DataError, Dataset, DatasetInfo, Split
from cvbench.loading.datamodule import DataModule
from cvbench.loading.sources import FileSource
from cvbench.loading.targets import Labels, Masks, Targets
from cvbench.machine import Machine
from cvbench.spec import Augment, DatasetRef, Recipe

# Lightning's own affairs: its use of torch's pytrees, and advice about workers.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


class Unpublished(ArraySplit):
    """Arrays that are read one by one, as files are."""

    def bulk(self) -> None:
        return None


def dataset(counts: Mapping[str, int], kind: type[ArraySplit] = ArraySplit) -> Dataset:
    splits: dict[str, Split] = {}
    for role, count in counts.items():
        images = np.random.default_rng(len(role)).integers(256, size=(count, 8, 8, 3)).astype(np.uint8)
        splits[role] = kind([f"{role}/{index}" for index in range(count)], images, np.arange(count) % 3)
    info = DatasetInfo(
        name="noise",
        task="classification",
        protocol={},
        revision="0123456789ab",
        classes=("a", "b", "c"),
        split_sizes=counts,
        licence="CC0-1.0",
        redistributable=True,
        input_size=(8, 8),
    )
    return Dataset(info, splits)


def module(
    data: Dataset,
    cache: Path,
    recipe: Recipe | None = None,
    *,
    targets: type[Targets] = Labels,
    ref: DatasetRef | None = None,
    **machine: Any,
) -> DataModule:
    return DataModule(
        data,
        recipe or Recipe(),
        Machine(cache=cache, **machine),
        targets=targets,
        ref=ref or DatasetRef(name="noise", options={}, version=1),
        seed=0,
        batch_size=4,
    )


class Watched(L.LightningModule):
    """A tiny model that keeps the batches it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(8 * 8 * 3, 3))
        self.seen: dict[str, list[Any]] = {"train": [], "val": [], "test": []}

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        self.seen["train"].append(batch)
        return nn.functional.cross_entropy(self.model(batch.images), batch.labels)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.seen["val"].append(batch)

    def test_step(self, batch: Any, batch_index: int) -> None:
        self.seen["test"].append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def trainer(folder: Path, **changes: Any) -> L.Trainer:
    given: dict[str, Any] = {"max_epochs": 2, "enable_checkpointing": False, "num_sanity_val_steps": 0} | changes
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return L.Trainer(default_root_dir=folder, accelerator="cpu", devices=1, **quiet, **given)


COUNTS = {"train": 18, "val": 5, "test": 7}


@pytest.mark.parametrize("kind", [ArraySplit, Unpublished])
def test_training_is_augmented_and_evaluation_is_not(tmp_path: Path, kind: type[ArraySplit]) -> None:
    data = dataset(COUNTS, kind)
    model = Watched()
    runner = trainer(tmp_path)
    loaders = module(data, tmp_path, Recipe(augment=Augment(flip=True)))
    runner.fit(model, datamodule=loaders)
    runner.test(model, datamodule=loaders, verbose=False)
    assert [len(model.seen[role]) for role in ("train", "val", "test")] == [8, 4, 2]
    flipped = 0
    for role, batches in model.seen.items():
        for batch in batches:
            assert batch.images.dtype == torch.float32
            for image, index, label in zip(batch.images, batch.index.tolist(), batch.labels.tolist(), strict=True):
                expected = torch.from_numpy(data.splits[role].images[index]).permute(2, 0, 1) / 255  # type: ignore[attr-defined]
                mirrored = not torch.equal(image, expected)
                assert torch.equal(image, expected.flip(-1) if mirrored else expected)
                assert label == index % 3
                assert role == "train" or not mirrored
                flipped += mirrored
    assert 5 < flipped < 27  # of 32


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(input_size=(6, 6))])
@pytest.mark.parametrize("crop_scale", [(0.5, 1.0), (0.5, 1.5)])
def test_cache_files_and_workers_train_on_the_same_bits(
    tmp_path: Path, recipe: Recipe, crop_scale: tuple[float, float]
) -> None:
    recipe = recipe.model_copy(update={"augment": Augment(flip=True, crop_scale=crop_scale, rotate=10.0)})
    seen = []
    for machine in ({}, {"cache_limit_bytes": 0}, {"cache_limit_bytes": 0, "workers": 2}):
        loaders = module(dataset(COUNTS, Unpublished), tmp_path, recipe, **machine)
        batches = [loaders.on_after_batch_transfer(batch, 0) for batch in loaders.train_dataloader()]
        assert isinstance(loaders.source("train", training=True), FileSource) or not machine
        seen.append(torch.stack([batch.images for batch in batches]))
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_crops_cut_while_decoding_are_not_cut_again(tmp_path: Path) -> None:
    recipe = Recipe(input_size=(6, 6), augment=Augment(crop_scale=(0.2, 0.4)))
    loaders = module(dataset(COUNTS, Unpublished), tmp_path, recipe)
    batch = next(iter(loaders.train_dataloader()))
    assert torch.equal(loaders.on_after_batch_transfer(batch, 0).images, batch.images / 255)


def test_draws_stay_on_the_host(tmp_path: Path) -> None:
    loaders = module(dataset(COUNTS), tmp_path, Recipe(augment=Augment(flip=True)))
    batch = next(iter(loaders.train_dataloader()))
    moved = loaders.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved.images.device.type == "meta"
    assert moved.draws is batch.draws


def test_an_epoch_can_be_shortened(tmp_path: Path) -> None:
    loaders = module(dataset(COUNTS), tmp_path)
    assert len(loaders.train_dataloader()) == 4
    loaders.steps_per_epoch = 3
    assert len(loaders.train_dataloader()) == 3
    assert len(loaders.val_dataloader()) == 2


class KilledError(Exception):
    pass


class KillAt(L.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:
            raise KilledError


@pytest.mark.parametrize("step", [2, 5])  # in the first epoch and in the second
def test_lightning_resumes_in_mid_epoch_to_the_same_bits(tmp_path: Path, step: int) -> None:
    recipe = Recipe(augment=Augment(flip=True, shift=1))

    def fit(*callbacks: L.Callback, resume: Path | None = None) -> Watched:
        torch.manual_seed(0)
        model = Watched()
        runner = trainer(tmp_path, callbacks=list(callbacks), enable_checkpointing=bool(callbacks), limit_val_batches=0)
        runner.fit(model, datamodule=module(dataset(COUNTS), tmp_path, recipe), ckpt_path=resume, weights_only=True)
        return model

    whole = fit()

    def saving() -> ModelCheckpoint:
        return ModelCheckpoint(
            dirpath=tmp_path / "saved", filename="step", every_n_train_steps=step, enable_version_counter=False
        )

    with pytest.raises(KilledError):
        fit(saving(), KillAt(step))
    resumed = fit(saving(), resume=tmp_path / "saved" / "step.ckpt")
    assert len(resumed.seen["train"]) == 8 - step
    for ours, theirs in zip(resumed.seen["train"], whole.seen["train"][step:], strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.index, theirs.index)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name])


@pytest.mark.parametrize("counts", [{"test": 3}, {"train": 0, "test": 3}])
def test_an_empty_split_is_named(tmp_path: Path, counts: dict[str, int]) -> None:
    with pytest.raises(DataError, match="noise: split 'train': Expected at least one sample"):
        module(dataset(counts), tmp_path).open({"test": False, "train": True})


def test_a_recipe_that_would_leave_out_scored_pixels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Expected recipe\.resize to be 'stretch', but got 'crop'"):
        module(dataset(COUNTS), tmp_path, Recipe(resize="crop"), targets=Masks)


def test_more_processes_than_samples_are_refused(tmp_path: Path) -> None:
    loaders = module(dataset({"train": 9, "test": 3}), tmp_path)
    loaders.trainer = type("Fake", (), {"global_rank": 0, "world_size": 4})()
    assert len(loaders.train_dataloader()) == 1
    with pytest.raises(DataError, match="'test' has 3 samples, too few for 4 processes"):
        loaders.test_dataloader()


def caches(folder: Path) -> int:
    return sum(path.is_dir() for path in folder.glob("noise/*"))


def test_name_options_and_version_of_the_dataset_are_in_the_caches_key(tmp_path: Path) -> None:
    refs = [
        DatasetRef(name="noise", options={}, version=1),
        DatasetRef(name="noise", options={}, version=2),
        DatasetRef(name="noise", options={"level": 3}, version=1),
        DatasetRef(name="other", options={}, version=1),
    ]
    for count, ref in enumerate(refs, start=1):
        for _ in range(2):
            module(dataset(COUNTS, Unpublished), tmp_path, ref=ref).open({"test": False})
            assert caches(tmp_path) == count


def test_a_plug_ins_source_is_in_the_caches_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    plugin = tmp_path / "someones_plugin.py"
    ref = DatasetRef(name="someones_plugin:build", options={})
    for count, text in enumerate(["LEVEL = 1\n", "LEVEL = 2\n"], start=1):
        plugin.write_text(text)
        importlib.import_module("someones_plugin")
        for _ in range(2):
            module(dataset(COUNTS, Unpublished), tmp_path, ref=ref).open({"test": False})
            assert caches(tmp_path) == count

"""From pixels to a training batch, float in [0, 1]: ours against the usual per-sample `DataLoader` in one process.

CamVid, as people load it: open image and mask with Pillow, resize to 180x240 (bilinear, nearest), `to_tensor`, default
collate. Ours: the same pixels, decoded and resized once into a memory map (once a machine, not counted), in slices.

CIFAR-sized images, both from arrays in memory. The usual way, as torchvision's CIFAR10: `Image.fromarray`, random flip,
`ToTensor`, default collate. Ours: slices, then flips drawn for each sample.

Both sides visit the same samples in the same order, and their batches are compared first: equal to the bit, but for
which images are flipped.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import functional

from cvbench.data import base, camvid
from cvbench.loading.datamodule import DataModule
from cvbench.loading.targets import Labels, Masks
from cvbench.machine import Machine
from cvbench.spec import Augment, DatasetRef, Recipe
from tests.speed.timing import Row, compare

SIZE, CAMVID_BATCH = (180, 240), 8
IMAGES, CIFAR_BATCH = 5000, 128


def measure() -> list[Row]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        return [*_camvid(Path(cache)), *_cifar(Path(cache))]


class UsualCamvid(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, pairs: list[tuple[Path, Path]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = (Image.open(path) for path in self.pairs[index])
        size = list(SIZE)
        image = functional.resize(image.convert("RGB"), size, functional.InterpolationMode.BILINEAR)
        mask = functional.resize(mask, size, functional.InterpolationMode.NEAREST)
        return functional.to_tensor(image), functional.pil_to_tensor(mask)[0]


def _camvid(cache: Path) -> list[Row]:
    repository = Path(__file__).resolve().parents[2]
    root = Path(os.environ.get("CVBENCH_DATA", repository.parent / "shared" / "data"))
    dataset = camvid.build(root)
    split: Any = dataset.splits["train"]
    recipe = Recipe(input_size=SIZE)
    ours = _module(dataset, recipe, cache, Masks, CAMVID_BATCH)
    usual = UsualCamvid([(pair.image, pair.mask) for pair in split.pairs])
    batches = _epoch(ours)
    rows = [row for batch in batches for row in batch.index.tolist()]
    for batch, (images, masks) in zip(batches, _usual(usual, rows, CAMVID_BATCH), strict=True):
        assert torch.equal(batch.images, images)
        void = torch.where(masks == 11, base.VOID, masks)  # SegNet's void
        assert torch.equal(batch.masks, void)
    name = f"CamVid {len(rows)} images to batches of {SIZE[0]}x{SIZE[1]}"
    return [compare(name, _again(ours), _again_usual(usual, rows, CAMVID_BATCH), target=7.0, rounds=5)]


class UsualCifar(Dataset[tuple[Tensor, int]]):
    """As `torchvision.datasets.CIFAR10` with a transform."""

    def __init__(self, images: np.ndarray[Any, Any], labels: list[int], *, flip: bool) -> None:
        self.images, self.labels = images, labels
        steps = [transforms.RandomHorizontalFlip()] if flip else []
        self.transform = transforms.Compose([*steps, transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def _cifar(cache: Path) -> list[Row]:
    drawn = np.random.default_rng(0)
    images = drawn.integers(256, size=(IMAGES, 32, 32, 3)).astype(np.uint8)
    labels = drawn.integers(10, size=IMAGES)
    split = base.ArraySplit([f"train/{index}" for index in range(IMAGES)], images, labels)
    info = base.DatasetInfo(
        name="cifar-sized",
        task="classification",
        protocol={},
        revision="0",
        classes=tuple("0123456789"),
        split_sizes={"train": IMAGES},
        licence="",
        redistributable=True,
        input_size=(32, 32),
    )
    dataset = base.Dataset(info, {"train": split})
    rows = []
    for flip, name in ((False, "images to batches"), (True, "with flips")):
        ours = _module(dataset, Recipe(augment=Augment(flip=flip)), cache, Labels, CIFAR_BATCH)
        usual = UsualCifar(images, labels.tolist(), flip=flip)
        batches = _epoch(ours)
        order = [row for batch in batches for row in batch.index.tolist()]
        expected = _usual(UsualCifar(images, labels.tolist(), flip=False), order, CIFAR_BATCH)
        flipped = 0
        for batch, (plain, truth) in zip(batches, expected, strict=True):
            assert torch.equal(batch.labels, truth)
            same = (batch.images == plain).flatten(1).all(dim=1)
            assert torch.equal(batch.images[~same], plain[~same].flip(-1))
            flipped += int((~same).sum())
        assert abs(flipped - flip * len(order) / 2) <= flip * 200  # 35 is one standard deviation
        title = f"32x32 {name}, {len(order)} images"
        rows.append(compare(title, _again(ours), _again_usual(usual, order, CIFAR_BATCH), target=15.0, rounds=5))
    return rows


def _again(data: DataModule) -> Callable[[], None]:
    """Our side: an epoch of batches, each dropped for the next, as a training does."""
    loader = data.train_dataloader()  # made once a training

    def epoch() -> None:
        for batch in loader:
            data.on_after_batch_transfer(batch, 0)

    return epoch


def _again_usual(usual: Dataset[Any], order: list[int], batch_size: int) -> Callable[[], None]:
    loader = DataLoader(usual, batch_size, sampler=order)

    def epoch() -> None:
        for _ in loader:
            pass

    return epoch


def _module(dataset: base.Dataset, recipe: Recipe, cache: Path, targets: Any, batch_size: int) -> DataModule:
    ref = DatasetRef(name=dataset.info.name, options={}, version=1)
    machine = Machine(cache=cache)
    return DataModule(dataset, recipe, machine, targets=targets, ref=ref, seed=0, batch_size=batch_size)


def _epoch(data: DataModule) -> list[Any]:
    """The first epoch's batches as a training step gets them: from the loader, then float and augmented."""
    return [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]


def _usual(dataset: Dataset[Any], order: list[int], batch_size: int) -> list[Any]:
    return list(DataLoader(dataset, batch_size, sampler=order))

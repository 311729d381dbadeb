"""Sources: the same pixels from arrays, from the cache and from files; what the cache's key must tell apart."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cvbench.data.base import VOID, ArraySplit, DataError, DatasetInfo, Sample, Split
from cvbench.loading.draws import sample_keys, uniforms
from cvbench.loading.geometry import DRAWS
from cvbench.loading.sources import ArraySource, FileSource, open_source
from cvbench.loading.targets import Labels, Masks
from cvbench.spec import Augment, Recipe

COUNT, HEIGHT, WIDTH = 7, 24, 32


class Pictures(Split):
    """Images and masks whose pixels tell their own place: red is x, green is y; mask: x + y. Counts what is read."""

    def __init__(self, *, masks: bool = True) -> None:
        self.ids = [f"train/{index}" for index in range(COUNT)]
        self.masks, self.read = masks, 0

    def __getitem__(self, index: int) -> Sample:
        self.read += 1
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.uint8)
        image = np.stack([4 * x, 4 * y, np.full_like(x, index)], axis=2)
        return Sample(image, x + y if self.masks else index % 3)


def info(**changes: Any) -> DatasetInfo:
    given = DatasetInfo(
        name="pictures",
        task="segmentation",
        protocol={"classes": 60},
        revision="0123456789ab",
        classes=tuple(map(str, range(60))),
        split_sizes={"train": COUNT},
        licence="CC0-1.0",
        redistributable=True,
        input_size=(HEIGHT, WIDTH),
    )
    return dataclasses.replace(given, **changes)


def opened(split: Split, recipe: Recipe, cache: Path, **changes: Any) -> Any:
    given = {"training": True, "cache_limit_bytes": 1 << 30, "key": ("train", {}, 1)} | changes
    data = given.pop("info", info())
    return open_source(split, data, recipe, given.pop("targets", Masks), cache=cache, **given)


def fetch(source: Any, rows: list[int], seed: int = 0) -> Any:
    index = np.array(rows, dtype=np.int64)
    return source.fetch(index, uniforms(seed, 0, sample_keys(source.ids)[index], DRAWS))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [None, (12, 20)])
@pytest.mark.parametrize("targets", [Labels, Masks])
def test_cache_and_files_give_the_same_batch(
    tmp_path: Path, targets: Any, size: tuple[int, int] | None, training: bool
) -> None:
    split = Pictures(masks=targets is Masks)
    recipe = Recipe(input_size=size)
    kept = opened(split, recipe, tmp_path, targets=targets, training=training)
    files = opened(split, recipe, tmp_path, targets=targets, training=training, cache_limit_bytes=0)
    assert isinstance(kept, ArraySource)
    assert isinstance(files, FileSource)
    for ours, theirs in zip(fetch(kept, [6, 0, 3]), fetch(files, [6, 0, 3]), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    batch = fetch(kept, [6, 0, 3])
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (3, 3, *(size or (HEIGHT, WIDTH)))
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_published_arrays_are_sliced_where_the_size_fits(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(COUNT, HEIGHT, WIDTH, 3)).astype(np.uint8)
    split = ArraySplit([str(index) for index in range(COUNT)], images, np.arange(COUNT))
    source = opened(split, Recipe(), tmp_path, targets=Labels, cache_limit_bytes=0)
    assert isinstance(source, ArraySource)
    batch = fetch(source, [5, 2])
    np.testing.assert_array_equal(batch.images.permute(0, 2, 3, 1).numpy(), images[[5, 2]])
    assert batch.labels.tolist() == batch.index.tolist() == [5, 2]
    smaller = opened(split, Recipe(input_size=(12, 16)), tmp_path, targets=Labels)
    expected = Image.fromarray(images[5]).resize((16, 12), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(fetch(smaller, [5]).images[0].permute(1, 2, 0).numpy(), np.asarray(expected))
    cut = opened(split, Recipe(resize="crop", crop_fraction=0.5), tmp_path, targets=Labels)
    box = (8, 6, 24, 18)
    expected = Image.fromarray(images[5]).resize((32, 24), Image.Resampling.BILINEAR, box=box)
    np.testing.assert_array_equal(fetch(cut, [5]).images[0].permute(1, 2, 0).numpy(), np.asarray(expected))


def test_a_cached_split_is_decoded_once(tmp_path: Path) -> None:
    first, second = Pictures(), Pictures()
    opened(first, Recipe(), tmp_path)
    fetch(opened(second, Recipe(), tmp_path), [0, 1, 2])
    assert first.read <= COUNT + 1  # one look at the size of a sample
    assert second.read <= 1


def test_the_limit_counts_images_and_targets(tmp_path: Path) -> None:
    whole = COUNT * HEIGHT * WIDTH * (3 + 1)
    assert isinstance(opened(Pictures(), Recipe(), tmp_path, cache_limit_bytes=whole), ArraySource)
    assert isinstance(opened(Pictures(), Recipe(), tmp_path, cache_limit_bytes=whole - 1), FileSource)


def test_whatever_changes_pixels_changes_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def folders() -> int:
        return sum(path.is_dir() for path in tmp_path.glob("pictures/*"))

    recipe = Recipe(input_size=(12, 16))
    base: dict[str, Any] = {"targets": Masks}
    changes: list[tuple[Recipe, dict[str, Any]]] = [
        (recipe, base),
        (Recipe(input_size=(12, 17)), base),
        (Recipe(input_size=(12, 16), resize="crop"), base | {"training": False}),
        (Recipe(input_size=(12, 16), resize="crop", crop_fraction=0.5), base | {"training": False}),
        (recipe, base | {"training": False}),
        (recipe, base | {"key": ("val", {}, 1)}),
        (recipe, base | {"key": ("train", {"classes": 12}, 1)}),
        (recipe, base | {"key": ("train", {}, 2)}),  # the dataset's VERSION
        (recipe, base | {"info": info(revision="ffffffffffff")}),
        (recipe, base | {"info": info(protocol={"classes": 59})}),
    ]
    for count, (changed, given) in enumerate(changes, start=1):
        opened(Pictures(), changed, tmp_path, **given)
        assert folders() == count, (changed, given)
    monkeypatch.setattr("PIL.__version__", "0.0")
    opened(Pictures(), recipe, tmp_path, **base)
    assert folders() == len(changes) + 1
    # what is done on the device, to the weights, or elsewhere changes no cached pixel
    same = Recipe(input_size=(12, 16), augment=Augment(flip=True, rotate=3.0), lr=0.5, batch_size=2)
    opened(Pictures(), same, tmp_path, **base)
    assert folders() == len(changes) + 1


@pytest.mark.parametrize("seed", range(4))
def test_masks_follow_random_crops_to_the_pixel(tmp_path: Path, seed: int) -> None:
    recipe = Recipe(input_size=(33, 41), augment=Augment(crop_scale=(0.2, 0.9), crop_ratio=(0.75, 4 / 3)))
    source = opened(Pictures(), recipe, tmp_path)
    assert source.crops
    batch = fetch(source, list(range(COUNT)), seed)
    assert batch.masks.shape == (COUNT, 33, 41)
    place = (batch.images[:, 0].float() + batch.images[:, 1].float()) / 4
    distance = (batch.masks.float() - place).abs()
    # half a pixel each way, each channel's rounding; at the very border the filter is one-sided
    assert float(distance[:, 3:-3, 3:-3].max()) <= 1.0 + 0.25 + 1e-3
    assert len({int(mask.sum()) for mask in batch.masks}) == COUNT  # every sample has its own crop


def test_random_crops_depend_on_the_sample_and_its_draws_alone(tmp_path: Path) -> None:
    recipe = Recipe(input_size=(12, 16), augment=Augment(crop_scale=(0.2, 0.9)))
    source = opened(Pictures(), recipe, tmp_path)
    together, alone = fetch(source, [4, 2, 6]), fetch(source, [2])
    assert torch.equal(together.images[1], alone.images[0])
    assert torch.equal(together.masks[1], alone.masks[0])
    assert not torch.equal(fetch(source, [2], seed=1).images[0], alone.images[0])


def test_where_the_input_has_the_images_own_size_crops_are_left_to_the_device(tmp_path: Path) -> None:
    source = opened(Pictures(), Recipe(augment=Augment(crop_scale=(0.2, 0.9))), tmp_path)
    assert isinstance(source, ArraySource)
    assert not source.crops


class Sizes(Split):
    """Every image and mask of another size."""

    ids = ("a", "b")

    def __getitem__(self, index: int) -> Sample:
        size = (10 + index, 12 - index)
        return Sample(np.full((*size, 3), index, dtype=np.uint8), np.full(size, index, dtype=np.uint8))


def test_masks_keep_their_own_size_in_evaluation_padded_with_void(tmp_path: Path) -> None:
    source = opened(Sizes(), Recipe(input_size=(8, 8)), tmp_path, info=info(input_size=None), training=False)
    assert isinstance(source, FileSource)  # masks of different sizes are no array
    batch = fetch(source, [0, 1])
    assert batch.images.shape == (2, 3, 8, 8)
    assert batch.sizes.tolist() == [[10, 12], [11, 11]]
    assert batch.masks.shape == (2, 11, 12)
    assert (batch.masks[0, :10, :12] == 0).all()
    assert (batch.masks[1, :11, :11] == 1).all()
    assert (batch.masks[0, 10:] == VOID).all()
    assert (batch.masks[1, :, 11:] == VOID).all()


def test_an_unusable_cache_costs_speed_only_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "pictures").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        source = opened(Pictures(), Recipe(), tmp_path)
    assert isinstance(source, FileSource)
    assert "cache cannot be used" in caplog.text
    assert fetch(source, [1]).images[0, 2, 0, 0] == 1


class Wrong(Split):
    ids = ("train/ok", "train/bad")

    def __init__(self, image: tuple[int, ...], target: Any) -> None:
        self.image, self.bad = image, target

    def __getitem__(self, index: int) -> Sample:
        if index == 0:
            return Sample(np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8))
        return Sample(np.zeros(self.image, np.uint8), self.bad)


@pytest.mark.parametrize(
    ("image", "target", "told"),
    [
        ((HEIGHT, WIDTH, 1), np.zeros((HEIGHT, WIDTH), np.uint8), r"shape \(24, 32, 3\), but got \(24, 32, 1\)"),
        ((HEIGHT, WIDTH + 1, 3), np.zeros((HEIGHT, WIDTH + 1), np.uint8), r"but got \(24, 33, 3\)"),
        ((HEIGHT, WIDTH, 3), np.zeros((HEIGHT, WIDTH - 1), np.uint8), r"mask of its image's size \(24, 32\), but got"),
        ((HEIGHT, WIDTH, 3), np.zeros((HEIGHT, WIDTH), np.int64), "uint8 mask.* but got int64"),
    ],
)
def test_samples_that_do_not_fit_are_named(tmp_path: Path, image: Any, target: Any, told: str) -> None:
    with pytest.raises(DataError, match=rf"pictures: sample 'train/bad': .*{told}"):
        opened(Wrong(image, target), Recipe(), tmp_path)

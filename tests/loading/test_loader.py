"""The loader: order, rows of each process, resuming to the same bits, worker processes that change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvbench.data.base import DataError
from cvbench.loading.batches import ClassificationBatch
from cvbench.loading.geometry import DRAWS
from cvbench.loading.loader import Loader


class Numbers:
    """A source whose images are their own index; `bad` cannot be decoded."""

    crops = False

    def __init__(self, size: int, *, in_memory: bool = True, bad: int | None = None) -> None:
        self.ids: Sequence[str] = [f"sample/{index}" for index in range(size)]
        self.in_memory, self.bad = in_memory, bad

    def fetch(self, index: NDArray[np.int64], draws: NDArray[np.float32]) -> ClassificationBatch:
        if self.bad in index:
            raise DataError(f"train/{self.bad}.png: truncated")
        images = torch.from_numpy(index.astype(np.uint8))[:, None, None, None]
        return ClassificationBatch(
            images, torch.from_numpy(index) % 3, torch.from_numpy(index), torch.from_numpy(draws)
        )


def training(size: int = 23, batch_size: int = 4, **changes: Any) -> Loader:
    return Loader(changes.pop("source", Numbers(size)), batch_size, training=True, **changes)


def same(ours: Sequence[tuple[Tensor, ...]], theirs: Sequence[tuple[Tensor, ...]]) -> bool:
    return len(ours) == len(theirs) and all(
        torch.equal(a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True)
    )


def rows(batches: Sequence[Any]) -> list[int]:
    return [row for batch in batches for row in batch.index.tolist()]


def test_an_epoch_shuffles_and_drops_the_incomplete_batch() -> None:
    loader = training()
    assert len(loader) == 5
    first, second = list(loader), list(loader)
    for epoch in (first, second):
        assert [len(batch.index) for batch in epoch] == [4] * 5
        assert len(set(rows(epoch))) == 20
        assert all(batch.draws.shape == (4, DRAWS) for batch in epoch)
    assert rows(first) != rows(second)
    assert sorted({*rows(first), *rows(second)}) == list(range(23))  # what one epoch drops, another has


def test_order_and_draws_are_a_function_of_the_seed() -> None:
    assert same(list(training(seed=3)), list(training(seed=3)))
    assert rows(list(training(seed=3))) != rows(list(training(seed=4)))


def test_a_samples_draws_are_the_same_in_every_batching() -> None:
    def drawn(loader: Loader) -> dict[int, list[float]]:
        return {
            row: draw for batch in loader for row, draw in zip(batch.index.tolist(), batch.draws.tolist(), strict=True)
        }

    small, large = drawn(training(24, 2, seed=1)), drawn(training(24, 12, seed=1))
    assert small == large
    assert len({tuple(draw) for draw in small.values()}) == 24


def test_a_small_training_set_is_one_batch_and_steps_shorten_an_epoch() -> None:
    assert [len(batch.index) for batch in training(3, 8)] == [3]
    assert len(training(23, 4, steps=2)) == 2
    assert len(list(training(23, 4, steps=2))) == 2
    assert len(training(23, 4, steps=99)) == 5


def test_evaluation_sees_every_sample_once_in_order_without_draws() -> None:
    loader = Loader(Numbers(10), 4, training=False)
    batches = list(loader)
    assert rows(batches) == list(range(10))
    assert len(loader) == len(batches) == 3
    assert all(batch.draws.shape == (len(batch.index), 0) for batch in batches)
    assert rows(list(loader)) == list(range(10))


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_evaluation_rows_of_all_processes_are_the_split(world: int) -> None:
    loaders = [Loader(Numbers(10), 2, training=False, rank=rank, world=world) for rank in range(world)]
    found = [rows(list(loader)) for loader in loaders]
    assert sorted(row for part in found for row in part) == list(range(10))
    assert [len(list(loader)) for loader in loaders] == [len(loader) for loader in loaders]


@pytest.mark.parametrize("world", [2, 4])
def test_any_number_of_processes_sees_the_same_global_batches(world: int) -> None:
    alone = list(training(50, 8, seed=5))
    parts = [list(training(50, 8 // world, seed=5, rank=rank, world=world)) for rank in range(world)]
    for step, whole in enumerate(alone):
        mine = [part[step] for part in parts]
        assert [len(batch.index) for batch in mine] == [8 // world] * world
        dealt = torch.stack([batch.draws for batch in mine], dim=1).flatten(0, 1)
        assert torch.stack([batch.index for batch in mine], dim=1).flatten().equal(whole.index)
        assert dealt.equal(whole.draws)
    assert [len(part) for part in parts] == [len(alone)] * world


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("taken", [0, 2, 5, 7])
def test_resuming_gives_the_same_bits(taken: int, workers: int) -> None:
    def stream(loader: Loader, count: int) -> list[Any]:
        found: list[Any] = []
        while len(found) < count:
            for batch in loader:
                found.append(batch)
                if len(found) == count:
                    break
        return found

    def new() -> Loader:
        return training(source=Numbers(23, in_memory=False), seed=9, workers=workers)

    whole = stream(new(), 12)  # two epochs of five batches and some
    before = new()
    assert same(stream(before, taken), whole[:taken])
    after = new()
    after.load_state_dict(before.state_dict())
    assert same(stream(after, 12 - taken), whole[taken:])


def test_state_of_another_batch_size_is_refused() -> None:
    with pytest.raises(ValueError, match="below the 2 batches of an epoch, but got 4"):
        training(23, 8).load_state_dict({"epoch": 0, "position": 4})


@pytest.mark.parametrize("train", [True, False])
def test_worker_processes_change_nothing(train: bool) -> None:
    source = Numbers(23, in_memory=False)
    alone = Loader(source, 4, training=train, seed=1)
    state = torch.get_rng_state()
    helped = Loader(source, 4, training=train, seed=1, workers=2)
    for _ in range(2):
        assert same(list(helped), list(alone))
    assert torch.equal(torch.get_rng_state(), state)


def test_arrays_in_memory_start_no_workers() -> None:
    assert Loader(Numbers(4), 2, training=False, workers=3).workers == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_data_are_told_in_their_own_words(workers: int) -> None:
    loader = Loader(Numbers(9, in_memory=False, bad=7), 2, training=False, workers=workers)
    with pytest.raises(DataError) as raised:
        list(loader)
    assert str(raised.value) == "train/7.png: truncated"


@pytest.mark.parametrize(("world", "accumulate"), [(1, 2), (1, 4), (2, 2)])
def test_parts_of_a_batch_are_the_batch(world: int, accumulate: int) -> None:
    whole = list(training(50, 8, seed=5))
    size = 8 // (world * accumulate)
    loaders = [training(50, size, seed=5, rank=rank, world=world, accumulate=accumulate) for rank in range(world)]
    assert [len(loader) for loader in loaders] == [len(whole) * accumulate] * world
    mine = [list(loader) for loader in loaders]
    for place, batch in enumerate(whole):
        parts = [part for process in mine for part in process[place * accumulate : (place + 1) * accumulate]]
        assert [len(part.index) for part in parts] == [size] * (world * accumulate)
        assert sorted(rows(parts)) == sorted(rows([batch]))
        for part in parts:
            for row, draws in zip(part.index, part.draws, strict=True):
                assert torch.equal(draws, batch.draws[batch.index == row][0])


def test_an_epoch_of_fewer_steps_has_all_their_parts() -> None:
    assert len(training(50, 2, accumulate=2, steps=3)) == 6


def test_a_part_without_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a sample for each of 4 parts of a batch, but there are 3"):
        training(3, 4, accumulate=4)

"""The decoded cache: built once, by one process, whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from cvbench.data.base import DataError
from cvbench.loading.cache import CacheError, Ragged, UnequalTargetsError, cache_key, cached


def prepare(index: int) -> tuple[np.ndarray, np.ndarray]:
    image = np.full((4, 6, 3), index, dtype=np.uint8)
    image[0, 0] = (index, 1, 2)
    return image, np.asarray(10 * index, dtype=np.int64)


def never(index: int) -> tuple[np.ndarray, np.ndarray]:
    raise AssertionError("prepared again")


def test_arrays_are_what_was_prepared_and_are_read_back(tmp_path: Path) -> None:
    built, again = cached(tmp_path / "c" / "key", 5, prepare), cached(tmp_path / "c" / "key", 5, never)
    for arrays in (built, again):
        assert arrays.images.dtype == np.uint8
        assert arrays.images.shape == (5, 4, 6, 3)
        assert arrays.targets.tolist() == [0, 10, 20, 30, 40]
        np.testing.assert_array_equal(arrays.images, np.stack([prepare(index)[0] for index in range(5)]))
        assert isinstance(arrays.images, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            arrays.images[0] = 0


def test_targets_of_different_lengths_are_read_back_in_any_order(tmp_path: Path) -> None:
    targets = [np.arange(2 * rows, dtype=np.float64).reshape(rows, 2) + 100 * rows for rows in (3, 0, 1, 4)]

    def ragged(index: int) -> tuple[np.ndarray, np.ndarray]:
        return prepare(index)[0], targets[index]

    for again in (ragged, never):
        found = cached(tmp_path / "key", 4, again, ragged=True).targets
        assert isinstance(found, Ragged)
        for index, rows in zip([3, 1, 0, 3, 2], found.at(np.array([3, 1, 0, 3, 2])), strict=True):
            np.testing.assert_array_equal(rows, targets[index])


def test_masks_and_images_that_are_not_contiguous(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(256, size=(3, 8, 8, 3)).astype(np.uint8)
    arrays = cached(tmp_path / "key", 3, lambda index: (whole[index, ::2, ::-1], whole[index, :, :, 0]))
    np.testing.assert_array_equal(arrays.images, whole[:, ::2, ::-1])
    np.testing.assert_array_equal(arrays.targets, whole[:, :, :, 0])


def test_a_finished_cache_needs_no_lock_and_so_no_permission_to_write(tmp_path: Path) -> None:
    cached(tmp_path / "key", 2, prepare)
    (tmp_path / "key.lock").unlink()
    cached(tmp_path / "key", 2, never)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def _build_and_count(folder: Path, counts: Path, together: Barrier) -> None:
    def slow(index: int) -> tuple[np.ndarray, np.ndarray]:
        with counts.open("a") as file:  # appending is atomic for so little
            file.write(f"{index}\n")
        time.sleep(0.01)
        return prepare(index)

    together.wait()
    arrays = cached(folder, 30, slow)
    assert arrays.targets.sum() == 10 * 29 * 30 / 2


def test_of_several_processes_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    given = (tmp_path / "key", tmp_path / "counts", context.Barrier(4))
    processes = [context.Process(target=_build_and_count, args=given) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert (tmp_path / "counts").read_text().split() == [str(index) for index in range(30)]


def _die_half_way(folder: Path) -> None:
    def dying(index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return prepare(index)

    cached(folder, 5, dying)


def test_a_killed_builder_costs_the_next_one_nothing_but_the_work(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die_half_way, args=(tmp_path / "key",))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "key.building").is_dir()
    assert cached(tmp_path / "key", 5, prepare).targets.tolist() == [0, 10, 20, 30, 40]
    assert not (tmp_path / "key.building").exists()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses to let files grow beyond `size`: an error like that of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [10, 300_000])  # not even the header; some images
def test_a_disk_without_room_raises_and_leaves_nothing(tmp_path: Path, room: int) -> None:
    image, target = np.zeros((100, 100, 3), dtype=np.uint8), np.zeros(())
    with files_of_at_most(room), pytest.raises(CacheError, match=r"images\.npy|targets\.npy"):
        cached(tmp_path / "key", 20, lambda index: (image, target))
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]
    assert cached(tmp_path / "key", 20, lambda index: (image, target)).images.shape == (20, 100, 100, 3)


def test_a_folder_that_cannot_be_made_is_a_cache_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError):
        cached(tmp_path / "file" / "key", 2, prepare)


@pytest.mark.parametrize(
    "error", [DataError("train/7.png: truncated"), OSError("the share is gone"), KeyboardInterrupt()]
)
def test_errors_of_the_data_pass_as_they_are_and_leave_nothing(tmp_path: Path, error: BaseException) -> None:
    def damaged(index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == 2:
            raise error
        return prepare(index)

    with pytest.raises(type(error)) as raised:
        cached(tmp_path / "key", 5, damaged)
    assert raised.value is error
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_targets_of_different_shapes_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnequalTargetsError):
        cached(tmp_path / "key", 3, lambda index: (prepare(index)[0], np.zeros((index, 2))))
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_key_depends_on_every_fact_and_on_no_order_of_keys() -> None:
    facts = ("train", {"classes": 11, "layout": "auto"}, 1, (180, 240))
    assert cache_key(*facts) == cache_key("train", {"layout": "auto", "classes": 11}, 1, [180, 240])
    others = [
        ("val", *facts[1:]),
        ("train", {"classes": 12, "layout": "auto"}, *facts[2:]),
        (*facts[:2], 2, facts[3]),
        (*facts[:3], (180, 241)),
    ]
    assert len({cache_key(*other) for other in [facts, *others]}) == 5
    with pytest.raises(TypeError):
        cache_key(object())  # its text would name an address in memory: another key in every process

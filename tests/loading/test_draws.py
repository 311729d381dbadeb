"""Draws: the published generator, uniform, and a function of (seed, epoch, sample) alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from cvbench.loading.draws import epoch_order, sample_keys, splitmix64, uniforms

IDS = [f"train/{index:05d}" for index in range(4000)]


def test_splitmix64_gives_the_published_numbers() -> None:
    # Vigna's splitmix64.c, seed 1234567 (also Rosetta Code, "Pseudo-random numbers/Splitmix64")
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    found = splitmix64(np.array([1234567, 0], dtype=np.uint64), 5)
    assert found[0].tolist() == known
    assert found[1, 0] == 0xE220A8397B1DCDAF  # Vigna's splitmix64.c, seed 0


def test_keys_are_the_first_bytes_of_sha256() -> None:
    known = int.from_bytes(hashlib.sha256(b"train/00001").digest()[:8], "little")
    assert sample_keys(IDS)[1] == known


def test_uniform_in_every_column_and_independent_between_columns() -> None:
    draws = uniforms(0, 0, sample_keys(IDS), 4)
    assert draws.dtype == np.float32
    assert draws.min() >= 0
    assert draws.max() < 1
    for column in draws.T:
        assert kstest(column, "uniform").pvalue > 1e-3
    cells = np.histogram2d(draws[:, 0], draws[:, 1], bins=8, range=[[0, 1], [0, 1]])[0]
    assert chisquare(cells.ravel()).pvalue > 1e-3


def test_another_seed_or_epoch_gives_unrelated_numbers() -> None:
    keys = sample_keys(IDS)
    first = uniforms(0, 0, keys, 2)
    for other in (uniforms(1, 0, keys, 2), uniforms(0, 1, keys, 2)):
        assert abs(np.corrcoef(first[:, 0], other[:, 0])[0, 1]) < 0.06  # 4 sigma of 4,000 pairs


def test_a_samples_draws_do_not_depend_on_its_batch() -> None:
    keys = sample_keys(IDS)
    whole = uniforms(7, 3, keys, 11)
    chosen = np.array([3999, 5, 17])
    np.testing.assert_array_equal(uniforms(7, 3, keys[chosen], 11), whole[chosen])
    np.testing.assert_array_equal(uniforms(7, 3, keys[chosen], 4), whole[chosen, :4])


@pytest.mark.parametrize("seed", [0, 2**63 + 5, 2**70])
def test_order_is_a_permutation_that_changes_with_the_epoch(seed: int) -> None:
    orders = [epoch_order(seed, epoch, 100) for epoch in (0, 1, 0)]
    assert sorted(orders[0]) == list(range(100))
    assert orders[0].tolist() == orders[2].tolist() != orders[1].tolist()
    assert orders[0].dtype == np.int64


def test_order_puts_every_sample_everywhere() -> None:
    orders = np.stack([epoch_order(0, epoch, 8) for epoch in range(2000)])
    places = np.stack([np.bincount(column, minlength=8) for column in orders.T])
    assert chisquare(places.ravel()).pvalue > 1e-3

from __future__ import annotations

import numpy as np
import pytest

from cvbench.data.split import hashed


def test_threshold_is_the_first_8_bytes_of_sha256():
    # NIST's example: sha256("abc") = ba7816bf 8f01cfea …, and 0xba7816bf8f01cfea / 2**64 = 0.72839491…
    assert hashed(["abc"], 0.728394).tolist() == [False]
    assert hashed(["abc"], 0.728395).tolist() == [True]


def test_salt_goes_before_the_id():
    assert hashed(["c"], 0.728394, salt="ab").tolist() == [False]
    assert hashed(["c"], 0.728395, salt="ab").tolist() == [True]


def test_shares_nest_and_reach_their_ends():
    ids = [f"train/{number}" for number in range(10_000)]
    small, large = hashed(ids, 0.1), hashed(ids, 0.3)
    assert not (small & ~large).any()
    # four standard deviations of a binomial draw
    assert abs(small.sum() - 1_000) < 4 * np.sqrt(10_000 * 0.1 * 0.9)
    assert abs(large.sum() - 3_000) < 4 * np.sqrt(10_000 * 0.3 * 0.7)
    assert not hashed(ids, 0).any()
    assert hashed(ids, 1).all()


def test_a_sample_keeps_its_place_when_others_leave():
    ids = [f"train/{number}" for number in range(100)]
    assert hashed(ids[50:], 0.5).tolist() == hashed(ids, 0.5)[50:].tolist()


def test_groups_stay_together():
    groups = [f"scene{number // 10}" for number in range(200)]
    taken = hashed([str(number) for number in range(200)], 0.5, groups=groups)
    assert set(taken.reshape(20, 10).sum(1).tolist()) == {0, 10}


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_outside_0_and_1(share: float):
    with pytest.raises(ValueError, match=r"`share` to be in \[0, 1\]"):
        hashed(["a"], share)


def test_groups_of_another_length():
    with pytest.raises(ValueError, match="one group for each of 2 samples, but got 1"):
        hashed(["a", "b"], 0.5, groups=["x"])

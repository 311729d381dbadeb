"""Random numbers that are a pure function of (seed, epoch, sample): equal on 1 or N processes, and after a resume."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def sample_keys(ids: Sequence[str]) -> NDArray[np.uint64]:
    """One 64-bit key a sample id (the first 8 bytes of its SHA-256), uint64 (N,)."""
    digests = b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def uniforms(seed: int, epoch: int, keys: NDArray[np.uint64], count: int) -> NDArray[np.float32]:
    """`count` numbers from [0, 1) for each sample, float32 (N, count), multiples of 2**-24.

    Each sample has its own SplitMix64 stream (Steele, Lea & Flood 2014), seeded with a mix of its key and of
    hash(seed, epoch); what else is in `keys` changes nothing.
    """
    epoch_key = np.uint64(int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8], "little"))
    bits = splitmix64(_mix(keys ^ epoch_key), count)
    return (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def splitmix64(seeds: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    """The first `count` outputs of SplitMix64 for each seed: uint64 (N,) -> uint64 (N, count)."""
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2**64 by design
        return _mix(seeds[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def epoch_order(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    """The order in which one epoch visits `size` samples, int64 (size,)."""
    # A Philox key is two words of 64 bits; Python's integers have no limit.
    key = np.array([seed % 2**64, epoch], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(size).astype(np.int64)

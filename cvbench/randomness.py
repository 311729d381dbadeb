"""The state of all random generators of this process, as plain numbers and tensors, which need no pickle to be read."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def state() -> dict[str, Any]:
    """Python's, numpy's and torch's generators, as plain numbers and tensors, which need no pickle."""
    version, words, gauss = random.getstate()
    numpys: Any = np.random.get_state()
    name, keys, place, has_gauss, cached = numpys
    return {
        "python": [version, torch.tensor(words), gauss],
        "numpy": [str(name), torch.tensor(keys.astype(np.int64)), int(place), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }


def restore(saved: Mapping[str, Any]) -> None:
    """Puts the generators where `state` found them."""
    version, words, gauss = saved["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    name, keys, *rest = saved["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(saved["torch"])

"""What the tests of models share: descriptions of data sets that need no data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from cvbench.data.base import DatasetInfo

MakeInfo = Callable[..., DatasetInfo]


@pytest.fixture
def make_info() -> MakeInfo:
    """`make_info(classes=10, size=(32, 32), channels=3)` -> DatasetInfo with mean 0.4 and std 0.2."""

    def make(classes: int = 10, size: tuple[int, int] = (32, 32), channels: int = 3) -> DatasetInfo:
        return DatasetInfo(
            name="made_up",
            task="classification",
            protocol={},
            revision="0" * 12,
            classes=tuple(f"class {index}" for index in range(classes)),
            split_sizes={"test": 1},
            licence="none",
            redistributable=True,
            channels=channels,
            mean=(0.4,) * channels,
            std=(0.2,) * channels,
            input_size=size,
        )

    return make


@pytest.fixture
def deterministic() -> Iterator[None]:
    """PyTorch refuses every operation that is not deterministic while the test runs."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)

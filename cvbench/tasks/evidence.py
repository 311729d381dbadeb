"""`Evidence`: what the model said about each sample, gathered on the device and merged exactly across processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class Evidence(Metric):
    """Rows a sample (concatenated across processes) and sums over the split (added), with every sample's index.

    per_sample: names of the rows. summed: name -> shape of the int64 sums. several: name of the counts -> names of the
    columns that have so many rows a sample, sample after sample, such as boxes.
    """

    full_state_update = False

    def __init__(
        self,
        per_sample: Sequence[str],
        summed: Mapping[str, tuple[int, ...]] | None = None,
        several: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        self.per_sample, self.summed = tuple(per_sample), dict(summed or {})
        self.several = {name: tuple(columns) for name, columns in (several or {}).items()}
        self.kept = (
            "index",
            *self.per_sample,
            *self.several,
            *(c for columns in self.several.values() for c in columns),
        )
        for name in self.kept:
            self.add_state(f"rows_{name}", default=[], dist_reduce_fx="cat")
        for name, shape in self.summed.items():
            self.add_state(f"sum_{name}", default=torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, index: Tensor, values: Mapping[str, Tensor]) -> None:
        """index int64 (B,): positions in the split. values: (B, ...) for rows and counts, as many as these say for
        columns, the batch's total for sums.
        """
        for name in self.kept:
            getattr(self, f"rows_{name}").append(index if name == "index" else values[name])
        for name in self.summed:
            setattr(self, f"sum_{name}", getattr(self, f"sum_{name}") + values[name])

    def compute(self) -> dict[str, NDArray[Any]]:
        """Rows in the order of the split and the sums, on the host, with `index`.

        A sample that two processes saw counts once. Raises RuntimeError where that would leave a sum wrong.
        """
        index = self._gathered("index")
        unique, first = np.unique(index, return_index=True)
        if self.summed and len(unique) != len(index):
            raise RuntimeError(
                f"{len(index) - len(unique)} samples were scored twice; sums over the split would be wrong"
            )
        found: dict[str, NDArray[Any]] = {"index": unique}
        for name in self.per_sample:
            found[name] = self._gathered(name)[first]
        for name, columns in self.several.items():
            counts = self._gathered(name)
            found[name] = counts[first]
            starts = np.cumsum(counts) - counts
            # The rows of each sample that is kept, in the order of the split.
            wanted = np.repeat(starts[first] - np.cumsum(counts[first]) + counts[first], counts[first])
            wanted += np.arange(len(wanted))
            found |= {column: self._gathered(column)[wanted] for column in columns}
        for name in self.summed:
            found[name] = getattr(self, f"sum_{name}").cpu().numpy()
        return found

    def _gathered(self, name: str) -> NDArray[Any]:
        # A list of batches, or one tensor once the processes' lists have been merged.
        rows: NDArray[Any] = dim_zero_cat(getattr(self, f"rows_{name}")).cpu().numpy()
        return rows

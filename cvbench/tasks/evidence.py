"""`Evidence`: what the model said about each sample, gathered on the device and merged exactly across processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class Evidence(Metric):
    """Rows a sample (concatenated across processes) and sums over the split (added), with every sample's index.

    per_sample: names of the rows. summed: name -> shape of the int64 sums.
    """

    full_state_update = False

    def __init__(self, per_sample: Sequence[str], summed: Mapping[str, tuple[int, ...]] | None = None) -> None:
        super().__init__()
        self.per_sample, self.summed = tuple(per_sample), dict(summed or {})
        for name in ("index", *self.per_sample):
            self.add_state(f"rows_{name}", default=[], dist_reduce_fx="cat")
        for name, shape in self.summed.items():
            self.add_state(f"sum_{name}", default=torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, index: Tensor, values: Mapping[str, Tensor]) -> None:
        """index int64 (B,): positions in the split. values: (B, ...) for rows, the batch's total for sums."""
        for name, rows in {"index": index, **{name: values[name] for name in self.per_sample}}.items():
            getattr(self, f"rows_{name}").append(rows)
        for name in self.summed:
            setattr(self, f"sum_{name}", getattr(self, f"sum_{name}") + values[name])

    def compute(self) -> dict[str, NDArray[np.generic]]:
        """Rows in the order of the split and the sums, on the host, with `index`.

        A sample that two processes saw counts once. Raises RuntimeError where that would leave a sum wrong.
        """
        index = self._gathered("index")
        unique, first = np.unique(index, return_index=True)
        if self.summed and len(unique) != len(index):
            raise RuntimeError(
                f"{len(index) - len(unique)} samples were scored twice; sums over the split would be wrong"
            )
        found: dict[str, NDArray[np.generic]] = {"index": unique}
        for name in self.per_sample:
            found[name] = self._gathered(name)[first]
        for name in self.summed:
            found[name] = getattr(self, f"sum_{name}").cpu().numpy()
        return found

    def _gathered(self, name: str) -> NDArray[np.generic]:
        # A list of batches, or one tensor once the processes' lists have been merged.
        rows: NDArray[np.generic] = dim_zero_cat(getattr(self, f"rows_{name}")).cpu().numpy()
        return rows

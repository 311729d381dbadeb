"""The losses of a training, kept as tensors: reading a value at every step would wait for the device each time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class LossIsNotFiniteError(ValueError):
    """Training diverged."""


class Losses:
    """Of this process, of the epoch under way. `parts`: losses of one step (`cvbench.tasks.accumulation`)."""

    def __init__(self, parts: int = 1) -> None:
        self.parts = parts
        self._unchecked: list[Tensor] = []
        self._epoch: list[Tensor] = []
        self._seen = 0  # counted here: the Trainer's own count lags behind inside a step

    def add(self, loss: Tensor, epoch: int) -> None:
        """epoch: from 0, for the message. Raises LossIsNotFiniteError, at the latest 50 losses after the first bad."""
        self._unchecked.append(loss.detach())
        self._seen += 1
        if len(self._unchecked) >= 50:
            self.check(epoch)

    def check(self, epoch: int) -> None:
        """Raises LossIsNotFiniteError that names the first bad step."""
        if not self._unchecked:
            return
        stacked = torch.stack(self._unchecked).float()
        finite = torch.isfinite(stacked)
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0, 0])
            step = (self._seen - len(self._unchecked) + first) // self.parts + 1
            raise LossIsNotFiniteError(
                f"the loss is {float(stacked[first])} at step {step} (epoch {epoch + 1}); "
                "lower recipe.lr, set recipe.gradient_clip, or use precision 32-true"
            )
        self._epoch += self._unchecked
        self._unchecked = []

    def mean(self, epoch: int) -> Tensor:
        """The epoch's mean, float64; the next epoch begins. Raises LossIsNotFiniteError."""
        self.check(epoch)
        mean = torch.stack(self._epoch).double().mean()
        self._epoch = []
        return mean

    def state_dict(self) -> dict[str, Any]:
        kept = self._epoch + self._unchecked
        return {"epoch": torch.stack(kept).cpu() if kept else None, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        # Those of a saved state count as unchecked: checking them again costs nothing.
        self._unchecked = [] if state["epoch"] is None else list(state["epoch"].to(device).unbind())
        self._epoch, self._seen = [], state["seen"]

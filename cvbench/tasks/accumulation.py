"""A batch that does not fit into memory at once, taken in parts: the gradient stays that of the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class Accumulation:
    """Weighs the mean losses of a step's parts by what each is a mean over, so that their sum is that of the whole.

    The Trainer averages the gradients of `parts` losses. With l_i the mean over n_i samples, pixels or words, the mean
    over all is sum(n_i l_i) / sum(n_i); the sum below is known only after the last part, so it divides the gradients.

    batch: samples of a part. Equal parts have a weight of exactly 1.
    """

    def __init__(self, parts: int, batch: int) -> None:
        self.parts, self.batch = parts, batch
        self._counts: list[Tensor] = []

    def weighed(self, loss: Tensor, count: Tensor) -> Tensor:
        """loss: the mean over `count`, both scalars on the device -> what to take the gradient of."""
        # Relative to the samples: float16 has little room above, and a part may have a million pixels.
        share = count.detach().float() / self.batch
        self._counts.append(share)
        return loss * share

    def normalise(self, parameters: Iterable[nn.Parameter], mean_of_processes: Callable[[Tensor], Tensor]) -> None:
        """Divides the gathered gradients by what all parts, of all processes, were means over."""
        total = mean_of_processes(torch.stack(self._counts).sum())
        self._counts = []
        factor = self.parts / total
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

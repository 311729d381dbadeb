"""What a model may return besides plain logits."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class WithAuxiliary(NamedTuple):
    """Logits of the model and of its auxiliary heads; returned in training mode only.

    logits: (B, K) or (B, K, h, w), what the model also returns in eval mode.
    auxiliary: logits of each auxiliary head, of the same kind; h and w may differ.
    weight: factor of each auxiliary loss: loss = loss(logits) + weight * sum(loss(a) for a in auxiliary).
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...]
    weight: float


class WithPenalty(NamedTuple):
    """Logits and what the model itself adds to the loss; returned in training mode only.

    logits: what the model also returns in eval mode. penalty: a scalar that is added to the loss as it is.
    """

    logits: Tensor
    penalty: Tensor

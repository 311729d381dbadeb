"""Classifiers: images -> logits (B, C), in training also those of auxiliary heads (`WithAuxiliary`)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cvbench.contracts.base import Contract, require, require_finite
from cvbench.data.base import DatasetInfo
from cvbench.models.outputs import WithAuxiliary


class ClassificationContract(Contract):
    """Logits of one shape in both modes."""

    def check_training(self, output: Any, images: Tensor, targets: Any, info: DatasetInfo) -> None:
        heads = [output.logits, *output.auxiliary] if isinstance(output, WithAuxiliary) else [output]
        for logits in heads:
            require(logits, "logits", (len(images), info.num_classes))

    def check_prediction(self, output: Any, images: Tensor, info: DatasetInfo) -> None:
        require_finite(require(output, "logits in eval mode", (len(images), info.num_classes)), "logits")

    def first(self, output: Any) -> Tensor | None:
        return output[0]  # type: ignore[no-any-return]


CONTRACT = ClassificationContract()

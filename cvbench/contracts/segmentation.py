"""Segmenters: images -> logits (B, C, h, w) of any size, which are resized to the masks' own."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cvbench.contracts.base import Contract, require, require_finite
from cvbench.data.base import DatasetInfo
from cvbench.models.outputs import WithAuxiliary


class SegmentationContract(Contract):
    """Maps of logits in both modes."""

    size = (360, 480)
    count = 11
    batch_size = 8

    def check_training(self, output: Any, images: Tensor, targets: Any, info: DatasetInfo) -> None:
        heads = [output.logits, *output.auxiliary] if isinstance(output, WithAuxiliary) else [output]
        for logits in heads:
            require(logits, "logits", (len(images), info.num_classes, None, None))

    def check_prediction(self, output: Any, images: Tensor, info: DatasetInfo) -> None:
        require_finite(require(output, "logits in eval mode", (len(images), info.num_classes, None, None)), "logits")

    def first(self, output: Any) -> Tensor | None:
        return output[0]  # type: ignore[no-any-return]


CONTRACT = SegmentationContract()

"""Classification: one class an image.

Year: 1998
Source: LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 1998
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cvbench.data.drawing import below, scaled, written
from cvbench.loading.batches import ClassificationBatch
from cvbench.loading.targets import Labels
from cvbench.metrics import classification as scores
from cvbench.tasks.base import Description, Task
from cvbench.tasks.evidence import Evidence
from cvbench.tasks.kernels import classification_rows

VERSION = 1


class ClassificationTask(Task):
    """Cross-entropy with label smoothing and class weights over logits (B, num_classes)."""

    targets = Labels
    scores = scores

    def criterion(self, logits: Tensor, batch: ClassificationBatch) -> Tensor:
        return F.cross_entropy(
            logits.float(), batch.labels, weight=self.class_weights, label_smoothing=self.recipe.label_smoothing
        )

    def counted(self, batch: ClassificationBatch) -> Tensor:
        return super().counted(batch) if self.class_weights is None else self.class_weights[batch.labels].sum()

    def model_targets(self, batch: ClassificationBatch) -> Tensor:
        return batch.labels

    def new_evidence(self) -> Evidence:
        return Evidence(("label", "top", "top_probability", "true_log_probability", "true_rank"))

    def evidence_of(self, batch: ClassificationBatch) -> dict[str, Tensor]:
        return {"label": batch.labels, **classification_rows(self(batch.images).float(), batch.labels)}

    def split_evidence(
        self, gathered: dict[str, NDArray[Any]], ids: NDArray[np.str_]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        names = ("top", "top_probability", "true_log_probability", "true_rank")
        evidence = {"ids": ids, **{name: gathered[name] for name in names}}
        return evidence, {"ids": ids, "labels": gathered["label"], "classes": np.asarray(self.info.classes)}

    def describe(self, images: Tensor, original: NDArray[np.uint8], truth: int | None = None) -> Description:
        probabilities = self(images).float().softmax(dim=1)[0]
        best = probabilities.topk(min(5, self.info.num_classes))
        top = [
            {"label": self.info.classes[index], "probability": round(value, 6)}
            for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        lines = [f"{item['probability']:6.1%}  {item['label']}" for item in top]
        lines += [] if truth is None else [f"truth: {self.info.classes[truth]}"]
        picture = scaled(original, smoothly=min(original.shape[:2]) > 64)
        return Description({"top": top}, below(picture, written(lines, max(240, picture.width))))


TASK = ClassificationTask

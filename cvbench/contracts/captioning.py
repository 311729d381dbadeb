"""Captioners: logits of the next word, given the words before it; and `generate`, which writes a caption."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cvbench.contracts.base import BrokenContractError, Contract, require, require_finite
from cvbench.data.base import DatasetInfo
from cvbench.language.vocabulary import BEGIN, END, PAD, SPECIAL, UNKNOWN
from cvbench.models.captioning.search import Generated
from cvbench.models.outputs import WithPenalty
from cvbench.tasks.base import Task


class CaptioningContract(Contract):
    """logits (B, R, L - 1, V) of captions (B, R, L); generated tokens (B, T): words, END, PAD."""

    count = 10_000

    def info(self, task: str, size: tuple[int, int], count: int) -> DatasetInfo:
        words = SPECIAL + tuple(f"word{index}" for index in range(count - len(SPECIAL)))
        return dataclasses.replace(super().info(task, size, 0), vocabulary=words)

    def train(self, model: nn.Module, images: Tensor, targets: Any) -> Any:
        return model(images, targets)

    def check_training(self, output: Any, images: Tensor, targets: Any, info: DatasetInfo) -> None:
        logits = output
        if isinstance(output, WithPenalty):
            require(output.penalty, "the penalty", ())
            logits = output.logits
        batch, several, length = targets.shape
        require(logits, "logits", (batch, several, length - 1, len(info.vocabulary or ())))

    def check_prediction(self, output: Any, images: Tensor, info: DatasetInfo) -> None:
        if not isinstance(output, Generated):
            raise BrokenContractError(f"Expected `generate` to return Generated, but got {type(output).__name__}")
        tokens = require(output.tokens, "tokens", (len(images), None), dtype=torch.int64)
        require(output.log_probability, "log_probability", (len(images),))
        if output.attention is not None:
            require(output.attention, "attention", (*tokens.shape, None, None))
        require_finite(output, "log probabilities and attention")
        words = len(info.vocabulary or ())
        if bool(((tokens < 0) | (tokens >= words)).any()):
            raise BrokenContractError(f"Expected tokens in 0..{words - 1}, but got {int(tokens.min())} to "
                                      f"{int(tokens.max())}")  # fmt: skip
        if bool(((tokens == BEGIN) | (tokens == UNKNOWN)).any()):
            raise BrokenContractError("Expected captions of words, but some hold the token BEGIN or UNKNOWN")
        ended = (tokens == END).cumsum(dim=1)
        behind = ended - (tokens == END).int() > 0
        if bool((ended[:, -1:] != 1).any()) or bool(((tokens == PAD) != behind).any()):
            raise BrokenContractError("Expected words, one END, then PAD, but some caption has another order")

    def more(self, task: Task, batch: Any) -> Mapping[str, Callable[[], None]]:
        images, model = task.laid_out(batch.images), task.model

        def greedy() -> None:
            with torch.inference_mode():
                self.check_prediction(model.generate(images, greedy=True), images, task.info)  # type: ignore[operator]

        def words_to_come_are_not_seen() -> None:
            captions = task.model_targets(batch)
            place = captions.shape[-1] // 2
            others = captions.clone()
            others[..., place:] = torch.where(others[..., place:] == PAD, PAD, UNKNOWN)
            with torch.inference_mode():
                known, changed = model(images, captions), model(images, others)
            if not torch.allclose(known[..., :place, :], changed[..., :place, :], rtol=1e-3, atol=1e-4):
                raise BrokenContractError(
                    f"Expected logits that depend on earlier words, but changing those from {place} on changed them"
                )

        return {"greedy captions": greedy, "words to come are not seen": words_to_come_are_not_seen}


CONTRACT = CaptioningContract()

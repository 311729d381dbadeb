"""The most common training caption, whatever the image shows: the floor that every captioner has to beat.

Year: 2015
Source: the constant predictor; Chen et al., "Microsoft COCO Captions" (arXiv:1504.00325) for what it is held against

There are no parameters, hence no training: `finalise` counts the captions. Where several are equally common, as on
data sets whose sentences are nearly all different, the one of the commonest words is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.language.vocabulary import BEGIN, END, PAD, UNKNOWN
from cvbench.models.captioning.search import Generated
from cvbench.models.captioning.words import Worded, words_of

VERSION = 1

Caption = tuple[int, ...]


class Prior(Worded):
    """tokens: int64 (longest + 1,), the caption with END and PAD. log_frequency: float32 (V,), of each token that
    follows another in training captions. log_probability: float32 (), the caption's share of them. Before `finalise`
    the caption is empty and all tokens are equally frequent.
    """

    tokens: Tensor
    log_frequency: Tensor
    log_probability: Tensor

    def __init__(self, info: DatasetInfo, longest: int) -> None:
        super().__init__()
        if longest < 1:
            raise ValueError(f"Expected `longest` to be 1 or more, but got {longest}")
        words = len(words_of(info))
        self.longest = longest
        self.take_vocabulary(info)
        self.register_buffer("tokens", torch.tensor([END] + [PAD] * longest))
        self.register_buffer("log_frequency", torch.full((words,), 1 / words).log())
        self.register_buffer("log_probability", torch.zeros(()))

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        """Logits (B, R, L - 1, V) that know how frequent each token is, and nothing else."""
        batch, several, length = captions.shape
        return self.log_frequency.expand(batch, several, length - 1, -1)

    def generate(self, images: Tensor, *, greedy: bool = False) -> Generated:
        """The caption, once for each image."""
        tokens = self.tokens[: int((self.tokens != PAD).sum())]
        return Generated(tokens.expand(len(images), -1).clone(), self.log_probability.expand(len(images)).clone(), None)

    def finalise(self, loader: Iterable[tuple[Tensor, Tensor]], generator: torch.Generator) -> None:
        """Counts the captions int64 (B, R, L) of the training split. Raises ValueError where there is none."""
        counts: Counter[Caption] = Counter()
        for _, captions in loader:
            counts.update(_read(row) for row in captions.flatten(0, 1).tolist() if row[0] == BEGIN)
        if not counts:
            raise ValueError("Expected captions in the train split, but there is none")
        followed = torch.zeros(len(self.log_frequency), dtype=torch.float64)
        for caption, count in counts.items():
            followed.index_add_(0, torch.tensor(caption), torch.full((len(caption),), count, dtype=torch.float64))
        frequency = (followed / followed.sum()).log()
        chosen = _most_common(counts, frequency.tolist(), self.longest)
        words = [token for token in chosen if token > UNKNOWN][: self.longest]
        self.tokens.copy_(torch.tensor(words + [END] + [PAD] * (self.longest - len(words))))
        # A token that never occurs has logits as low as a float16 can tell, so that no loss is infinite.
        self.log_frequency.copy_(frequency.clamp(min=-1e4))
        self.log_probability.copy_(torch.tensor(counts[chosen] / counts.total()).log())


def _read(row: list[int]) -> Caption:
    """The tokens of a row (L,) behind BEGIN, with END, where the caption was not too long to have it."""
    return tuple(token for token in row[1:] if token != PAD)


def _most_common(counts: Counter[Caption], log_frequency: list[float], longest: int) -> Caption:
    """The caption that was written most often; of equals that of the highest mean log frequency of its words, then that
    of the lowest tokens. Captions with an unknown word, or none, or too many, only if all are such.
    """

    def order(caption: Caption) -> tuple[bool, int, float, Caption]:
        words = [token for token in caption if token != END]
        fits = 0 < len(words) <= longest and UNKNOWN not in words
        mean = sum(log_frequency[token] for token in words) / max(len(words), 1)
        return not fits, -counts[caption], -mean, caption

    return min(counts, key=order)


def build(info: DatasetInfo, *, longest: int = 20) -> nn.Module:
    """The most common training caption of at most `longest` words."""
    return Prior(info, longest)

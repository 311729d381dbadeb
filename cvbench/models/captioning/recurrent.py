"""Decoders that see the image once: a recurrent layer over the words, which begins with what the image is."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from cvbench.language.vocabulary import PAD
from cvbench.models.captioning.captioner import Decoder, Memory
from cvbench.models.captioning.search import State, Step

SPREAD = 0.1  # initial weights are uniform in ± this, as those of show and tell's published code (im2txt: 0.08)


class Recurrent(Decoder):
    """Embedded words through `layer` (nn.LSTM or nn.RNN, batch first, one layer) to a linear layer on its outputs.

    The mean of the feature map over its places stands for the image. dropout: on the words' vectors and on the outputs.
    """

    def __init__(self, layer: nn.RNNBase, words: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=PAD)
        self.layer = layer
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(layer.hidden_size, words)
        start_words(self.embedding, self.output)

    @abstractmethod
    def seen(self, features: Tensor) -> State:
        """The layer's state, tensors (B, H), after the image with mean features (B, K)."""

    @abstractmethod
    def cell(self, vectors: Tensor, state: State) -> State:
        """The state (M, H) after one word each; the first tensor is the layer's output."""

    def forward(self, maps: Tensor, captions: Tensor) -> Tensor:
        batch, several, length = captions.shape
        state = self.seen(maps.mean(dim=(2, 3)))
        rows = tuple(of.repeat_interleave(several, dim=0)[None].contiguous() for of in state)
        vectors = self.dropout(self.embedding(captions[:, :, :-1].flatten(0, 1)))
        hidden, _ = self.layer(vectors, rows if len(rows) > 1 else rows[0])
        logits: Tensor = self.output(self.dropout(hidden))
        return logits.view(batch, several, length - 1, -1)

    def begin(self, maps: Tensor) -> tuple[Memory, State]:
        return (), tuple(of[:, None] for of in self.seen(maps.mean(dim=(2, 3))))

    def step(self, tokens: Tensor, state: State, memory: Memory) -> Step:
        vectors = self.dropout(self.embedding(tokens.flatten()))
        after = self.cell(vectors, tuple(of.flatten(0, 1) for of in state))
        logits = self.output(self.dropout(after[0])).view(*tokens.shape, -1)
        return Step(logits, tuple(of.view(*tokens.shape, -1) for of in after), None)


def start_words(embedding: nn.Embedding, output: nn.Linear) -> None:
    """Small weights, no bias: at first every word is about equally likely."""
    for weight in (embedding.weight, output.weight):
        nn.init.uniform_(weight, -SPREAD, SPREAD)
    nn.init.zeros_(output.bias)
    if embedding.padding_idx is not None:
        with torch.no_grad():
            embedding.weight[embedding.padding_idx].zero_()

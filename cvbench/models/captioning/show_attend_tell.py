"""Show, Attend and Tell: an LSTM that looks at some place of the image for each word.

Year: 2015
Source: Xu, Ba, Kiros, Cho, Courville, Salakhutdinov, Zemel & Bengio, "Show, Attend and Tell: Neural Image Caption
    Generation with Visual Attention", ICML 2015 (arXiv:1502.03044)

Soft attention as published: a place's weight comes of one hidden tanh layer on its features and the LSTM's last state;
the mean of the places under these weights, times a gate that the state opens, enters the LSTM beside the word; the
first state comes of the mean features; the next word is read from the word before, the state and what was looked at
("deep output"). Each place shall be looked at once in all ("doubly stochastic"): (1 - sum over words of its weight)²
is added to the loss, here its mean over places and captions times `attention_penalty`, where the paper sums over both
words and places. Published: VGG-19's 14x14 places of 512, LSTM 1000 or more, beam search. The defaults train on two
cores: a light encoder from random weights, its map at stride 16, and 256.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.language.vocabulary import PAD
from cvbench.models.captioning.captioner import Captioner, Decoder, Memory
from cvbench.models.captioning.encoder import build_encoder
from cvbench.models.captioning.recurrent import start_words
from cvbench.models.captioning.search import State, Step
from cvbench.models.captioning.words import words_of
from cvbench.models.outputs import WithPenalty

VERSION = 1


class ShowAttendTell(Decoder):
    """Memory: places (B, P, K), what attention has them as, (B, P, A), and the map. State: h and c, each (B, N, H)."""

    def __init__(
        self, channels: int, words: int, embedding: int, hidden: int, attention: int, dropout: float, penalty: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=PAD)
        self.first_h, self.first_c = nn.Linear(channels, hidden), nn.Linear(channels, hidden)
        self.place = nn.Linear(channels, attention)
        self.query = nn.Linear(hidden, attention, bias=False)
        self.weight = nn.Linear(attention, 1, bias=False)
        self.gate = nn.Linear(hidden, 1)
        self.cell = nn.LSTMCell(embedding + channels, hidden)
        self.told, self.looked = nn.Linear(hidden, embedding), nn.Linear(channels, embedding, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(embedding, words)
        self.penalty = penalty
        start_words(self.embedding, self.output)

    def forward(self, maps: Tensor, captions: Tensor) -> Tensor | WithPenalty:
        memory, (h, c) = self.begin(maps)
        several = captions.shape[1]
        state: State = (h.expand(-1, several, -1), c.expand(-1, several, -1))
        words = self.dropout(self.embedding(captions[:, :, :-1]))
        hidden, contexts, weights = [], [], []
        for word in words.unbind(dim=2):
            state, context, alpha = self._read(word, state, memory)
            hidden.append(state[0])
            contexts.append(context)
            weights.append(alpha)
        logits = self._next(words, torch.stack(hidden, dim=2), torch.stack(contexts, dim=2))
        if not self.training or not self.penalty:
            return logits
        return WithPenalty(logits, self.penalty * unevenness(torch.stack(weights, dim=2), captions))

    def begin(self, maps: Tensor) -> tuple[Memory, State]:
        places = maps.flatten(2).transpose(1, 2)
        mean = places.mean(dim=1, keepdim=True)
        return (places, self.place(places), maps), (self.first_h(mean).tanh(), self.first_c(mean).tanh())

    def step(self, tokens: Tensor, state: State, memory: Memory) -> Step:
        word = self.dropout(self.embedding(tokens))
        state, context, alpha = self._read(word, state, memory)
        return Step(self._next(word, state[0], context), state, alpha.view(*tokens.shape, *memory[2].shape[-2:]))

    def _read(self, word: Tensor, state: State, memory: Memory) -> tuple[State, Tensor, Tensor]:
        """One word (B, N, E) more: the state, what was looked at (B, N, K), and the weights of places (B, N, P)."""
        places, keys, _ = memory
        hidden = state[0]
        energy = self.weight(torch.tanh(keys[:, None] + self.query(hidden)[:, :, None]))[..., 0]
        alpha = energy.softmax(dim=-1)
        context = self.gate(hidden).sigmoid() * (alpha.to(places.dtype) @ places)
        given = torch.cat([word, context.to(word.dtype)], dim=-1)
        after = self.cell(given.flatten(0, 1), tuple(of.flatten(0, 1) for of in state))
        return tuple(of.view(*word.shape[:2], -1) for of in after), context, alpha

    def _next(self, word: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
        deep = word + self.told(self.dropout(hidden)) + self.looked(context)
        return self.output(self.dropout(deep))  # type: ignore[no-any-return]


def unevenness(weights: Tensor, captions: Tensor) -> Tensor:
    """Mean over captions and places of (1 - sum over words of the place's weight)²; a scalar.

    weights: float (B, R, L - 1, P) of places, each row of sum 1. captions: int64 (B, R, L), see `Captioner`; rows of
    PAD are left out, as are the tokens behind END.
    """
    words = captions[:, :, 1:] != PAD
    sums = (weights.float() * words[..., None]).sum(dim=2)
    known = words.any(dim=2)
    total = ((1 - sums).square().mean(dim=-1) * known).sum()
    return total / known.sum().clamp(min=1)


def build(
    info: DatasetInfo,
    *,
    embedding: int = 256,
    hidden: int = 256,
    attention: int = 128,
    dropout: float = 0.3,
    attention_penalty: float = 1.0,
    encoder: str = "small",
    encoder_width: int = 16,
    encoder_weights: str | None = None,
    encoder_options: dict[str, Any] | None = None,
    stride: int = 16,
    freeze: bool = False,
    beam: int = 3,
    length_penalty: float = 0.7,
    longest: int = 20,
) -> nn.Module:
    """Show, Attend and Tell; `generate` returns where it looked.

    embedding: length of a word's vector. hidden: units of the LSTM. attention: units of the layer that weighs places.
    dropout: on words and before the output. attention_penalty: weight of the term that has every place looked at.
    encoder, encoder_width, encoder_weights, encoder_options, stride: see `build_encoder`. freeze: the encoder stays as
    it is. beam: captions that the search follows at once. length_penalty: how much longer captions are favoured, see
    `search`. longest: most words of a generated caption.
    Raises ValueError as `build_encoder` and `Captioner`.
    """
    body = build_encoder(
        encoder,
        info,
        stride=stride,
        width=encoder_width,
        weights=encoder_weights,
        options=encoder_options,
        frozen=freeze,
    )
    decoder = ShowAttendTell(
        body.channels, len(words_of(info)), embedding, hidden, attention, dropout, attention_penalty
    )
    return Captioner(body, decoder, info, beam=beam, length_penalty=length_penalty, longest=longest)

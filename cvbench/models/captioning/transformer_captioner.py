"""A transformer decoder on the places of an image's feature map.

Year: 2017
Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017 (arXiv:1706.03762); on images: Sharma et al.,
    "Conceptual Captions", ACL 2018; sinusoids in two directions as in DETR (arXiv:2005.12872)

Self-attention over the words so far, cross-attention to the places, two linear layers; normalisation before each
(Xiong et al., arXiv:2002.04745: no warm-up needed) and GELU. Sinusoidal positions of words and, half for rows and half
for columns, of places; one matrix for the words' vectors and the output (Press & Wolf, arXiv:1608.05859). There are no
encoder layers: the convolutional network has mixed the places. Published: 6 layers of 512 units and 8 heads. The
defaults train on two cores: a light encoder from random weights, its map at stride 16, and 2 layers of 256.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models.captioning.captioner import Captioner, Decoder, Memory
from cvbench.models.captioning.encoder import build_encoder
from cvbench.models.captioning.search import State, Step
from cvbench.models.captioning.words import words_of

VERSION = 1


class Layer(nn.Module):
    """One layer: (B * N, T, D) -> the same. Keys and values of words are (B * N, heads, T, D / heads), those of places
    (B, heads, P, D / heads): the captions of an image share them.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.words, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.query, self.seen = nn.Linear(width, width), nn.Linear(width, width)
        self.places = nn.Linear(width, 2 * width)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def keys_of_places(self, places: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.places(places).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(self, x: Tensor, places: Memory, before: State = ()) -> tuple[Tensor, State, Tensor]:
        """Also returns the keys and values of all words so far, and the queries (B, heads, N * T, …) of the places.

        before: keys and values of the words before x, none where x begins with the first.
        """
        query, *now = (self._split(part) for part in self.words(self.norms[0](x)).chunk(3, dim=-1))
        keys, values = (torch.cat(pair, dim=2) for pair in zip(before, now, strict=True)) if before else now
        mixed = F.scaled_dot_product_attention(query, keys, values, is_causal=not before)
        x = x + self.dropout(self.mixed(self._join(mixed)))
        asked = self._split(self.query(self.norms[1](x)).view(len(places[0]), -1, x.shape[-1]))
        seen = self._join(F.scaled_dot_product_attention(asked, places[0], places[1])).view_as(x)
        x = x + self.dropout(self.seen(seen))
        x = x + self.dropout(self.outer(F.gelu(self.inner(self.norms[2](x)))))
        return x, (keys, values), asked

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    @staticmethod
    def _join(x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)


class TransformerDecoder(Decoder):
    """Memory: each layer's keys and values of places, and the map. State: each layer's keys and values of words (at 20
    words 3.5 times faster than reading all words again for the next one).
    """

    def __init__(self, channels: int, words: int, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(words, width)
        self.places = nn.Sequential(nn.Linear(channels, width), nn.LayerNorm(width))
        self.layers = nn.ModuleList(Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=0.02)  # GPT-2's: as output it makes all words about equally likely

    def forward(self, maps: Tensor, captions: Tensor) -> Tensor:
        batch, several, length = captions.shape
        memory, _ = self.begin(maps)
        x = self._embedded(captions[:, :, :-1].flatten(0, 1), 0)
        for layer, places in zip(self.layers, _pairs(memory), strict=True):
            x, _, _ = layer(x, places)
        # Nothing hides PAD: it only ever stands behind what is read, and each token reads what is before it.
        return self._next(x).view(batch, several, length - 1, -1)

    def begin(self, maps: Tensor) -> tuple[Memory, State]:
        height, width = maps.shape[-2:]
        rows = sinusoids(torch.arange(height, device=maps.device), self.width // 2)
        columns = sinusoids(torch.arange(width, device=maps.device), self.width // 2)
        grid = torch.cat([rows[:, None].expand(-1, width, -1), columns.expand(height, -1, -1)], dim=-1).flatten(0, 1)
        places = self.places(maps.flatten(2).transpose(1, 2)) + grid
        keys = [part for layer in self.layers for part in layer.keys_of_places(places)]  # type: ignore[operator]
        return (*keys, maps), ()

    def step(self, tokens: Tensor, state: State, memory: Memory) -> Step:
        batch, several = tokens.shape
        rows = [part.flatten(0, 1) for part in state]
        x = self._embedded(tokens.flatten()[:, None], rows[0].shape[2] if rows else 0)
        known: list[Tensor] = []
        before = _pairs((*rows, x)) if rows else [()] * len(self.layers)
        for layer, places, words in zip(self.layers, _pairs(memory), before, strict=True):
            x, words, asked = layer(x, places, words)
            known += words
        weights = (asked @ places[0].transpose(2, 3) / math.sqrt(asked.shape[-1])).softmax(dim=-1).mean(dim=1)
        attention = weights.view(batch, several, *memory[-1].shape[-2:])
        following = tuple(part.view(batch, several, *part.shape[1:]) for part in known)
        return Step(self._next(x).view(batch, several, -1), following, attention)

    def _embedded(self, tokens: Tensor, first: int) -> Tensor:
        """Vectors (M, T, D) of tokens (M, T), the first of which stands at place `first`."""
        positions = sinusoids(torch.arange(first, first + tokens.shape[1], device=tokens.device), self.width)
        return self.dropout(self.embedding(tokens) * math.sqrt(self.width) + positions)  # type: ignore[no-any-return]

    def _next(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(x), self.embedding.weight)


def _pairs(memory: Memory) -> list[tuple[Tensor, ...]]:
    """The layers' keys and values, two by two; what comes behind them is left out."""
    return [memory[place : place + 2] for place in range(0, len(memory) - 1, 2)]


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """float32 (T, width) of positions (T,): sines and cosines in turn, wavelengths 2 pi to 20000 pi; `width` even."""
    frequencies = 10000 ** (-torch.arange(0, width, 2, device=positions.device) / width)
    angles = positions[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def build(
    info: DatasetInfo,
    *,
    width: int = 256,
    layers: int = 2,
    heads: int = 4,
    dropout: float = 0.1,
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
    """Encoder and transformer decoder; `generate` returns the last layer's weights of places, the mean of its heads.

    width: of words' and places' vectors, a multiple of 4 and of `heads`. layers, heads: of the decoder, whose inner
    layers are 4 * `width` wide. dropout: on vectors and behind each part of a layer. encoder, encoder_width,
    encoder_weights, encoder_options, stride: see `build_encoder`. freeze: the encoder stays as it is. beam: captions
    that the search follows at once. length_penalty: how much longer captions are favoured, see `search`. longest: most
    words of a generated caption.
    Raises ValueError: a `width` that cannot be divided so, and as `build_encoder` and `Captioner`.
    """
    if min(width, layers, heads) < 1 or width % 4 or width % heads:
        raise ValueError(
            "Expected `width` of transformer_captioner to be a multiple of 4 and of `heads`, and all of them and "
            f"`layers` to be 1 or more, but got width {width}, heads {heads} and layers {layers}"
        )
    body = build_encoder(
        encoder,
        info,
        stride=stride,
        width=encoder_width,
        weights=encoder_weights,
        options=encoder_options,
        frozen=freeze,
    )
    decoder = TransformerDecoder(body.channels, len(words_of(info)), width, layers, heads, dropout)
    return Captioner(body, decoder, info, beam=beam, length_penalty=length_penalty, longest=longest)

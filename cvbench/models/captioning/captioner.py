"""Captioners behind one border: images in [0, 1] and captions as numbers in, logits or captions out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial

import torch
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models.captioning.encoder import Encoder
from cvbench.models.captioning.search import Generated, State, Step, search
from cvbench.models.captioning.words import Worded
from cvbench.models.normalise import Normalised
from cvbench.models.outputs import WithPenalty

Memory = tuple[Tensor, ...]


class Decoder(nn.Module, ABC):
    """Says what comes next in N captions of each of B images. `forward` reads whole captions, `step` a token of each.

    Memory: what is made once of each image, tensors (B, …); state: what a caption has been so far, tensors (B, N, …).
    """

    @abstractmethod
    def forward(self, maps: Tensor, captions: Tensor) -> Tensor | WithPenalty:
        """maps: float (B, K, h, w); captions: int64 (B, R, L) -> logits (B, R, L - 1, V), see `Captioner`."""

    @abstractmethod
    def begin(self, maps: Tensor) -> tuple[Memory, State]:
        """The memory of B images, and the state (B, 1, …) before the first token, which is BEGIN."""

    @abstractmethod
    def step(self, tokens: Tensor, state: State, memory: Memory) -> Step:
        """Reads tokens int64 (B, N)."""


class EncoderDecoder(nn.Module):
    """Normalised images and captions to logits."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, images: Tensor, captions: Tensor) -> Tensor | WithPenalty:
        return self.decoder(self.encoder(images), captions)  # type: ignore[no-any-return]


class Captioner(Normalised, Worded):
    """An encoder and a decoder behind normalisation, and the search for captions.

    forward(images, captions): images float (B, info.channels, H, W) in [0, 1]; captions int64 (B, R, L), R captions of
    each image, each BEGIN, words, END, PAD; a row of nothing but PAD is none. Returns logits (B, R, L - 1, V): at t
    what follows captions[..., : t + 1]; in training perhaps `WithPenalty`.

    beam, length_penalty, longest: of the search, see there.
    Raises ValueError: a dataset without a vocabulary, or options of the search out of range.
    """

    network: EncoderDecoder

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        info: DatasetInfo,
        *,
        beam: int,
        length_penalty: float,
        longest: int,
    ) -> None:
        super().__init__(EncoderDecoder(encoder, decoder), info, encoder.mean, encoder.std, encoder.wants)
        for name, value in (("beam", beam), ("longest", longest)):
            if value < 1:
                raise ValueError(f"Expected `{name}` to be 1 or more, but got {value}")
        if length_penalty < 0:
            raise ValueError(f"Expected `length_penalty` to be 0 or more, but got {length_penalty}")
        self.beam, self.length_penalty, self.longest = beam, length_penalty, longest
        self.take_vocabulary(info)

    def forward(self, images: Tensor, captions: Tensor) -> Tensor | WithPenalty:  # type: ignore[override]
        return self.network(self.normalise(images), captions)  # type: ignore[no-any-return]

    @torch.no_grad()
    def generate(self, images: Tensor, *, greedy: bool = False) -> Generated:
        """The caption of each image, by beam search, or with a beam of one."""
        decoder = self.network.decoder
        memory, state = decoder.begin(self.network.encoder(self.normalise(images)))
        return search(
            partial(decoder.step, memory=memory),
            state,
            len(images),
            images.device,
            beam=1 if greedy else self.beam,
            length_penalty=self.length_penalty,
            longest=self.longest,
        )

"""A plain recurrent network that captions: one tanh layer, which knows the image only from its first state.

Year: 2015
Source: Karpathy & Li, "Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR 2015
    (arXiv:1412.2306), section 3.2; as in the assignments of Stanford's CS231n

h_t = tanh(W_x x_t + W_h h_{t-1} + b), and h_0 an affine function of the image's features. The paper adds W_i CNN(image)
inside the first tanh instead; through h_0 it is W_h h_0 that comes in there, the same with W_i = W_h W_0. Published:
VGG-16, 512 units, dropout but on the recurrent layer, beam 7. Orthogonal W_h. The defaults train on two cores: a light
encoder from random weights and 256.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo
from cvbench.models.captioning.captioner import Captioner
from cvbench.models.captioning.encoder import build_encoder
from cvbench.models.captioning.recurrent import Recurrent
from cvbench.models.captioning.search import State
from cvbench.models.captioning.words import words_of

VERSION = 1


class VanillaRnn(Recurrent):
    def __init__(self, channels: int, words: int, embedding: int, hidden: int, dropout: float) -> None:
        layer = nn.RNN(embedding, hidden, batch_first=True)
        super().__init__(layer, words, embedding, dropout)
        self.image = nn.Linear(channels, hidden)
        nn.init.orthogonal_(layer.all_weights[0][1])

    def seen(self, features: Tensor) -> State:
        return (self.dropout(self.image(features)),)

    def cell(self, vectors: Tensor, state: State) -> State:
        return (torch.rnn_tanh_cell(vectors, state[0], *self.layer.all_weights[0]),)


def build(
    info: DatasetInfo,
    *,
    embedding: int = 256,
    hidden: int = 256,
    dropout: float = 0.3,
    encoder: str = "small",
    encoder_width: int = 16,
    encoder_weights: str | None = None,
    encoder_options: dict[str, Any] | None = None,
    stride: int = 32,
    freeze: bool = False,
    beam: int = 3,
    length_penalty: float = 0.7,
    longest: int = 20,
) -> nn.Module:
    """A tanh network on the words.

    embedding: length of a word's vector. hidden: units of the network. dropout: on its inputs and outputs. encoder,
    encoder_width, encoder_weights, encoder_options, stride: see `build_encoder`. freeze: the encoder stays as it is.
    beam: captions that the search follows at once. length_penalty: how much longer captions are favoured, see `search`.
    longest: most words of a generated caption.
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
    decoder = VanillaRnn(body.channels, len(words_of(info)), embedding, hidden, dropout)
    return Captioner(body, decoder, info, beam=beam, length_penalty=length_penalty, longest=longest)

"""Show and Tell: an LSTM that is told what the image is before it says the first word.

Year: 2015
Source: Vinyals, Toshev, Bengio & Erhan, "Show and Tell: A Neural Image Caption Generator", CVPR 2015 (arXiv:1411.4555)

The image's features, in the size of a word's vector, are the LSTM's first input, and its only sight of the image; BEGIN
is the second. Published: GoogLeNet, first frozen and then fine-tuned, vectors and LSTM of 512, dropout, beams of 20 and
of 3 (better), no length penalty. The defaults train on two cores: a light encoder from random weights and 256.
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


class ShowAndTell(Recurrent):
    def __init__(self, channels: int, words: int, embedding: int, hidden: int, dropout: float) -> None:
        layer = nn.LSTM(embedding, hidden, batch_first=True)
        super().__init__(layer, words, embedding, dropout)
        self.image = nn.Linear(channels, embedding)
        with torch.no_grad():
            layer.all_weights[0][3][hidden : 2 * hidden].fill_(
                1
            )  # it begins by not forgetting (Jozefowicz et al. 2015)

    def seen(self, features: Tensor) -> State:
        image = self.dropout(self.image(features))
        nothing = image.new_zeros(len(image), self.layer.hidden_size)
        return self.cell(image, (nothing, nothing))

    def cell(self, vectors: Tensor, state: State) -> State:
        return torch.lstm_cell(vectors, state, *self.layer.all_weights[0])


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
    """Show and Tell.

    embedding: length of a word's vector. hidden: units of the LSTM. dropout: on its inputs and outputs. encoder,
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
    decoder = ShowAndTell(body.channels, len(words_of(info)), embedding, hidden, dropout)
    return Captioner(body, decoder, info, beam=beam, length_penalty=length_penalty, longest=longest)

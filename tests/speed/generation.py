"""Captions of 16 images: beam search with three beams against the greedy way, at the default size of each model.

Three beams are three times the decoder's work on one encoding; the target, a ratio of 0.25, is four times greedy's
time. The models are not trained, hence say one word as soon as another, and END in neither way: both write 20 words.
Beam search with one beam is compared first: equal to the greedy way, to the bit. Images of 96x128, 4,000 words.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

import torch

from cvbench.data.base import DatasetInfo
from cvbench.language.vocabulary import SPECIAL
from cvbench.models.captioning import show_and_tell, show_attend_tell, transformer_captioner, vanilla_rnn
from tests.speed.timing import Row, compare

IMAGES, WORDS, BEAM = 16, 4000, 3


def measure() -> list[Row]:
    torch.set_num_threads(1)
    return [_measure(module) for module in (show_and_tell, vanilla_rnn, show_attend_tell, transformer_captioner)]


def _measure(module: ModuleType) -> Row:
    torch.manual_seed(0)
    info = DatasetInfo(
        name="made_up",
        task="captioning",
        protocol={},
        revision="0" * 12,
        classes=(),
        split_sizes={"test": IMAGES},
        licence="none",
        redistributable=True,
        input_size=(96, 128),
        vocabulary=(*SPECIAL, *(f"word {number}" for number in range(WORDS))),
    )
    model: Any = module.build(info, beam=BEAM).eval()
    images = torch.rand(IMAGES, 3, 96, 128)
    searched, greedy = partial(model.generate, images), partial(model.generate, images, greedy=True)
    assert searched().tokens.shape == greedy().tokens.shape == (IMAGES, 21)
    model.beam = 1
    assert torch.equal(searched().tokens, greedy().tokens)
    model.beam = BEAM
    name = f"{module.__name__.rpartition('.')[2]}: {IMAGES} captions, beam {BEAM} against greedy"
    return compare(name, searched, greedy, target=0.25, rounds=5)

"""Beam search against the enumeration of all captions, and greedy search against a plain loop."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from cvbench.language.vocabulary import BEGIN, END, PAD, UNKNOWN
from cvbench.models.captioning.search import Generated, State, Step, search

TINY = 7  # tokens: four special ones and the words 4, 5, 6


class Table:
    """A language model that is a table: the next token's logits by image, place and the two tokens before.

    Its state is (image, place, last two tokens), and it "looks" at the place of a 2x4 grid that the token's number is.
    """

    def __init__(self, images: int, tokens: int = TINY, seed: int = 0, places: int = 12) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.logits = 2 * torch.randn(images, places, tokens, tokens, tokens, generator=generator)
        self.start = (torch.arange(images)[:, None], torch.zeros(images, 1).long(), torch.zeros(images, 1).long())

    def step(self, tokens: Tensor, state: State) -> Step:
        image, place, last = state
        attention = torch.nn.functional.one_hot(tokens, 8).float().unflatten(-1, (2, 4))
        return Step(self.logits[image, place, last, tokens], (image, place + 1, tokens), attention)

    def log_probability(self, image: int, caption: tuple[int, ...]) -> float:
        """Of words and END, added up in float64 without any search."""
        before, total = (PAD, BEGIN), 0.0
        for place, token in enumerate(caption):
            total += float(self.logits[image, place, before[0], before[1]].double().log_softmax(0)[token])
            before = (before[1], token)
        return total

    def find(self, *, beam: int, length_penalty: float = 0.0, longest: int = 3) -> Generated:
        images = len(self.logits)
        options = {"beam": beam, "length_penalty": length_penalty, "longest": longest}
        return search(self.step, self.start, images, torch.device("cpu"), **options)


def captions(longest: int, words: tuple[int, ...] = (4, 5, 6)) -> list[tuple[int, ...]]:
    return [(*some, END) for n in range(longest + 1) for some in itertools.product(words, repeat=n)]


def row(tokens: Tensor) -> tuple[int, ...]:
    """Up to END; behind it there may be PAD only."""
    found = tokens.tolist()
    end = found.index(END)
    assert found[end + 1 :] == [PAD] * (len(found) - end - 1)
    assert BEGIN not in found
    assert UNKNOWN not in found
    return tuple(found[: end + 1])


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("deterministic")
def test_a_beam_wide_enough_finds_the_best_of_all_captions(length_penalty: float, seed: int):
    """1 + 3 + 9 + 27 = 40 captions of at most three words; a beam of 40 can lose none."""
    model = Table(5, seed=seed)
    found = model.find(beam=40, length_penalty=length_penalty)
    lengths = set()
    for image in range(5):
        scores = {c: model.log_probability(image, c) / len(c) ** length_penalty for c in captions(3)}
        best = max(scores, key=scores.__getitem__)
        assert row(found.tokens[image]) == best
        assert float(found.log_probability[image]) == pytest.approx(model.log_probability(image, best), abs=1e-5)
        lengths.add(len(best))
    assert found.log_probability.dtype == torch.float32
    assert found.tokens.shape == (5, max(lengths))


def test_a_narrow_beam_against_one_kept_in_lists():
    """The same rules, written once more with lists, for beams that do lose something."""
    lost = 0
    for seed, beam, penalty in itertools.product(range(6), (2, 3), (0.0, 1.0)):
        model = Table(4, seed=seed)
        found = model.find(beam=beam, length_penalty=penalty, longest=5)
        for image in range(4):
            expected = plain_beam(model, image, beam, penalty, longest=5)
            assert row(found.tokens[image]) == expected
            best = max(captions(5), key=lambda c: model.log_probability(image, c) / len(c) ** penalty)
            lost += best != expected
    assert lost > 0


def plain_beam(model: Table, image: int, beam: int, penalty: float, longest: int) -> tuple[int, ...]:
    live: list[tuple[int, ...]] = [()]
    complete: list[tuple[int, ...]] = []
    for words in range(longest + 1):
        following = (4, 5, 6, END) if words < longest else (END,)
        ranked = sorted(
            ((*c, token) for c in live for token in following),
            key=lambda c: -model.log_probability(image, c),
        )
        complete += [c for c in ranked[:beam] if c[-1] == END]
        live = [c for c in ranked if c[-1] != END][:beam]
        if len(complete) >= beam:
            break
    return max(complete, key=lambda c: model.log_probability(image, c) / len(c) ** penalty)


def test_one_beam_is_the_greedy_way():
    for seed in range(5):
        model = Table(6, tokens=8, seed=seed)
        found = model.find(beam=1, length_penalty=1.0, longest=8)
        for image in range(6):
            before, caption = (PAD, BEGIN), []
            while len(caption) < 8 and (not caption or caption[-1] != END):
                logits = model.logits[image, len(caption), before[0], before[1]].clone()
                logits[[PAD, BEGIN, UNKNOWN]] = -torch.inf
                caption.append(int(logits.argmax()))
                before = (before[1], caption[-1])
            if caption[-1] != END:
                caption.append(END)  # after the eighth word nothing else may follow
            assert row(found.tokens[image]) == tuple(caption)
            expected = model.log_probability(image, tuple(caption))
            assert float(found.log_probability[image]) == pytest.approx(expected, abs=1e-5)


def test_attention_follows_the_caption_that_is_chosen():
    """At each token the model "looked" at the number of the token before."""
    for seed in range(5):
        found = Table(4, seed=seed).find(beam=3, longest=6)
        assert found.attention is not None
        assert found.attention.shape == (*found.tokens.shape, 2, 4)
        for tokens, maps in zip(found.tokens, found.attention.flatten(2), strict=True):
            caption = row(tokens)
            assert maps[: len(caption)].argmax(dim=1).tolist() == [BEGIN, *caption[:-1]]
            assert maps.sum(dim=1).tolist() == [1.0] * len(caption) + [0.0] * (len(tokens) - len(caption))


def test_what_an_image_gets_does_not_depend_on_the_others():
    whole = Table(6)
    found = whole.find(beam=3, longest=8)
    for image in range(6):
        alone = Table(6)
        alone.logits, alone.start = alone.logits[image : image + 1], tuple(of[:1] for of in alone.start)
        single = alone.find(beam=3, longest=8)
        assert row(single.tokens[0]) == row(found.tokens[image])
        assert single.log_probability[0] == found.log_probability[image]
    assert len({len(row(tokens)) for tokens in found.tokens}) > 1  # they end at different times


@pytest.mark.parametrize("beam", [1, 3, 10])
@pytest.mark.usefixtures("deterministic")
def test_among_equals_the_lowest_token_goes_first(beam: int):
    """All tokens are equally likely: END, the lowest, comes first; without a penalty nothing beats the empty caption.
    A beam wider than there are words does no harm.
    """
    model = Table(2)
    model.logits.zero_()
    assert [row(tokens) for tokens in model.find(beam=beam).tokens] == [(END,)] * 2
    model.logits[..., END] = -4.0
    assert row(model.find(beam=1).tokens[0]) == (4, 4, 4, END)
    assert row(model.find(beam=beam, length_penalty=5.0).tokens[0]) == (4, 4, 4, END)


def test_what_is_never_said_keeps_its_probability():
    model = Table(1)
    model.logits.zero_()
    model.logits[..., [PAD, BEGIN, UNKNOWN]] = 3.0
    model.logits[..., 5] = 2.0
    found = model.find(beam=3, length_penalty=9.0, longest=2)
    assert row(found.tokens[0]) == (5, 5, END)
    total = 3 * math.exp(3.0) + math.exp(2.0) + 3
    expected = 2 * (2.0 - math.log(total)) - math.log(total)
    assert float(found.log_probability[0]) == pytest.approx(expected, abs=1e-5)


def test_a_model_that_has_diverged_says_nothing():
    model = Table(2)
    model.logits.fill_(torch.nan)
    found = model.find(beam=3)
    assert [row(tokens) for tokens in found.tokens] == [(END,)] * 2

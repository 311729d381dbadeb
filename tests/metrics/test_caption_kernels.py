"""BLEU, ROUGE-L and CIDEr against pycocoevalcap and against hand calculation."""

from __future__ import annotations

import random
from math import exp, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings

from cvbench.metrics.bleu import BleuCounts, bleu, bleu_counts
from cvbench.metrics.caption_columns import all_ngrams, caption_columns
from cvbench.metrics.cider import cider
from cvbench.metrics.rouge_l import lcs_lengths, rouge_l
from tests.captions import Expected, Split, fakecap126, pycocoevalcap, splits


def ours(split: Split) -> Expected:
    columns = caption_columns(*split)
    ngrams = all_ngrams(columns)
    counts, rouge, values = bleu_counts(columns, ngrams), rouge_l(columns), cider(columns, ngrams)
    return Expected(bleu(counts.over_all()), rouge.mean(), values.d.mean(), bleu(counts), rouge, values.d)


def words(*captions: str) -> list[list[str]]:
    return [caption.split() for caption in captions]


def test_the_reference_set(shared_data: Path) -> None:
    split, expected = fakecap126(shared_data)
    found = ours(split)
    names = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr")
    assert [*found.bleu, found.rouge_l, found.cider] == pytest.approx([expected[n] for n in names], rel=0, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(splits())
@example(Split([[]], [[[]]]))
@example(Split([[], ["a"]], [[["a"]], [[]]]))
@example(Split([[], []], [[[], []], [[]]]))
@example(Split([["a", "dog"]], [[["a", "dog"], ["a", "cat"]]]))
@example(Split([["a"] * 64, ["a"] * 65], [[["a"] * 65], [["a"] * 64, ["a"] * 63]]))
def test_equals_pycocoevalcap_on_random_sets(split: Split) -> None:
    for name, found, expected in zip(Expected._fields, ours(split), pycocoevalcap(split), strict=True):
        assert np.allclose(found, expected, rtol=0, atol=1e-9), name


def test_captions_of_two_hundred_words() -> None:
    rng = random.Random(0)
    caption = [f"w{rng.randrange(40)}" for _ in range(200)]
    changed = [word for word in caption if rng.random() < 0.8]
    split = Split([caption, changed[:64], changed[:65]], [[changed, caption[:70]], [caption], [caption, changed]])
    for found, expected in zip(ours(split), pycocoevalcap(split), strict=True):
        assert np.allclose(found, expected, rtol=0, atol=1e-9)


def test_bleu_by_hand() -> None:
    """Matches: a, dog, runs of 4 words ('a' only once); 'a dog' and 'dog runs' of 3 pairs. Closest length: 5, not 2."""
    columns = caption_columns(words("a a dog runs"), [words("a dog runs very fast", "a dog")])
    counts = bleu_counts(columns, all_ngrams(columns))
    assert counts.matches.tolist() == [[3, 2, 1, 0]]
    assert counts.totals.tolist() == [[4, 3, 2, 1]]
    assert (counts.length.tolist(), counts.reference_length.tolist()) == ([4], [5])
    penalty = exp(1 - 5 / 4)
    assert bleu(counts)[0, :2] == pytest.approx([penalty * 3 / 4, penalty * sqrt(3 / 4 * 2 / 3)], rel=1e-6)
    # of lengths 3 and 5 as close to 4, the shorter
    tie = caption_columns(words("a b c d"), [words("a b c d e", "a b c")])
    assert bleu_counts(tie, all_ngrams(tie)).reference_length.tolist() == [3]


def test_bleu_of_resamples_needs_the_counts_alone() -> None:
    split = Split(words("a dog runs on", "a cat on a dog"), [words("a dog runs"), words("the cat on a dog", "cat")])
    columns = caption_columns(*split)
    counts = bleu_counts(columns, all_ngrams(columns))
    twice = BleuCounts._make(column[[1, 1, 0]] for column in counts).over_all()
    drawn = Split([split.candidates[place] for place in (1, 1, 0)], [split.references[place] for place in (1, 1, 0)])
    assert bleu(twice) == pytest.approx(pycocoevalcap(drawn).bleu, rel=0, abs=1e-9)
    several = BleuCounts._make(np.stack([column, column]) for column in twice)
    assert np.array_equal(bleu(several), np.stack([bleu(twice)] * 2))


def test_rouge_l_by_hand() -> None:
    """LCS 'a b c': precision 3/4 of the first, recall 3/3 of the second reference."""
    columns = caption_columns(words("a x b c"), [words("c a b c d e", "b c")])
    assert lcs_lengths(columns).tolist() == [3, 2]
    precision, recall = 3 / 4, 2 / 2
    assert rouge_l(columns).tolist() == [pytest.approx(2.44 * precision * recall / (recall + 1.44 * precision))]


def test_cider_by_hand() -> None:
    """Two images. 'dog' and 'runs' are in one, weight log 2; 'a' in both, weight 0. Pairs: 'a dog' shared."""
    split = Split(words("a dog dog", "a"), [words("a dog runs"), words("a cat")])
    columns = caption_columns(*split)
    found = cider(columns, all_ngrams(columns))
    # unigrams: (2) · (1, 1) / (2 · √2); pairs ('a dog', 'dog dog') · ('a dog', 'dog runs') / (√2 · √2); rest 0
    assert found.plain.tolist() == [pytest.approx(10 / 4 * (1 / sqrt(2) + 1 / 2)), 0]
    # clipped: 'dog' once
    assert found.d.tolist() == [pytest.approx(10 / 4 * (1 / (2 * sqrt(2)) + 1 / 2)), 0]


def test_the_length_penalty_of_cider_d() -> None:
    split = Split(words("dog runs", "x"), [words("dog runs on on on on on"), words("y")])
    columns = caption_columns(*split)
    found = cider(columns, all_ngrams(columns))
    assert found.d[0] == pytest.approx(found.plain[0] * exp(-(5**2) / (2 * 6**2)))
    # weights log 2 of each: cosine 2 / (√2 √(1 + 1 + 25)) and, of pairs, 1 / (1 √(1 + 1 + 16))
    assert found.plain[0] == pytest.approx(10 / 4 * (2 / (sqrt(2) * sqrt(27)) + 1 / sqrt(18)))


def test_one_image_has_no_cider() -> None:
    columns = caption_columns(words("a dog"), [words("a dog")])
    assert np.array_equal(cider(columns, all_ngrams(columns)), [[0.0], [0.0]])


def test_a_caption_of_ten_thousand_words() -> None:
    long = [f"w{place % 97}" for place in range(10_000)]
    columns = caption_columns([long, ["w1"]], [[long[1:], ["w0"]], [long]])
    assert lcs_lengths(columns).tolist() == [9_999, 1, 1]
    assert bleu_counts(columns, all_ngrams(columns)).matches[0].tolist() == [9_999, 9_998, 9_997, 9_996]


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ([], [], "but got 0 captions and references for 0"),
        ([["a"]], [], "but got 1 captions and references for 0"),
        ([["a"], ["b"]], [[["a"]], []], "at least one reference an image, but image 1 has none"),
    ],
)
def test_what_is_no_split(candidates: list[list[str]], references: list[list[list[str]]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        caption_columns(candidates, references)

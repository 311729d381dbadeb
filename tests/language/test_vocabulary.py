"""Captions as numbers and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvbench.language.vocabulary import (
    BEGIN,
    END,
    PAD,
    SPECIAL,
    UNKNOWN,
    Vocabulary,
    build_vocabulary,
    from_text,
    to_text,
)

CAPTIONS = [["a", "dog", "runs"], ["the", "dog"], ["a", "cat"], ["a", "dog"]]


def test_the_most_frequent_words_come_first_and_equal_ones_by_the_alphabet() -> None:
    # by hand: a 3, dog 3, cat 1, runs 1, the 1
    assert build_vocabulary(CAPTIONS)[4:] == ("a", "dog", "cat", "runs", "the")
    assert build_vocabulary(reversed(CAPTIONS)) == build_vocabulary(CAPTIONS)
    assert build_vocabulary(CAPTIONS, min_count=3)[4:] == ("a", "dog")


def test_rare_words_are_unknown_and_long_captions_have_no_end() -> None:
    words = Vocabulary(build_vocabulary(CAPTIONS, min_count=3))
    assert words.encode(["the", "dog"], longest=5) == [BEGIN, UNKNOWN, 5, END]
    assert words.encode(["dog"] * 10_000, longest=3) == [BEGIN, 5, 5, 5]
    assert words.encode([], longest=3) == [BEGIN, END]


def test_a_word_that_looks_like_a_special_token_is_none() -> None:
    # as tutorials write them into their files
    words = Vocabulary(build_vocabulary([["<begin>", "a", "dog", "<end>"], ["a", "<pad>"]]))
    assert words.words[4:] == ("a", "dog")
    assert words.encode(["<end>", "<pad>", "a"], longest=5) == [BEGIN, UNKNOWN, UNKNOWN, 4, END]


def test_what_comes_after_the_end_is_not_said() -> None:
    words = Vocabulary(build_vocabulary(CAPTIONS))
    assert words.decode([BEGIN, 4, 5, END, 6, PAD]) == ["a", "dog"]


@given(st.lists(st.sampled_from(["a", "dog", "cat", "runs", "the"]), max_size=8))
def test_known_words_come_back(tokens: list[str]) -> None:
    words = Vocabulary(build_vocabulary(CAPTIONS))
    assert words.decode(words.encode(tokens, longest=8)) == tokens


def test_words_that_are_no_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="begins with"):
        Vocabulary(("a", "dog", "cat", "the"))
    with pytest.raises(ValueError, match="'a' stands there more than once"):
        Vocabulary((*SPECIAL, "a", "b", "a"))


def test_the_file_keeps_every_word() -> None:
    words = (*SPECIAL, "a", "22\u00a03/4", "\u2028", "ü")
    assert from_text(to_text(words)) == words

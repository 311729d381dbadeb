"""`Vocabulary`: captions as numbers and back. The one place that knows padding, begin, end and unknown tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

#: the first tokens of every vocabulary: what fills up shorter captions, what comes before the first word, what comes
#: after the last one, and any word that the vocabulary lacks
SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>")
PAD, BEGIN, END, UNKNOWN = range(len(SPECIAL))

#: where a finished run keeps the words that its model was trained with
VOCABULARY_FILE = "vocabulary.txt"


def to_text(words: Sequence[str]) -> str:
    """A word a line; no word has a line's end in it."""
    return "\n".join(words) + "\n"


def from_text(text: str) -> tuple[str, ...]:
    """The words that `to_text` wrote."""
    return tuple(text.split("\n")[:-1])


def build_vocabulary(captions: Iterable[Sequence[str]], min_count: int = 1) -> tuple[str, ...]:
    """The special tokens, then the words that occur at least `min_count` times, the most frequent first.

    Equally frequent words stand in alphabetical order, so that the same captions in any order give the same numbers.

    captions: each a list of words, of the training split alone.

    >>> build_vocabulary([["a", "dog", "runs"], ["a", "dog"], ["a", "cat"]], min_count=2)
    ('<pad>', '<begin>', '<end>', '<unknown>', 'a', 'dog')
    """
    counts = Counter(word for caption in captions for word in caption)
    known = (word for word, count in counts.items() if count >= min_count and word not in SPECIAL)
    return SPECIAL + tuple(sorted(known, key=lambda word: (-counts[word], word)))


class Vocabulary:
    """The words of a dataset's `info.vocabulary`, special tokens first.

    Raises ValueError where these do not come first, or a word comes twice.
    """

    def __init__(self, words: Sequence[str]) -> None:
        if tuple(words[: len(SPECIAL)]) != SPECIAL:
            raise ValueError(f"Expected a vocabulary that begins with {SPECIAL}, but got {tuple(words[:4])}")
        if len(set(words)) != len(words):
            twice, _ = Counter(words).most_common(1)[0]
            raise ValueError(f"Expected each word of a vocabulary once, but {twice!r} stands there more than once")
        self.words = tuple(words)

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def encode(self, tokens: Sequence[str], longest: int) -> list[int]:
        """BEGIN, the words' numbers, END; of more than `longest` words the first ones, without END: it went on.

        >>> Vocabulary((*SPECIAL, "a", "dog")).encode(["a", "blue", "dog"], longest=5)
        [1, 4, 3, 5, 2]
        >>> Vocabulary((*SPECIAL, "a", "dog")).encode(["a", "dog", "a"], longest=2)
        [1, 4, 5]
        """
        # a word of a caption that looks like a special token is no such token
        numbers = [max(self._numbers.get(word, UNKNOWN), UNKNOWN) for word in tokens[:longest]]
        return [BEGIN, *numbers, *([END] if len(tokens) <= longest else [])]

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """The words up to END, without what is no word.

        >>> Vocabulary((*SPECIAL, "a", "dog")).decode([1, 4, 5, 2, 4, 0])
        ['a', 'dog']
        """
        words = []
        for number in numbers:
            if number == END:
                break
            if number not in (PAD, BEGIN):
                words.append(self.words[number])
        return words

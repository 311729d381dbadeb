"""Captions of a split as integer columns, and their n-grams counted once for all scores that need them.

Words are numbered over the split. Captions (C of them, N candidates and T references) lie image after image, the
candidate before its references; their words lie one after another in the same order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Tokens = Sequence[str]


class CaptionColumns(NamedTuple):
    """N candidates and their references.

    words: int64 (W,), the number of each word of each caption, 0..V-1. num_words: V, how many different ones there are.
    lengths: int64 (C,), words of each caption. images: int64 (C,), 0..N-1, rising. candidates: int64 (N,), the row of
    each image's candidate; its references are the rows up to the next one.
    """

    words: Integers
    num_words: int
    lengths: Integers
    images: Integers
    candidates: Integers

    @property
    def references(self) -> Integers:
        """Rows of the references, int64 (T,), image after image."""
        return np.setdiff1d(np.arange(len(self.lengths)), self.candidates, assume_unique=True)

    @property
    def counts(self) -> Integers:
        """References of each image, int64 (N,)."""
        return np.diff(self.candidates, append=len(self.lengths)) - 1

    @property
    def starts(self) -> Integers:
        """Where each caption's words begin, int64 (C,)."""
        return np.cumsum(self.lengths) - self.lengths


def caption_columns(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> CaptionColumns:
    """The columns of candidates (N) and of the references of each (N, at least one).

    Raises:
        ValueError: no candidate, as many images as candidates are not there, or an image without references.
    """
    if len(candidates) != len(references) or not len(candidates):
        raise ValueError(
            f"Expected references for each of the captions, at least one of them, but got {len(candidates)} captions "
            f"and references for {len(references)}"
        )
    counts = np.fromiter(map(len, references), dtype=np.int64, count=len(references))
    if not counts.all():
        raise ValueError(f"Expected at least one reference an image, but image {int(np.argmin(counts))} has none")
    captions = [caption for known, first in zip(references, candidates, strict=True) for caption in (first, *known)]
    lengths = np.fromiter(map(len, captions), dtype=np.int64, count=len(captions))
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__  # a new word gets the next number
    words = np.fromiter(
        map(numbers.__getitem__, chain.from_iterable(captions)), dtype=np.int64, count=int(lengths.sum())
    )
    images = np.repeat(np.arange(len(counts)), counts + 1)
    return CaptionColumns(words, len(numbers), lengths, images, np.cumsum(counts + 1) - (counts + 1))


class Ngrams(NamedTuple):
    """The n-grams of one length, one row for each that a caption has (E rows), by n-gram and inside it by caption.

    captions: int64 (E,), rows of `CaptionColumns`. ngrams: int64 (E,), 0..G-1, rising. counts: int64 (E,), how often
    the caption has it. groups: int64 (E,), 0..H-1, rising: rows of one n-gram and one image. starts: int64 (H,), the
    first row of each group. in_candidate: int64 (H,), how often the image's candidate has it. num_ngrams: G.
    """

    captions: Integers
    ngrams: Integers
    counts: Integers
    groups: Integers
    starts: Integers
    in_candidate: Integers
    num_ngrams: int


def all_ngrams(columns: CaptionColumns, longest: int = 4) -> list[Ngrams]:
    """The n-grams of 1 to `longest` words."""
    caption_of = np.repeat(np.arange(len(columns.lengths)), columns.lengths)
    ends = (columns.starts + columns.lengths)[caption_of]
    at = np.arange(len(columns.words))  # where the n-grams begin
    numbers, total = columns.words, columns.num_words
    found = [_counted(columns, caption_of, numbers, total)]
    for n in range(2, longest + 1):
        whole = at + n <= ends[at]
        at = at[whole]
        # the n-gram's first n - 1 words and its last one; renumbered, so that four words fit int64 whatever V
        values, numbers = np.unique(numbers[whole] * columns.num_words + columns.words[at + n - 1], return_inverse=True)
        total = len(values)
        found.append(_counted(columns, caption_of[at], numbers, total))
    return found


def _counted(columns: CaptionColumns, captions: Integers, numbers: Integers, total: int) -> Ngrams:
    """captions, numbers: of each occurrence of an n-gram."""
    keys = np.sort(numbers * len(columns.lengths) + captions)
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.diff(first, append=len(keys))
    ngrams, rows = np.divmod(keys[first], len(columns.lengths))
    images = columns.images[rows]
    new = (np.diff(ngrams, prepend=-1) != 0) | (np.diff(images, prepend=-1) != 0)
    starts = np.flatnonzero(new)
    # the candidate is its image's first caption, so it is a group's first row or not in the group
    leads = columns.candidates[images[starts]] == rows[starts]
    in_candidate = np.where(leads, counts[starts], 0)
    return Ngrams(rows, ngrams, counts, np.cumsum(new) - 1, starts, in_candidate, total)

"""ROUGE-L of captions, as the field's `pycocoevalcap` computes it.

Lin, "ROUGE: a package for automatic evaluation of summaries", 2004: precision and recall of the longest common
subsequence of words, LCS / caption's length and LCS / reference's length; the best of each over the references, put
together with beta = 1.2 as (1 + beta²) P R / (R + beta² P).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cvbench.metrics.caption_columns import CaptionColumns, Floats, Integers

_BETA = 1.2
# One bit for each of the candidate's words; the bit that addition carries out of 64 words is not needed.
_BITS = 64


def rouge_l(columns: CaptionColumns) -> Floats:
    """ROUGE-L of each of N captions, float64 (N,) in [0, 1], the higher the better; the score is their mean.

    A caption without words is one empty word, as `pycocoevalcap` has it: 0 against every reference but an empty one.
    """
    references, counts = columns.references, columns.counts
    lengths = np.maximum(columns.lengths, 1)
    common = lcs_lengths(columns)
    empty = columns.lengths == 0
    common[empty[references] & np.repeat(empty[columns.candidates], counts)] = 1
    firsts = np.cumsum(counts) - counts
    precision = np.maximum.reduceat(common, firsts) / lengths[columns.candidates]
    recall = np.maximum.reduceat(common / lengths[references], firsts)
    scores = np.zeros(len(counts))
    above = (1 + _BETA**2) * precision * recall
    np.divide(above, recall + _BETA**2 * precision, out=scores, where=above > 0)
    return scores


def lcs_lengths(columns: CaptionColumns) -> Integers:
    """Words of the longest common subsequence of each reference and its image's candidate, int64 (T,).

    Bit-parallel (Hyyrö, "Bit-parallel LCS-length computation revisited", 2004): a bit for each word of the candidate,
    all pairs at once, a step for each word of the longest reference. Candidates of more than 64 words one by one.
    """
    references = columns.references
    candidates = np.repeat(columns.candidates, columns.counts)
    found = np.zeros(len(references), dtype=np.int64)
    short = np.flatnonzero(columns.lengths[candidates] <= _BITS)
    found[short] = _in_one_word(columns, candidates[short], references[short])
    long = np.flatnonzero(columns.lengths[candidates] > _BITS)
    found[long] = _in_big_numbers(columns, candidates[long], references[long])
    return found


def _in_one_word(columns: CaptionColumns, candidates: Integers, references: Integers) -> Integers:
    # the longest first: the pairs that a step still works on are then the first ones
    order = np.argsort(-columns.lengths[references], kind="stable")
    lengths = columns.lengths[references[order]]
    active = np.searchsorted(-lengths, -np.arange(lengths.max(initial=0)))
    masks = _masks(columns, candidates[order], references[order], active)
    rows = np.full(len(order), ~np.uint64(0))
    first = 0
    for count in active.tolist():
        row = rows[:count]
        both = row & masks[first : first + count]
        rows[:count] = (row + both) | (row - both)
        first += count
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.bitwise_count(~rows)
    return found


def _masks(columns: CaptionColumns, candidates: Integers, references: Integers, active: Integers) -> NDArray[np.uint64]:
    """A bit for each place where the candidate has the reference's word, uint64: step after step, pair after pair.

    active: how many pairs, the first ones, have a word in each step.
    """
    steps = np.repeat(np.arange(len(active)), active)
    pairs = np.arange(len(steps)) - np.repeat(np.cumsum(active) - active, active)
    words = columns.words[columns.starts[references][pairs] + steps]
    masks = np.zeros(len(words), dtype=np.uint64)
    lengths, starts = columns.lengths[candidates], columns.starts[candidates]
    for place in range(lengths.max(initial=0)):
        theirs = np.full(len(candidates), -1)
        has = lengths > place
        theirs[has] = columns.words[starts[has] + place]
        masks |= (theirs[pairs] == words).astype(np.uint64) << np.uint64(place)
    return masks


def _in_big_numbers(columns: CaptionColumns, candidates: Integers, references: Integers) -> list[int]:
    return [
        _lcs(_words(columns, first), _words(columns, other))
        for first, other in zip(candidates, references, strict=True)
    ]


def _lcs(first: list[int], other: list[int]) -> int:
    """As `_in_one_word`, with integers of as many bits as it takes."""
    masks: dict[int, int] = {}
    for place, word in enumerate(first):
        masks[word] = masks.get(word, 0) | 1 << place
    full = (1 << len(first)) - 1
    row = full
    for word in other:
        both = row & masks.get(word, 0)
        row = (row + both | row - both) & full
    return len(first) - row.bit_count()


def _words(columns: CaptionColumns, row: int) -> list[int]:
    start = columns.starts[row]
    words: list[int] = columns.words[start : start + columns.lengths[row]].tolist()
    return words

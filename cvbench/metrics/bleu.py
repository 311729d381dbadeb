"""BLEU-1 to BLEU-4 of captions, as the field's `pycocoevalcap` computes them.

Papineni, Roukos, Ward & Zhu, "BLEU: a method for automatic evaluation of machine translation", ACL 2002: the geometric
mean of the shares of 1- to n-grams that a reference has too (each counted at most as often as in the reference that has
it most often), times exp(1 - reference length / length) where captions are too short. Of an image's references the
length closest to the caption's counts, of two equally close ones the shorter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cvbench.metrics.caption_columns import CaptionColumns, Floats, Integers, Ngrams

# pycocoevalcap's: a caption without n-grams has precision 0.001² and not 0/0
_TINY, _SMALL = 1e-15, 1e-9


class BleuCounts(NamedTuple):
    """What BLEU is made of, of each caption: int64, summed over captions before anything is divided.

    matches: (..., 4), its 1- to 4-grams that references have. totals: (..., 4), its 1- to 4-grams. length: (...), its
    words. reference_length: (...), words of the reference of the closest length.
    """

    matches: Integers
    totals: Integers
    length: Integers
    reference_length: Integers

    def over_all(self) -> BleuCounts:
        """The counts of all captions together: of these, BLEU is the corpus's."""
        return BleuCounts._make(column.sum(axis=0) for column in self)


def bleu_counts(columns: CaptionColumns, ngrams: list[Ngrams]) -> BleuCounts:
    """The counts of each of N captions."""
    lengths = columns.lengths[columns.candidates]
    sizes = np.arange(1, len(ngrams) + 1)
    return BleuCounts(
        matches=np.stack([_matches(columns, found) for found in ngrams], axis=1),
        totals=np.maximum(0, lengths[:, None] - sizes + 1),
        length=lengths,
        reference_length=_closest(columns),
    )


def bleu(counts: BleuCounts) -> Floats:
    """BLEU-1 to BLEU-4, float64 (..., 4) in [0, 1], the higher the better.

    counts: of all captions together (`over_all`) or of a resample for the corpus's, or of single captions for the value
    of each. Where captions or references have no words at all, all four are 0.
    """
    precision = (counts.matches + _TINY) / (counts.totals + _SMALL)
    means = np.cumprod(precision, axis=-1) ** (1 / np.arange(1, precision.shape[-1] + 1))
    ratio = (counts.length + _TINY) / (counts.reference_length + _SMALL)
    penalty = np.exp(np.minimum(0, 1 - 1 / ratio))
    scores: Floats = means * np.asarray(penalty)[..., None]
    return scores


def _matches(columns: CaptionColumns, found: Ngrams) -> Integers:
    """N-grams of each candidate that a reference has, at most as many as there, int64 (N,)."""
    if not len(found.starts):
        return np.zeros(len(columns.candidates), dtype=np.int64)
    known = found.counts.copy()
    known[found.starts[found.in_candidate > 0]] = 0
    most = np.maximum.reduceat(known, found.starts)
    images = columns.images[found.captions[found.starts]]
    clipped = np.bincount(images, np.minimum(most, found.in_candidate), minlength=len(columns.candidates))
    return clipped.astype(np.int64)


def _closest(columns: CaptionColumns) -> Integers:
    """The length of the reference whose length is closest to the candidate's, int64 (N,)."""
    references, counts = columns.references, columns.counts
    lengths = columns.lengths[references]
    above = int(columns.lengths.max()) + 1
    distance = np.abs(lengths - np.repeat(columns.lengths[columns.candidates], counts))
    nearest = np.minimum.reduceat(distance * above + lengths, np.cumsum(counts) - counts)
    return nearest % above

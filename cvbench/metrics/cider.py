"""CIDEr-D and CIDEr of captions.

Vedantam, Zitnick & Parikh, "CIDEr: consensus-based image description evaluation", CVPR 2015: captions as vectors of
their n-grams' counts, each weighted by log(images / images whose references have it); the cosine to each reference,
averaged over references and over n = 1 to 4, times 10. CIDEr-D, which `pycocoevalcap` calls CIDEr and papers report,
counts no n-gram more often than the reference has it, and multiplies each cosine by exp(-(lengths' difference)² / 72).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cvbench.metrics.caption_columns import CaptionColumns, Floats, Ngrams

_SIGMA = 6.0
_SCALE = 10.0


class Cider(NamedTuple):
    """Of each caption, float64 (N,), the higher the better: d in [0, 10], CIDEr-D; plain in [0, 10], CIDEr."""

    d: Floats
    plain: Floats


def cider(columns: CaptionColumns, ngrams: list[Ngrams]) -> Cider:
    """The values of each of N captions, the weights taken from all references of the split; a score is their mean.

    The weights depend on the split: of a single image, all are log(1 / 1) = 0, and so are the values. A caption or
    reference without words gets 0, also where no reference has words (`pycocoevalcap` fails there).
    """
    references = columns.references
    cosines = np.zeros((2, len(references)))
    for found in ngrams:
        cosines += _cosines(columns, found)[:, references]
    images = columns.images[references]
    apart = columns.lengths[columns.candidates][images] - columns.lengths[references]
    cosines[0] *= np.exp(-(apart**2) / (2 * _SIGMA**2))
    scale = _SCALE / len(ngrams) / columns.counts
    return Cider._make(np.bincount(images, values, minlength=len(scale)) * scale for values in cosines)


def _cosines(columns: CaptionColumns, found: Ngrams) -> Floats:
    """Clipped and plain cosine of each caption to its image's candidate, float64 (2, C); 0 where one has no weight."""
    num_captions = len(columns.lengths)
    weights = _idf(columns, found)[found.ngrams] ** 2
    norms = np.sqrt(np.bincount(found.captions, found.counts**2 * weights, minlength=num_captions))
    in_candidate = found.in_candidate[found.groups]
    shared = np.flatnonzero(in_candidate)
    captions, counts, theirs = found.captions[shared], found.counts[shared], in_candidate[shared]
    weighted = counts * weights[shared]
    products = norms * norms[columns.candidates[columns.images]]
    cosines = np.zeros((2, num_captions))
    for row, factor in zip(cosines, (np.minimum(theirs, counts), theirs), strict=True):
        dots = np.bincount(captions, factor * weighted, minlength=num_captions)
        np.divide(dots, products, out=row, where=products > 0)
    return cosines


def _idf(columns: CaptionColumns, found: Ngrams) -> Floats:
    """log(images / images whose references have the n-gram), float64 (G,); of an n-gram in none as of one in one."""
    size = np.diff(found.starts, append=len(found.captions))
    in_references = size > (found.in_candidate > 0)
    frequency = np.bincount(found.ngrams[found.starts[in_references]], minlength=found.num_ngrams)
    # one logarithm of a quotient: exactly 0 for what is in all images
    idf: Floats = np.log(len(columns.candidates) / np.maximum(frequency, 1))
    return idf

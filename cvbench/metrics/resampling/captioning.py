"""Scores of captioning on resamples of the images; evidence and truth as in `cvbench.metrics.captioning`.

BLEU is a ratio of sums over captions; the others are means over captions. What CIDEr weights n-grams by, in how many
images' references they are, stays that of the full split: a resample with other weights would be another metric.
METEOR and the size of the vocabulary are not to be had from values of single captions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.metrics.alignment import Arrays
from cvbench.metrics.bleu import BleuCounts, bleu, bleu_counts
from cvbench.metrics.box_columns import image_numbers
from cvbench.metrics.caption_columns import CaptionColumns, all_ngrams, caption_columns
from cvbench.metrics.captioning import tokenized
from cvbench.metrics.cider import cider
from cvbench.metrics.resampling.weights import Floats, Integers, Weights, checked, known, totals
from cvbench.metrics.rouge_l import rouge_l


def resampled(evidence: Arrays, truth: Arrays, name: str, weights: Weights) -> Floats:
    """The metric on each resample, float64 (R,).

    weights: int (R, N), how often each image is drawn, in the order of `truth["ids"]`. Weights 1 give `score`'s value;
    others, but for CIDEr, what `score` gives of images that are there so often.

    Raises:
        ValueError: a metric that cannot be resampled, weights that do not fit, evidence or truth that `score` refuses.
    """
    compute = RESAMPLED[known(name, RESAMPLED)]
    split = tokenized(evidence, truth)
    columns = caption_columns(split.captions, split.references)
    weights = checked(weights, len(truth["ids"]))
    # the columns have the images in the order of their numbers
    return compute(columns, weights[:, np.argsort(image_numbers(truth["ids"]), kind="stable")])


def images_per_class(truth: Arrays, name: str) -> Integers:
    """Nothing, int64 (0,): captions have no classes."""
    return np.zeros(0, dtype=np.int64)


def _bleu(longest: int) -> Callable[[CaptionColumns, Weights], Floats]:
    def compute(columns: CaptionColumns, weights: Weights) -> Floats:
        counts = bleu_counts(columns, all_ngrams(columns))
        sizes = counts.matches.shape[1]
        sums = totals(weights, np.column_stack(counts)).astype(np.int64)
        drawn = BleuCounts(sums[:, :sizes], sums[:, sizes : 2 * sizes], sums[:, -2], sums[:, -1])
        return bleu(drawn)[:, longest - 1]

    return compute


def _mean(values: Callable[[CaptionColumns], NDArray[Any]]) -> Callable[[CaptionColumns, Weights], Floats]:
    def compute(columns: CaptionColumns, weights: Weights) -> Floats:
        return np.asarray(totals(weights, values(columns)[:, None])[:, 0] / weights.sum(axis=1))

    return compute


RESAMPLED: dict[str, Callable[[CaptionColumns, Weights], Floats]] = {
    **{f"bleu{longest}": _bleu(longest) for longest in (1, 2, 3, 4)},
    "rouge_l": _mean(rouge_l),
    "cider": _mean(lambda columns: cider(columns, all_ngrams(columns)).d),
    "cider_plain": _mean(lambda columns: cider(columns, all_ngrams(columns)).plain),
    "length": _mean(lambda columns: columns.lengths[columns.candidates]),
}

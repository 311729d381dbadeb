"""Scores of captioning from evidence and truth, numpy only (METEOR: Java).

Evidence (N images), images in any order:
    ids       str (N,)
    captions  str (N,), as the model or person wrote them; an empty one is allowed, and scores 0
Truth:
    ids         str (N,)
    counts      int64 (N,), references of each image, at least one
    references  str (T,), image after image
    training    uint64 (K,), optional: `caption_key` of each distinct training caption

Captions are split into words by `cvbench.language.tokenizer`, theirs and ours alike. `bleu`, `rouge_l` and `cider` give
the values of each caption too, before they are summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvbench.language.tokenizer import tokens
from cvbench.metrics import meteor
from cvbench.metrics.alignment import Arrays, aligned
from cvbench.metrics.bleu import bleu, bleu_counts
from cvbench.metrics.box_columns import image_numbers
from cvbench.metrics.caption_columns import all_ngrams, caption_columns
from cvbench.metrics.cider import cider
from cvbench.metrics.rouge_l import rouge_l

PRIMARY = "cider"
# name: (direction, definition, unit); in unit %, values are fractions in [0, 1] that boards show in percent; values in
# unit x100 are shown times 100, as papers do
METRICS = {
    "bleu1": ("max", "BLEU-1: share of words that references have, times a penalty for captions too short", "%"),
    "bleu2": ("max", "BLEU-2: the same, geometric mean with the share of word pairs", "%"),
    "bleu3": ("max", "BLEU-3: the same, up to three words", "%"),
    "bleu4": ("max", "BLEU-4: the same, up to four words; over the corpus, closest reference length", "%"),
    "rouge_l": ("max", "ROUGE-L: longest common subsequence of words, F-measure with beta 1.2", "%"),
    "cider": ("max", "CIDEr-D: cosine of weighted n-grams to references, clipped, with a length penalty", "x100"),
    "cider_plain": ("max", "CIDEr without clipping and length penalty; words as they are, not stemmed", "x100"),
    "meteor": ("max", "METEOR 1.5: aligned words, stems, synonyms and paraphrases; needs Java", "%"),
    "length": ("none", "mean number of words of a caption", ""),
    "vocabulary": ("none", "number of different words that the captions use", ""),
    "novel": ("none", "share of captions that say something and are, word by word, no training caption", "%"),
}
# of these, what `at_test` gives: no model can be selected by it
AT_TEST = ("meteor",)


def score(evidence: Arrays, truth: Arrays) -> dict[str, float]:
    """The split's scores by name, without those of `at_test`; `cider` and `cider_plain` in [0, 10], most in [0, 1].

    `novel` is missing where the truth has no `training`. No score depends on the order of images.

    Raises:
        ValueError: ids of evidence and truth differ, no image, counts and references contradict each other, an image
            without references.
    """
    split = tokenized(evidence, truth)
    columns = caption_columns(split.captions, split.references)
    ngrams = all_ngrams(columns)
    values = cider(columns, ngrams)
    names = ("bleu1", "bleu2", "bleu3", "bleu4")
    scores = dict(zip(names, bleu(bleu_counts(columns, ngrams).over_all()).tolist(), strict=True)) | {
        "rouge_l": float(rouge_l(columns).mean()),
        "cider": float(values.d.mean()),
        "cider_plain": float(values.plain.mean()),
        "length": float(columns.lengths[columns.candidates].mean()),
        "vocabulary": float(len({word for caption in split.captions for word in caption})),
    }
    if "training" in truth:
        keys = np.array([caption_key(caption) for caption in split.captions], dtype=np.uint64)
        new = np.isin(keys, truth["training"], invert=True) & (columns.lengths[columns.candidates] > 0)
        scores["novel"] = float(new.mean())
    return scores


def at_test(evidence: Arrays, truth: Arrays) -> dict[str, float]:
    """The scores that take too long for every validation: {"meteor": …}, or {} where it cannot be had (see `absent`).

    Raises ValueError as `score`.
    """
    split = tokenized(evidence, truth)
    try:
        return {"meteor": meteor.meteor(split.captions, split.references).corpus}
    except meteor.UnavailableError:
        return {}


def per_class(evidence: Arrays, truth: Arrays) -> dict[str, dict[str, float | None]]:
    """Nothing: captions have no classes."""
    return {}


def absent(metrics: Iterable[str]) -> dict[str, str]:
    """Why those of `METRICS` that are not among `metrics` are missing, name -> reason."""
    reasons = {
        "meteor": meteor.unavailable() or "it is computed at the test alone",
        "novel": "no training captions were given",
    }
    return {name: reasons[name] for name in METRICS if name not in set(metrics) and name in reasons}


def caption_key(words: Sequence[str]) -> np.uint64:
    """What a caption is recognised by: the first 8 bytes of BLAKE2b of its words, joined by spaces."""
    digest = blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "big"))


def training_keys(captions: Iterable[str]) -> NDArray[np.uint64]:
    """`training` of a truth: the key of each distinct training caption, rising."""
    return np.array(sorted({caption_key(tokens(text)) for text in captions}), dtype=np.uint64)


class _Split(NamedTuple):
    """captions: the words of each of N. references: of each image, the words of each reference."""

    captions: list[list[str]]
    references: list[list[list[str]]]


def tokenized(evidence: Arrays, truth: Arrays) -> _Split:
    """Words, images in the order of their numbers, so that no sum depends on how the rows were gathered."""
    captions = _texts("captions", aligned({name: evidence[name] for name in ("ids", "captions")}, truth)["captions"])
    references = _texts("references", truth["references"])
    counts = np.asarray(truth["counts"])
    ids = truth["ids"]
    if counts.shape != ids.shape or counts.dtype.kind not in "iu" or counts.sum() != len(references):
        raise ValueError(
            f"Expected `counts` to say how many of the {len(references)} references each of the {len(ids)} images has, "
            f"but got {counts.dtype} {counts.shape} with the sum {counts.sum()}"
        )
    if (counts < 1).any():
        without = str(ids[int(np.argmax(counts < 1))])
        raise ValueError(f"Expected at least one reference caption an image, but {without!r} has none; leave it out")
    ends = np.cumsum(counts).tolist()
    order = np.argsort(image_numbers(ids), kind="stable").tolist()
    begins = [0, *ends]
    return _Split(
        [tokens(captions[place]) for place in order],
        [[tokens(text) for text in references[begins[place] : ends[place]]] for place in order],
    )


def _texts(name: str, column: NDArray[Any]) -> list[str]:
    texts: list[str] = column.tolist()
    if not all(isinstance(text, str) for text in texts):
        wrong = next(text for text in texts if not isinstance(text, str))
        raise ValueError(f"Expected `{name}` to hold texts, but got {wrong!r}")
    return texts


def by_sample(evidence: Arrays, truth: Arrays) -> NDArray[np.float64]:
    """Each caption's CIDEr-D, float64 (N,), as `truth["ids"]` has the images: which are hard. Raises as `score`."""
    split = tokenized(evidence, truth)
    columns = caption_columns(split.captions, split.references)
    values = np.empty(len(truth["ids"]))
    values[np.argsort(image_numbers(truth["ids"]), kind="stable")] = cider(columns, all_ngrams(columns)).d
    return values

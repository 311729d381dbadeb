"""BLEU with CIDEr, and ROUGE-L, of 5,000 captions and 5 references each: ours against pycocoevalcap.

From words to scores: numbering the words is part of our time; pycocoevalcap gets them joined by spaces, as it wants
them. Three rounds, since one of theirs takes seconds.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from cvbench.metrics.bleu import bleu, bleu_counts
from cvbench.metrics.caption_columns import all_ngrams, caption_columns
from cvbench.metrics.cider import cider
from cvbench.metrics.rouge_l import rouge_l
from tests.speed.timing import Row, compare

IMAGES, REFERENCES, WORDS = 5000, 5, 8000
Words = list[str]


def made() -> tuple[list[Words], list[list[Words]]]:
    """Captions of 7 to 14 words, as frequent as Zipf has it; candidates are a reference with 40 % other words."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(WORDS)])
    shares = 1 / np.arange(1, WORDS + 1)
    shares /= shares.sum()

    def drawn(count: int) -> Words:
        return words[rng.choice(WORDS, count, p=shares)].tolist()

    references = [[drawn(rng.integers(7, 15)) for _ in range(REFERENCES)] for _ in range(IMAGES)]
    candidates = [
        [other if rng.random() < 0.4 else word for word, other in zip(known[0], drawn(len(known[0])), strict=True)]
        for known in references
    ]
    return candidates, references


def measure() -> list[Row]:
    candidates, references = made()
    known = {place: [" ".join(caption) for caption in captions] for place, captions in enumerate(references)}
    found = {place: [" ".join(caption)] for place, caption in enumerate(candidates)}

    def our_bleu_and_cider() -> list[float]:
        columns = caption_columns(candidates, references)
        ngrams = all_ngrams(columns)
        return [*bleu(bleu_counts(columns, ngrams).over_all()), cider(columns, ngrams).d.mean()]

    def their_bleu_and_cider() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            return [*Bleu(4).compute_score(known, found)[0], Cider().compute_score(known, found)[0]]

    def our_rouge_l() -> float:
        return float(rouge_l(caption_columns(candidates, references)).mean())

    def their_rouge_l() -> float:
        return float(Rouge().compute_score(known, found)[0])

    assert np.allclose(our_bleu_and_cider(), their_bleu_and_cider(), rtol=0, atol=1e-9)
    assert abs(our_rouge_l() - their_rouge_l()) < 1e-9
    return [
        compare("BLEU + CIDEr, 5,000 x 5", our_bleu_and_cider, their_bleu_and_cider, 8.0, rounds=3),
        compare("ROUGE-L, 5,000 x 5", our_rouge_l, their_rouge_l, 10.0, rounds=3),
    ]

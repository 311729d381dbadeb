"""Made-up captions as words, and what pycocoevalcap says of them."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

Words = list[str]


class Split(NamedTuple):
    """candidates: of each image, the words. references: of each image, the words of each reference."""

    candidates: list[Words]
    references: list[list[Words]]


class Expected(NamedTuple):
    """bleu: (4,). of_captions: `bleu` (N, 4), `rouge_l` (N,), `cider` (N,) of single captions."""

    bleu: np.ndarray
    rouge_l: float
    cider: float
    bleu_of_captions: np.ndarray
    rouge_l_of_captions: np.ndarray
    cider_of_captions: np.ndarray


def pycocoevalcap(split: Split) -> Expected:
    """Its answers. Of a split whose references have no words at all its CIDEr fails: 0 here."""
    known = {place: [" ".join(words) for words in texts] for place, texts in enumerate(split.references)}
    found = {place: [" ".join(words)] for place, words in enumerate(split.candidates)}
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, bleu_of_captions = Bleu(4).compute_score(known, found)
        rouge_l, rouge_l_of_captions = Rouge().compute_score(known, found)
        cider, cider_of_captions = 0.0, np.zeros(len(found))
        if any(words for texts in split.references for words in texts):
            cider, cider_of_captions = Cider().compute_score(known, found)
    of_captions = np.array(bleu_of_captions).T, rouge_l_of_captions, cider_of_captions
    return Expected(np.array(bleu), float(rouge_l), float(cider), *of_captions)


# Few words mean many repetitions and matches; some are no ASCII.
WORDS = st.sampled_from(["a", "dog", "cat", "runs", "on", "naïve", "犬", "ß", "10.5", "'s"])
CAPTIONS = st.one_of(
    st.lists(WORDS, max_size=8),
    st.lists(WORDS, max_size=1),
    st.builds(lambda words, times: words * times, st.lists(WORDS, min_size=1, max_size=3), st.integers(1, 70)),
)


@st.composite
def splits(draw: st.DrawFn) -> Split:
    """Up to 5 images of 1 to 5 references: captions without words, of one word, of 200 words, words repeated."""
    images = draw(st.integers(1, 5))
    candidates = [draw(CAPTIONS) for _ in range(images)]
    references = [draw(st.lists(CAPTIONS, min_size=1, max_size=5)) for _ in range(images)]
    for place in range(images):
        if draw(st.booleans()):  # most of a caption is in a reference, as it should be
            references[place][0] = candidates[place][:-1] + draw(st.lists(WORDS, max_size=3))
    return Split(candidates, references)


def fakecap126(shared_data: Path) -> tuple[Split, dict[str, float]]:
    """The reference set as PTB tokens, and its scores by pycocoevalcap 1.2."""
    folder = shared_data / "metric_refs" / "captions_fakecap126"
    content = json.loads((folder / "ptb_tokenized.json").read_text())
    ids = list(content["references"])
    split = Split(
        [content["results"][image][0].split() for image in ids],
        [[text.split() for text in content["references"][image]] for image in ids],
    )
    return split, json.loads((folder / "expected_pycocoevalcap_1.2.json").read_text())

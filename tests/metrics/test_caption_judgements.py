"""The scores of single captions against what experts said of them: Flickr8k's judgements, as published."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from cvbench.language.tokenizer import tokens
from cvbench.metrics.bleu import bleu, bleu_counts
from cvbench.metrics.caption_columns import all_ngrams, caption_columns
from cvbench.metrics.cider import cider
from cvbench.metrics.rouge_l import rouge_l


def test_agreement_with_experts(shared_data: Path) -> None:
    """Kendall's tau-c × 100 of Hessel et al., "CLIPScore", EMNLP 2021, table 1."""
    folder = shared_data / "metric_refs" / "flickr8k_expert"
    rows = [line.split("\t") for line in (folder / "ExpertAnnotations.txt").read_text().splitlines()]
    # a caption of the image itself is one of the references
    rows = [row for row in rows if row[1].split("#")[0] != row[0]]
    images = {row[0] for row in rows}
    wanted = images | {row[1] for row in rows}
    captions, references = {}, defaultdict(list)
    for line in (folder / "Flickr8k.token.txt").read_text().splitlines():
        name, text = line.split("\t")
        image = name.split("#")[0]
        if name in wanted or image in images:
            captions[name] = tokens(text)
            references[image].append(captions[name])
    columns = caption_columns([captions[row[1]] for row in rows], [references[row[0]] for row in rows])
    ngrams = all_ngrams(columns)
    of_captions = bleu(bleu_counts(columns, ngrams))
    values = {
        "bleu1": of_captions[:, 0],
        "bleu4": of_captions[:, 3],
        "rouge_l": rouge_l(columns),
        "cider": cider(columns, ngrams).d,
    }
    judgements = np.array([row[2:5] for row in rows], dtype=np.int64)
    assert judgements.shape == (5664, 3)
    agreement = {
        name: 100 * kendalltau(np.repeat(value, 3), judgements.ravel(), variant="c").statistic
        for name, value in values.items()
    }
    published = {"bleu1": 32.3, "bleu4": 30.8, "rouge_l": 32.3, "cider": 43.9}
    assert agreement == pytest.approx(published, rel=0, abs=0.1)

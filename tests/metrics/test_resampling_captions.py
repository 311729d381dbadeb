"""Captions on resamples: equal to what `score` gives of repeated images; CIDEr with the weights of the whole split."""

from __future__ import annotations

import numpy as np
import pytest

from cvbench.metrics import captioning
from cvbench.metrics.caption_columns import all_ngrams, caption_columns
from cvbench.metrics.cider import cider
from cvbench.metrics.resampling.captioning import resampled
from tests.repeated import Split, parts_repeated

WORDS = ["a", "red", "car", "stands", "in", "rain"]  # few, so that four words in a row are found
IMAGES = 15


def made() -> Split:
    """Captions of words drawn at random, one of them empty; images in another order than that of their numbers."""
    rng = np.random.default_rng(2)
    counts = rng.integers(1, 4, IMAGES)

    def captions(number: int) -> list[str]:
        return [" ".join(rng.choice(WORDS, rng.integers(3, 9))) for _ in range(number)]

    ids = np.array([f"{number}.jpg" for number in rng.permutation(IMAGES)])
    texts = captions(IMAGES)
    texts[3] = ""
    truth = {"ids": ids, "counts": counts, "references": np.array(captions(int(counts.sum())))}
    return {"ids": ids, "captions": np.array(texts)}, truth


def test_a_resample_is_the_score_of_repeated_images() -> None:
    split = made()
    rng = np.random.default_rng(3)
    weights = np.stack([np.bincount(rng.integers(0, IMAGES, IMAGES), minlength=IMAGES) for _ in range(20)])
    weights[0] = 1
    expected = [captioning.score(*parts_repeated(split, row)) for row in weights]
    assert expected[0]["bleu4"] == pytest.approx(captioning.score(*split)["bleu4"], rel=1e-12)
    for name in ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "length"):
        values = resampled(*split, name, weights)
        assert values == pytest.approx([row[name] for row in expected], rel=1e-12), name
        assert len(set(np.round(values, 9))) > 10, name


def test_cider_keeps_the_weights_of_the_whole_split() -> None:
    evidence, truth = made()
    order = np.argsort([int(name.partition(".")[0]) for name in truth["ids"].tolist()])
    edges = np.cumsum(truth["counts"])[:-1]
    references = [[text.split() for text in part] for part in np.split(truth["references"], edges)]
    captions = [text.split() for text in evidence["captions"]]
    columns = caption_columns([captions[row] for row in order], [references[row] for row in order])
    each = cider(columns, all_ngrams(columns))
    weights = np.random.default_rng(0).integers(0, 3, (4, IMAGES))
    for name, values in (("cider", each.d), ("cider_plain", each.plain)):
        expected = [np.average(values, weights=row[order]) for row in weights]
        assert resampled(evidence, truth, name, weights) == pytest.approx(expected, rel=1e-12)
        ones = resampled(evidence, truth, name, np.ones((1, IMAGES), dtype=int))
        assert ones == pytest.approx(captioning.score(evidence, truth)[name], rel=1e-12)


def test_weights_go_by_the_truths_ids() -> None:
    evidence, truth = made()
    weights = np.random.default_rng(5).integers(0, 3, (3, IMAGES))
    shuffled = np.random.default_rng(6).permutation(IMAGES)
    moved = {name: column[shuffled] for name, column in evidence.items()}
    expected = resampled(evidence, truth, "bleu4", weights)
    assert resampled(moved, truth, "bleu4", weights) == pytest.approx(expected, rel=1e-14)


def test_metrics_that_cannot_be_resampled() -> None:
    can = "bleu1, bleu2, bleu3, bleu4, rouge_l, cider, cider_plain, length"
    with pytest.raises(ValueError, match=f"Expected a metric that can be resampled, {can}, but got 'meteor'"):
        resampled(*made(), "meteor", np.ones((1, IMAGES), dtype=int))

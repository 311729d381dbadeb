"""1,000 resamples of a test split of COCO's size, 5,000 images, from the run's evidence, on one core.

The reference is what `score` would take on each resample: its time on 5,000 images, a thousand times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cvbench.metrics import captioning, classification, detection, segmentation
from cvbench.metrics.resampling import captioning as of_captions
from cvbench.metrics.resampling import classification as of_labels
from cvbench.metrics.resampling import detection as of_boxes
from cvbench.metrics.resampling import segmentation as of_masks
from cvbench.statistics.resamples import RESAMPLES, draws
from tests.speed.coco_map import IMAGES, made
from tests.speed.timing import Row

LIMITS = {"detection": 120.0, "other": 10.0}  # seconds
CLASSES = 150
WORDS = 2000

Split = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def labels() -> Split:
    """1,000 classes."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 1000, IMAGES)
    rank = rng.geometric(0.7, IMAGES) - 1
    top = np.sort(rng.random((IMAGES, 5)))[:, ::-1] / 2
    first = np.where(rank == 0, truth, (truth + 1) % 1000)
    ids = np.array([f"{number:012}" for number in range(IMAGES)])
    evidence = {
        "ids": ids,
        "top": np.column_stack([first, first[:, None] + np.arange(2, 6)]),
        "top_probability": top,
        "true_log_probability": np.log(rng.uniform(0.01, 1, IMAGES)),
        "true_rank": rank,
    }
    return evidence, {"ids": ids, "labels": truth, "classes": np.arange(1000).astype(str)}


def masks() -> Split:
    """150 classes, a tenth of them in an image."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5000, (IMAGES, CLASSES)) * (rng.random((IMAGES, CLASSES)) < 0.1)
    hits = (truth * rng.random(truth.shape)).astype(np.int64)
    confusion = np.column_stack([np.diag(hits.sum(axis=0)), (truth - hits).sum(axis=0)])  # the rest predicted as void
    ids = np.array([f"{number:012}" for number in range(IMAGES)])
    evidence = {"ids": ids, "intersection": hits, "truth": truth, "prediction": hits, "confusion": confusion}
    return evidence, {"ids": ids, "pixels": truth, "classes": np.arange(CLASSES).astype(str)}


def captions() -> Split:
    """5 references of 8 to 13 words an image."""
    rng = np.random.default_rng(0)
    words = np.array(
        [f"w{chr(97 + number % 26)}{chr(97 + number // 26 % 26)}{chr(97 + number // 676)}" for number in range(WORDS)]
    )

    def texts(count: int) -> np.ndarray:
        drawn = np.minimum(rng.geometric(0.02, (count, 13)), WORDS) - 1
        return np.array(
            [" ".join(words[row[:length]]) for row, length in zip(drawn, rng.integers(8, 14, count), strict=True)]
        )

    ids = np.array([f"{number:012}" for number in range(IMAGES)])
    truth = {"ids": ids, "counts": np.full(IMAGES, 5), "references": texts(5 * IMAGES)}
    return {"ids": ids, "captions": texts(IMAGES)}, truth


def measure() -> list[Row]:
    weights = draws(IMAGES)
    cases: list[tuple[str, Any, Any, Callable[[], Split], list[str]]] = [
        ("detection", detection, of_boxes, made, ["map", "map_50", "voc_ap"]),
        ("classification", classification, of_labels, labels, ["top1", "macro_top1", "nll", "ece"]),
        ("segmentation", segmentation, of_masks, masks, ["miou"]),
        ("captioning", captioning, of_captions, captions, ["bleu4", "rouge_l", "cider"]),
    ]
    rows = []
    for task, scores, resampling, split, names in cases:
        evidence, truth = split()
        start = time.process_time()
        expected = scores.score(evidence, truth)
        naive = RESAMPLES * (time.process_time() - start)
        limit = LIMITS.get(task, LIMITS["other"])
        for name in names:
            start = time.process_time()
            values = resampling.resampled(evidence, truth, name, weights)
            seconds = time.process_time() - start
            ones = resampling.resampled(evidence, truth, name, np.ones((1, IMAGES), dtype=np.int64))[0]
            assert abs(ones - expected[name]) <= 1e-9 * max(1.0, abs(expected[name])), (name, ones, expected[name])
            assert np.isfinite(values).all()
            what = f"{RESAMPLES} resamples of {IMAGES} images, {name}"
            rows.append(Row(f"{what}: limit", seconds, limit, limit / seconds, 1.0))
            rows.append(Row(f"{what}: against score on each", seconds, naive, naive / seconds, 10.0))
    return rows

"""Made-up images with detectors that err as real ones do, as many as wanted: what intervals are held against."""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]


def population(images: int, classes: int, seed: int = 0) -> tuple[Arrays, Arrays]:
    """Evidence and truth of 2.8 boxes an image, rare and common classes, hard and easy images.

    Each box is found more or less well or not at all, the surer the better; a quarter once more and worse, some as
    another class; 2.5 boxes an image are of nothing.
    """
    rng = np.random.default_rng(seed)
    share = 1 / (np.arange(classes) + 2.0)
    share /= share.sum()
    counts = 1 + rng.poisson(1.8, images)
    starts = np.cumsum(counts) - counts
    total = int(counts.sum())
    image = np.repeat(np.arange(images), counts)
    labels = rng.choice(classes, total, p=share)
    labels = np.where(rng.random(total) < 0.4, labels[starts][image], labels)  # things of one class stand together
    side = rng.uniform(20, 90, total)
    boxes = np.stack([400.0 * (np.arange(total) - starts[image]), np.zeros(total), side, side], axis=1)
    ease = 1.5 + rng.normal(0, 0.4, classes)[labels] - rng.normal(0, 0.7, images)[image] + rng.normal(0, 0.8, total)
    seen = rng.random(total) < _logistic(ease)
    iou = _logistic(0.8 + 0.5 * ease + rng.normal(0, 0.7, total))

    def found(some: np.ndarray, worse: float, surer: float) -> list[np.ndarray]:
        rows = np.flatnonzero(some)
        overlap = np.clip(iou[rows] * worse, 0.05, 0.999)
        moved = boxes[rows].copy()
        moved[:, 0] += (1 - overlap) / (1 + overlap) * side[rows]
        scores = _logistic(0.8 * ease[rows] + surer + 2 * (overlap - 0.7) + rng.normal(0, 0.7, len(rows)))
        return [moved, scores, labels[rows], image[rows]]

    parts = [found(seen, 1, 0.3), found(seen & (rng.random(total) < 0.25), 0.75, -1.5)]
    confused = found(seen & (rng.random(total) < 0.15), 1, -1.2)
    confused[2] = rng.choice(classes, len(confused[2]), p=share)
    nothing = np.repeat(np.arange(images), rng.poisson(2.5, images))
    places = np.tile([-500.0, 0, 50, 50], (len(nothing), 1))
    scores = _logistic(rng.normal(-1.6, 1.1, len(nothing)))
    parts += [confused, [places, scores, rng.choice(classes, len(nothing), p=share), nothing]]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[3], kind="stable")
    ids = np.array([f"{number:06}" for number in range(1, images + 1)])
    evidence = dict(zip(("boxes_xywh", "scores", "labels"), (column[order] for column in columns), strict=False))
    none = np.zeros(total, dtype=bool)
    truth = {"boxes_xywh": boxes, "labels": labels, "area": side**2, "crowd": none, "difficult": none}
    truth |= {"ids": ids, "counts": counts, "classes": np.array([f"class{label}" for label in range(classes)])}
    return evidence | {"ids": ids, "counts": np.bincount(columns[3], minlength=images)}, truth


def taken(arrays: Arrays, images: np.ndarray) -> Arrays:
    """These images of a split."""
    starts = np.cumsum(arrays["counts"]) - arrays["counts"]
    rows = np.concatenate([np.arange(starts[row], starts[row] + arrays["counts"][row]) for row in images])
    of_image = {"ids": images, "counts": images, "classes": slice(None)}
    return {name: column[of_image.get(name, rows)] for name, column in arrays.items()}


def _logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))

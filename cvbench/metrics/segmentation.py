"""Scores of semantic segmentation from evidence and truth, numpy only.

Evidence (N images, C classes), rows in any order, over pixels whose truth is labelled:
    ids           str (N,)
    intersection  int64 (N, C), pixels of the class that are predicted as it
    truth         int64 (N, C), labelled pixels of the class
    prediction    int64 (N, C), labelled pixels that are predicted as the class
    confusion     int64 (C, C+1), the whole split: rows truth, columns prediction, last column predicted void
Truth: ids str (N,), pixels int64 (N, C) labelled pixels per class, classes str (C,).

One confusion over the split, then ratios: never a mean over images. Void in the truth never counts for or against; a
prediction of void on a labelled pixel is wrong; classes absent from truth and prediction are left out of means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cvbench.metrics.alignment import Arrays, aligned
from cvbench.metrics.confusion import (
    ClassCounts,
    Counts,
    by_class,
    class_accuracy,
    class_counts,
    class_iou,
    labelled_scores,
    mean_scores,
)

PRIMARY = "miou"
# name: (direction, definition, unit); in unit %, values are fractions in [0, 1] that boards show in percent
METRICS = {
    "miou": ("max", "mean over classes of intersection over union, one confusion matrix over the split", "%"),
    "pixel_accuracy": ("max", "share of labelled pixels predicted correctly", "%"),
    "mean_accuracy": ("max", "mean over the classes present in the truth of the share of their pixels found", "%"),
    "fw_iou": ("max", "intersection over union of the classes, weighted by their share of the labelled pixels", "%"),
}


def score(evidence: Arrays, truth: Arrays) -> dict[str, float]:
    """The split's scores by name, each in [0, 1], the higher the better; definitions in `confusion.mean_scores`.

    Raises:
        ValueError: ids of evidence and truth differ, the labelled pixels counted are not the truth's, the images'
            counts do not add up to the confusion matrix, or no pixel is labelled.
    """
    return labelled_scores(split_counts(evidence, truth))


def per_class(evidence: Arrays, truth: Arrays) -> dict[str, dict[str, float | None]]:
    """`iou` and `accuracy` (recall) of each class, in [0, 1], the higher the better.

    iou is None where the class is absent from truth and prediction; accuracy where it is absent from the truth. Raises
    as `score`.
    """
    counts = split_counts(evidence, truth)
    classes = truth["classes"]
    return {"iou": by_class(classes, class_iou(counts)), "accuracy": by_class(classes, class_accuracy(counts))}


def confusion(evidence: Arrays, truth: Arrays) -> Counts:
    """Pixels by (true, predicted) class, int64 (C, C+1); the last column: predictions that are no class. Raises as
    `score`."""
    split_counts(evidence, truth)
    return evidence["confusion"].astype(np.int64)


def split_counts(evidence: Arrays, truth: Arrays) -> ClassCounts:
    """The split's counts per class, (C,), checked against the truth and the confusion matrix. Raises as `score`."""
    rows = aligned(evidence, truth)
    different = (rows["truth"] != truth["pixels"]).any(axis=1)
    if different.any():
        first = truth["ids"][int(np.flatnonzero(different)[0])]
        raise ValueError(
            f"Expected the labelled pixels of the truth, but {int(different.sum())} images were scored on others, "
            f"the first is {str(first)!r}; evidence and truth are of different protocols or revisions"
        )
    counts = ClassCounts(*(rows[name].sum(axis=0, dtype=np.int64) for name in ClassCounts._fields))
    if not all(map(np.array_equal, counts, class_counts(rows["confusion"]))):
        raise ValueError(
            "Expected the images' counts to add up to `confusion`: was an image counted twice, or not at all?"
        )
    return counts


def by_sample(evidence: Arrays, truth: Arrays) -> NDArray[np.float64]:
    """Each image's own mean IoU, float64 (N,) in [0, 1], in the order of `truth["ids"]`: which images are hard.

    For picking images to look at; its mean over images is not `miou`. NaN without a labelled pixel. Raises as `score`.
    """
    rows = aligned(evidence, truth)
    return mean_scores(ClassCounts(*(rows[name] for name in ClassCounts._fields)))["miou"]

"""Confusion matrices of labels and what is computed from them: IoU, accuracy, their means.

Notation (Long, Shelhamer, Darrell, "Fully convolutional networks", CVPR 2015): n_ij is the number of labelled pixels of
class i that are predicted as j, t_i = sum_j n_ij. A prediction of void counts in t_i and in no column of a class: it is
wrong, and it makes no other class worse. Pixels whose truth is ignored count nowhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Fractions = NDArray[np.float64]


class ClassCounts(NamedTuple):
    """Pixels per class, int64 (..., C): of one image, of a split, or of many resamples at once.

    intersection: n_ii. truth: t_i, labelled pixels. prediction: sum_j n_ji, labelled pixels that were given this class.
    """

    intersection: Counts
    truth: Counts
    prediction: Counts


def confusion_matrix(
    truth: NDArray[Any], prediction: NDArray[Any], num_classes: int, ignore_index: int | None = 255
) -> Counts:
    """Counts of (true, predicted) label pairs.

    Args:
        truth: integers of any shape, 0..C-1 or `ignore_index`. Elements with `ignore_index` never count.
        prediction: integers of the same shape. Anything outside 0..C-1 (void) counts as wrong, in the last column.
        num_classes: C.
        ignore_index: None where every element is labelled.

    Returns:
        int64 (C, C+1): rows truth, columns prediction; its sum is the number of labelled elements.

    Raises:
        ValueError: shapes differ, a dtype is not integer, or a truth label is neither in 0..C-1 nor `ignore_index`.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.dtype.kind not in "iu":
            raise ValueError(f"Expected `{name}` to hold integer labels, but got dtype {labels.dtype}")
    if truth.shape != prediction.shape:
        raise ValueError(
            f"Expected `prediction` to have the shape of `truth`, but got {prediction.shape} and {truth.shape}; "
            "resize the prediction to the truth, never the truth"
        )
    if ignore_index is not None:
        labelled = truth != ignore_index
        truth, prediction = truth[labelled], prediction[labelled]
    outside = (truth < 0) | (truth >= num_classes)
    if outside.any():
        known = f"0..{num_classes - 1}" + ("" if ignore_index is None else f" or {ignore_index} (ignored)")
        found = ", ".join(str(label) for label in np.unique(truth[outside])[:5])
        raise ValueError(f"Expected truth labels {known}, but got {found}; map these labels to a class or to ignored")
    column = np.where((prediction < 0) | (prediction >= num_classes), num_classes, prediction).astype(np.int64)
    pairs = truth.astype(np.int64) * (num_classes + 1) + column
    counts = np.bincount(pairs.ravel(), minlength=num_classes * (num_classes + 1))
    return counts.reshape(num_classes, num_classes + 1).astype(np.int64, copy=False)


def class_counts(confusion: NDArray[Any]) -> ClassCounts:
    """The per-class counts of confusion matrices (..., C, C+1)."""
    return ClassCounts(
        intersection=np.diagonal(confusion, axis1=-2, axis2=-1),
        truth=confusion.sum(axis=-1),
        prediction=confusion[..., :-1].sum(axis=-2),
    )


def class_iou(counts: ClassCounts) -> Fractions:
    """Intersection over union n_ii / (t_i + sum_j n_ji - n_ii), (..., C) in [0, 1]; the higher the better.

    NaN where the class is absent from truth and prediction. Equals scikit-learn's `jaccard_score(average=None)`.
    """
    return _ratio(counts.intersection, counts.truth + counts.prediction - counts.intersection)


def class_accuracy(counts: ClassCounts) -> Fractions:
    """Recall n_ii / t_i, (..., C) in [0, 1]; the higher the better. NaN where the class is absent from the truth."""
    return _ratio(counts.intersection, counts.truth)


def mean_scores(counts: ClassCounts) -> dict[str, Fractions]:
    """The scores over all classes, each of shape (...), in [0, 1], the higher the better; NaN without a labelled pixel.

    miou: mean of the classes' IoU, each class counting once; classes absent from truth and prediction are left out.
    pixel_accuracy: correct share of the labelled pixels, sum_i n_ii / sum_i t_i.
    mean_accuracy: mean of the classes' accuracy over the classes present in the truth.
    fw_iou: the classes' IoU weighted by their share of the labelled pixels, sum_i t_i IoU_i / sum_i t_i.
    """
    iou, accuracy = class_iou(counts), class_accuracy(counts)
    labelled = counts.truth.sum(axis=-1)
    return {
        "miou": _ratio(np.nansum(iou, axis=-1), (~np.isnan(iou)).sum(axis=-1)),
        "pixel_accuracy": _ratio(counts.intersection.sum(axis=-1), labelled),
        "mean_accuracy": _ratio(np.nansum(accuracy, axis=-1), (~np.isnan(accuracy)).sum(axis=-1)),
        "fw_iou": _ratio(np.nansum(counts.truth * iou, axis=-1), labelled),
    }


def segmentation_scores(confusion: NDArray[Any]) -> dict[str, float]:
    """`mean_scores` of one confusion matrix (C, C+1) as plain floats.

    Raises:
        ValueError: the matrix holds no labelled pixel, so that nothing is defined.
    """
    return labelled_scores(class_counts(np.asarray(confusion)))


def labelled_scores(counts: ClassCounts) -> dict[str, float]:
    """`mean_scores` of one split's counts (C,) as plain floats. Raises ValueError where no pixel is labelled."""
    if counts.truth.sum() == 0:
        raise ValueError("Expected at least one labelled pixel, but every pixel of the truth is ignored")
    return {name: float(value) for name, value in mean_scores(counts).items()}


def by_class(classes: NDArray[Any], values: NDArray[np.float64]) -> dict[str, float | None]:
    """Class name -> value, None for NaN."""
    return {str(name): None if np.isnan(value) else float(value) for name, value in zip(classes, values, strict=True)}


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Fractions:
    ratio: Fractions = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=np.asarray(denominator) > 0)
    return ratio

"""Label CSVs: `id,label[,p_0,…]` of predictions against `id,label` of truth."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import Dataset
from cvbench.metrics import classification
from cvbench.metrics.alignment import Arrays
from cvbench.scoring.labelcsv import LabelTable, read_labels
from cvbench.scoring.same_names import places_of, same_names

# A confusion matrix is C x C: numbers above this are no class indices but, say, years or file numbers.
MAX_CLASSES = 2**15


def score_files(truth: Path | str, predictions: Path | str, classes: Sequence[str] | None = None) -> dict[str, Any]:
    """Scores a CSV of predictions against a CSV of true labels.

    Both have the header `id,label`; predictions may add `p_0,…,p_{C-1}`, the probabilities of the classes in order.
    Labels are class indices where every label of the truth is a whole number, else names, whose order is `classes` or,
    without it, the sorted names of the truth. With indices C is the number of `classes`, else of `p_` columns, else one
    more than the highest index. The label must be the most probable class; among equally probable ones it is first,
    then the lower index. A true class of probability 0 counts as 2.2e-16 in `nll`, as in scikit-learn's `log_loss`.

    Returns:
        {"task", "samples", "classes", "metrics", "per_class", "confusion" (C, C+1 nested lists), "absent"}; `absent`
        gives for each score that these files cannot yield the reason. JSON values only.

    Raises:
        ValueError: a file that cannot be read or does not keep to this; names the file, line, value, rule and remedy.
    """
    true, given = read_labels(Path(truth)), read_labels(Path(predictions))
    same_names(true.ids, given.ids, "id", true.path, given.path)
    names, by_name = _classes_of(true, given, classes)
    labels = _indices(true, names, by_name)
    known = {"ids": np.array(true.ids), "labels": labels, "classes": np.array(names)}
    place = {name: row for row, name in enumerate(given.ids)}
    evidence = _evidence(given.rows([place[name] for name in true.ids]), known, by_name)
    metrics = classification.score(evidence, known)
    reason = f"needs the probabilities p_0,…,p_{len(names) - 1}, which {given.path} does not have"
    return {
        "task": "classification",
        "samples": len(labels),
        "classes": list(names),
        "metrics": metrics,
        "per_class": classification.per_class(evidence, known),
        "confusion": classification.confusion(evidence, known).tolist(),
        "absent": {name: reason for name in classification.METRICS if name not in metrics},
    }


def split_truth(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """The truth of the test split, as a run keeps it."""
    split = dataset.splits["test"]
    labels = np.fromiter((split.target(index) for index in range(len(split))), dtype=np.int64, count=len(split))
    return {"ids": np.asarray(split.ids), "labels": labels, "classes": np.asarray(dataset.info.classes)}


def read_evidence(predictions: Path, dataset: Dataset, truth: Arrays) -> dict[str, NDArray[Any]]:
    """A CSV `id,label[,p_0,…]` about the test split as evidence, in the order of `truth`, which is its `split_truth`.

    id: of the sample, with or without the split's name before its first slash. Labels are names of classes where one of
    them is no whole number or a class is called by one, else indices. Raises ValueError as `score_files`.
    """
    given = read_labels(predictions)
    names = dataset.info.classes
    columns = len(names) if given.probabilities is None else given.probabilities.shape[1]
    if columns != len(names):
        rule = (
            f"expected {len(names)} probability columns, one for each class of {dataset.info.name}, but got {columns}"
        )
        raise ValueError(f"{given.path}:1: {rule}; write them in the order of the classes")
    by_name = not all(map(_is_index, given.labels)) or any(map(_is_index, names))
    return _evidence(given.rows(places_of(dataset, given.ids, "id", given.path)), truth, by_name)


def _evidence(given: LabelTable, truth: Arrays, by_name: bool) -> dict[str, NDArray[Any]]:
    """What rows in the truth's order say."""
    predicted = _indices(given, tuple(truth["classes"].tolist()), by_name)
    told = {} if given.probabilities is None else _ranked(given, predicted, truth["labels"])
    return {"ids": truth["ids"], "top": predicted[:, None], **told}


def _is_index(label: str) -> bool:
    return label.isascii() and label.isdecimal()


def _classes_of(truth: LabelTable, given: LabelTable, classes: Sequence[str] | None) -> tuple[tuple[str, ...], bool]:
    """The class names in order, and whether labels are names (else indices)."""
    columns = None if given.probabilities is None else given.probabilities.shape[1]
    by_name = not all(map(_is_index, truth.labels))
    if classes is not None:
        names = tuple(classes)
    elif by_name:
        names = tuple(sorted(set(truth.labels)))
    else:
        # Without columns to count, a class may occur in the predictions alone.
        labels = truth.labels + ([] if columns else [label for label in given.labels if _is_index(label)])
        highest = max(map(int, labels))
        if highest >= MAX_CLASSES:
            raise ValueError(
                f"{truth.path}: expected class indices below {MAX_CLASSES}, but {highest} is among the labels of these "
                "files; use names where labels are no indices"
            )
        names = tuple(str(index) for index in range(max(columns or 0, highest + 1)))
    if columns is not None and columns != len(names):
        raise ValueError(
            f"{given.path}:1: expected {len(names)} probability columns, one for each class of {truth.path}, but got "
            f"{columns}; where the truth does not hold every class, use indices for labels"
        )
    return names, by_name


def _indices(table: LabelTable, names: tuple[str, ...], by_name: bool) -> NDArray[np.int64]:
    """The table's labels as class indices."""
    index_of = {name: index for index, name in enumerate(names)} if by_name else {}
    indices = np.empty(len(table.labels), dtype=np.int64)
    for row, label in enumerate(table.labels):
        if by_name:
            index = index_of.get(label, -1)
        else:
            index = int(label) if _is_index(label) and int(label) < len(names) else -1
        if index < 0:
            where = f"{table.path}:{table.lines[row]}"
            raise ValueError(f"{where}: {_unknown_label(label, table.ids[row], names, by_name)}")
        indices[row] = index
    return indices


def _unknown_label(label: str, name: str, names: tuple[str, ...], by_name: bool) -> str:
    if not by_name:
        return (
            f"expected the label of {name!r} to be a class index 0..{len(names) - 1} as in the truth, but got "
            f"{label!r}; use indices in both files, or names in both"
        )
    near = difflib.get_close_matches(label, names, n=1)
    listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"expected the label of {name!r} to be one of the truth's classes ({listed}), but got {label!r}" + (
        f"; did you mean {near[0]!r}?" if near else "; use the names of the truth"
    )


def _ranked(given: LabelTable, predicted: NDArray[np.int64], true: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Evidence rows of the probabilities: the predicted label first among equals, then the lower index."""
    probabilities = given.probabilities
    assert probabilities is not None
    rows = np.arange(len(predicted))
    short = probabilities[rows, predicted] < probabilities.max(axis=1)
    if short.any():
        row = int(np.flatnonzero(short)[0])
        best = int(probabilities[row].argmax())
        raise ValueError(
            f"{given.path}:{given.lines[row]}: expected the label of {given.ids[row]!r} to be the most probable class, "
            f"but p_{predicted[row]} = {probabilities[row, predicted[row]]:g} and p_{best} = "
            f"{probabilities[row, best]:g}; is the order of the columns that of the classes?"
        )
    key = -probabilities
    key[rows, predicted] = -2.0
    order = np.argsort(key, axis=1, kind="stable")
    top = order[:, :5]
    true_probability = np.maximum(probabilities[rows, true], np.finfo(np.float64).eps)
    return {
        "top": top,
        "top_probability": np.take_along_axis(probabilities, top, axis=1),
        "true_log_probability": np.log(true_probability),
        "true_rank": np.argmax(order == true[:, None], axis=1),
    }

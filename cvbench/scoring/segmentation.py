"""Folders of label PNGs: predicted class indices against true ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.files import read_mask
from cvbench.metrics import segmentation
from cvbench.metrics.confusion import ClassCounts, class_counts, confusion_matrix
from cvbench.scoring.same_names import same_names


def score_files(
    truth: Path | str, predictions: Path | str, num_classes: int | None = None, ignore_index: int = 255
) -> dict[str, Any]:
    """Scores a folder of predicted label PNGs against one of true label PNGs; subfolders are read too.

    A prediction has the path of its truth below its own folder. Pixels hold class indices 0..C-1 (grey or palette
    PNG); truth pixels of `ignore_index` never count, a predicted label outside 0..C-1 on a labelled pixel is wrong.
    Without `num_classes`, C is one more than the highest label of the truth: give it where the truth may lack the last
    classes, which predictions of them would else not bring into the mean.

    Returns:
        As for classification; `samples` counts images, the classes are named by their index.

    Raises:
        ValueError: a folder or file that cannot be read or does not keep to this; names file, value, rule and remedy.
    """
    truth_files, files = _label_pngs(Path(truth)), _label_pngs(Path(predictions))
    same_names(list(truth_files), list(files), "file", Path(truth), Path(predictions))
    if num_classes is None:
        num_classes = 1 + max(_highest(read_mask(path), ignore_index) for path in truth_files.values())
        if num_classes == 0:
            raise ValueError(f"{truth}: expected labelled pixels, but all of them are {ignore_index} (ignored)")
    ids = np.array(list(truth_files))
    confusion = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
    images = []
    for name, path in truth_files.items():
        matrix = _image_confusion(path, files[name], num_classes, ignore_index)
        images.append(class_counts(matrix))
        confusion += matrix
    counts = ClassCounts(*map(np.stack, zip(*images, strict=True)))
    evidence = {"ids": ids, **counts._asdict(), "confusion": confusion}
    known = {"ids": ids, "pixels": counts.truth, "classes": np.array([str(index) for index in range(num_classes)])}
    return {
        "task": "segmentation",
        "samples": len(ids),
        "classes": known["classes"].tolist(),
        "metrics": segmentation.score(evidence, known),
        "per_class": segmentation.per_class(evidence, known),
        "confusion": confusion.tolist(),
        "absent": {},
    }


def _label_pngs(folder: Path) -> dict[str, Path]:
    """Path below the folder without ending -> file, in the order of these names."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of label PNGs, but there is none")
    files = [path for path in folder.rglob("*") if path.suffix.lower() == ".png" and not path.name.startswith(".")]
    if not files:
        raise ValueError(f"{folder}: expected label PNGs (*.png), but the folder holds none")
    named: dict[str, Path] = {}
    for path in sorted(files):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in named:
            raise ValueError(f"{path}: expected one file a name, but {named[name]} has the same; remove one")
        named[name] = path
    return named


def _highest(labels: NDArray[Any], ignore_index: int) -> int:
    labelled = labels[labels != ignore_index]
    return int(labelled.max()) if labelled.size else -1


def _image_confusion(truth_path: Path, path: Path, num_classes: int, ignore_index: int) -> NDArray[np.int64]:
    truth, prediction = read_mask(truth_path), read_mask(path)
    if truth.shape != prediction.shape:
        raise ValueError(
            f"{path}: expected the size of its truth {truth_path}, {_size(truth)}, but got {_size(prediction)}; resize "
            "predictions with nearest neighbour before saving, and never the truth"
        )
    try:
        return confusion_matrix(truth, prediction, num_classes, ignore_index)
    except ValueError as error:
        raise ValueError(f"{truth_path}: {error}") from None


def _size(labels: NDArray[Any]) -> str:
    return f"{labels.shape[1]} x {labels.shape[0]}"

"""Folders of label PNGs: predicted class indices against true ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import VOID, Dataset
from cvbench.data.files import read_mask
from cvbench.metrics import segmentation
from cvbench.metrics.alignment import Arrays
from cvbench.metrics.confusion import ClassCounts, class_counts, confusion_matrix
from cvbench.scoring.same_names import places_of, same_names


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
    masks = ((path, read_mask(path)) for path in truth_files.values())
    evidence = _evidence(ids, masks, [files[name] for name in truth_files], num_classes, ignore_index)
    classes = np.array([str(index) for index in range(num_classes)])
    known = {"ids": ids, "pixels": evidence["truth"], "classes": classes}
    return {
        "task": "segmentation",
        "samples": len(ids),
        "classes": known["classes"].tolist(),
        "metrics": segmentation.score(evidence, known),
        "per_class": segmentation.per_class(evidence, known),
        "confusion": evidence["confusion"].tolist(),
        "absent": {},
    }


def split_truth(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """The truth of the test split, as a run keeps it; reads every mask."""
    split, classes = dataset.splits["test"], dataset.info.num_classes
    pixels = [_labelled(split.target(index), classes) for index in range(len(split))]
    return {"ids": np.asarray(split.ids), "pixels": np.stack(pixels), "classes": np.asarray(dataset.info.classes)}


def read_evidence(predictions: Path, dataset: Dataset, truth: Arrays) -> dict[str, NDArray[Any]]:
    """A folder of label PNGs about the test split as evidence, in the order of `truth`, which is its `split_truth`.

    A file is called as its sample's id, with or without the split's name before the first slash, and `.png`: as
    `save_predictions` calls them. Labels are indices of the classes; anything else on a labelled pixel is wrong.
    Raises ValueError as `score_files`.
    """
    files = _label_pngs(predictions)
    split = dataset.splits["test"]
    listed = list(files.values())
    ordered = [listed[place] for place in places_of(dataset, list(files), "image", predictions)]
    masks = ((str(name), split.target(index)) for index, name in enumerate(split.ids))
    return _evidence(truth["ids"], masks, ordered, dataset.info.num_classes, VOID)


def _labelled(mask: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """Labelled pixels of each class, int64 (C,)."""
    return np.bincount(mask[mask != VOID], minlength=num_classes).astype(np.int64, copy=False)


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


def _evidence(
    ids: NDArray[np.str_],
    masks: Iterable[tuple[Path | str, NDArray[Any]]],
    files: Sequence[Path],
    num_classes: int,
    ignore_index: int,
) -> dict[str, NDArray[Any]]:
    """What the files say of images with these masks. masks: of each where it is from, and the labels (H, W)."""
    confusion = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
    images = []
    for (origin, truth), file in zip(masks, files, strict=True):
        prediction = read_mask(file)
        if truth.shape != prediction.shape:
            raise ValueError(
                f"{file}: expected the size of its truth {origin}, {_size(truth)}, but got {_size(prediction)}; resize "
                "predictions with nearest neighbour before saving, and never the truth"
            )
        try:
            matrix = confusion_matrix(truth, prediction, num_classes, ignore_index)
        except ValueError as error:
            raise ValueError(f"{origin}: {error}") from None
        images.append(class_counts(matrix))
        confusion += matrix
    counts = ClassCounts(*map(np.stack, zip(*images, strict=True)))
    return {"ids": ids, **counts._asdict(), "confusion": confusion}


def _size(labels: NDArray[Any]) -> str:
    return f"{labels.shape[1]} x {labels.shape[0]}"

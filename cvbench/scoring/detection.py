"""COCO's JSON: a results file against an instances file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import Dataset
from cvbench.data.boxes import Boxes
from cvbench.metrics import detection
from cvbench.metrics.alignment import Arrays
from cvbench.metrics.box_columns import image_numbers
from cvbench.scoring.coco_json import Entries, read_json
from cvbench.scoring.same_names import predicted_split

_FORMAT = "https://cocodataset.org/#format-data and #format-results say what the files look like"


def score_files(truth: Path | str, predictions: Path | str) -> dict[str, Any]:
    """Scores a COCO results file (boxes) against a COCO instances file.

    Truth: {"images": [{"id"}], "categories": [{"id", "name"}], "annotations": [{"id", "image_id", "category_id",
    "bbox", "area", "iscrowd"}]}; `area` is width x height and `iscrowd` 0 where it is missing; a `difficult` or
    `ignore` of 1 marks a box that counts neither for nor against. Predictions: [{"image_id", "category_id", "bbox",
    "score"}]. Category ids need not be contiguous; images may lack annotations or predictions. Boxes that reach out of
    their image, or have no area, are kept as they are, as pycocotools does. More than 100 detections of a class in an
    image are cut off for COCO's numbers, the least sure first.

    Returns:
        {"task", "samples" (images), "classes", "metrics", "per_class", "absent"}; `absent` gives for each score that
        these files cannot yield the reason. JSON values only.

    Raises:
        ValueError: a file that cannot be read or does not keep to this; names file, entry, value, rule and remedy.
    """
    known = _read_truth(Path(truth))
    evidence = _read_results(Path(predictions), known)
    try:
        metrics = detection.score(evidence, known.arrays)
    except ValueError as error:
        raise ValueError(f"{truth}: {error}") from None
    return {
        "task": "detection",
        "samples": len(known.images),
        "classes": known.arrays["classes"].tolist(),
        "metrics": metrics,
        "per_class": detection.per_class(evidence, known.arrays),
        "absent": {
            name: "no truth box that counts lies in its range of areas"
            for name in detection.METRICS
            if name not in metrics
        },
    }


def export_files(evidence: Arrays, truth: Arrays, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """A run's evidence and truth as COCO's files, name -> content; `score_files` of them gives the run's own numbers.

    Image ids are `image_numbers` of the sample ids, which are the `file_name`s. Category ids are the protocol's
    `category_ids`, in the order of the classes, else 1..C. Difficult boxes carry a `difficult` of 1, which other tools
    do not know: to these they are boxes like others.

    Raises:
        ValueError: `category_ids` are not as many as the classes.
    """
    classes = truth["classes"].tolist()
    categories = _category_ids(len(classes), protocol)
    numbers = image_numbers(truth["ids"])
    annotations = (
        _image_ids(truth),
        [categories[label] for label in truth["labels"].tolist()],
        truth["boxes_xywh"].tolist(),
        truth["area"].tolist(),
        truth["crowd"].astype(int).tolist(),
        truth["difficult"].astype(int).tolist(),
    )
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "difficult")
    instances = {
        "images": [
            {"id": number, "file_name": name}
            for number, name in zip(numbers.tolist(), truth["ids"].tolist(), strict=True)
        ],
        "categories": [{"id": number, "name": name} for number, name in zip(categories, classes, strict=True)],
        "annotations": [
            dict(zip(keys, (number, *row), strict=True))
            for number, row in enumerate(zip(*annotations, strict=True), start=1)
        ],
    }
    found = (
        _image_ids(evidence),
        [categories[label] for label in evidence["labels"].tolist()],
        evidence["boxes_xywh"].tolist(),
        evidence["scores"].tolist(),
    )
    names = ("image_id", "category_id", "bbox", "score")
    results = [dict(zip(names, row, strict=True)) for row in zip(*found, strict=True)]
    return {"instances.json": instances, "results.json": results}


def split_truth(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """The truth of the test split, as a run keeps it."""
    split = dataset.splits["test"]
    targets: list[Boxes] = [split.target(index) for index in range(len(split))]
    boxes = Boxes.joined(targets)
    return {
        "ids": np.asarray(split.ids),
        "counts": np.array([len(target) for target in targets]),
        "boxes_xywh": boxes.xywh,
        "labels": boxes.labels,
        "area": boxes.area,
        "crowd": boxes.crowd,
        "difficult": boxes.difficult,
        "classes": np.asarray(dataset.info.classes),
    }


def read_evidence(predictions: Path, dataset: Dataset, truth: Arrays) -> dict[str, NDArray[Any]]:
    """A COCO results file about the test split as evidence, in the order of `truth`, which is its `split_truth`.

    Image and category ids are those that `export_files` writes: `image_numbers` of the sample ids, which are COCO's own
    where files are called by them; the protocol's `category_ids`, else 1..C. Raises ValueError as `score_files`.
    """
    images = {number: place for place, number in enumerate(image_numbers(truth["ids"]).tolist())}
    numbers = _category_ids(dataset.info.num_classes, dataset.info.protocol)
    categories = {number: label for label, number in enumerate(numbers)}
    known = _Truth(predicted_split(dataset), images, categories, dict(truth))
    return _read_results(predictions, known) | {"ids": truth["ids"]}


def _category_ids(num_classes: int, protocol: Mapping[str, Any]) -> list[int]:
    """COCO's number of each class. Raises ValueError where the protocol has another number of them."""
    categories = list(protocol.get("category_ids") or range(1, num_classes + 1))
    if len(categories) != num_classes:
        raise ValueError(f"Expected {num_classes} `category_ids` in the protocol, one a class, but got {categories}")
    return categories


class _Truth(NamedTuple):
    """path: how errors call it. images, categories: id -> place. arrays: as `cvbench.metrics.detection` takes them."""

    path: Path | str
    images: dict[int, int]
    categories: dict[int, int]
    arrays: dict[str, NDArray[Any]]


def _read_truth(path: Path) -> _Truth:
    content = read_json(path)
    if not isinstance(content, dict):
        rule = f"expected an object with images, categories and annotations, but got a {type(content).__name__}"
        raise ValueError(f"{path}: {rule}; {_FORMAT}")
    lists = {}
    for name in ("images", "categories", "annotations"):
        if name not in content:
            keys = ", ".join(map(repr, list(content)[:8])) or "none"
            raise ValueError(f"{path}: expected the key {name!r}, but got {keys}; {_FORMAT}")
        lists[name] = Entries(path, name, content[name], _FORMAT)
    images = {number: place for place, number in enumerate(lists["images"].ids())}
    categories = {number: label for label, number in enumerate(lists["categories"].ids())}
    classes = lists["categories"].names()
    if not images:
        raise ValueError(f"{path}: expected at least one image, but `images` is empty; {_FORMAT}")
    truth = _Truth(path, images, categories, {"classes": np.array(classes, dtype=np.str_)})
    annotations = lists["annotations"]
    annotations.ids()
    boxes = annotations.boxes()
    columns = {
        "boxes_xywh": boxes,
        "area": annotations.areas(boxes),
        "crowd": annotations.flags("iscrowd"),
        "difficult": annotations.flags("difficult", "ignore"),
    }
    return truth._replace(arrays=truth.arrays | _by_image(annotations, truth, columns))


def _read_results(path: Path, truth: _Truth) -> dict[str, NDArray[Any]]:
    results = Entries(path, "results", read_json(path), "a results file is [{image_id, category_id, bbox, score}, …]")
    return _by_image(results, truth, {"boxes_xywh": results.boxes(), "scores": results.numbers("score")})


def _by_image(entries: Entries, truth: _Truth, columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The columns image after image, in the truth's order of images, and inside an image as in the file."""

    def explain_image(number: int) -> tuple[str, str]:
        nearest = min(truth.images, key=lambda known: abs(known - number))
        rule = f"the id of one of the {len(truth.images)} images of {truth.path} (the nearest is {nearest})"
        return rule, "use the truth of the split that was predicted, or remove the entry"

    def explain_category(number: int) -> tuple[str, str]:
        names = truth.arrays["classes"].tolist()
        known = [f"{known} {names[label]}" for known, label in truth.categories.items()]
        listed = ", ".join(known[:8]) + (f", … {len(known)} in all" if len(known) > 8 else "")
        remedy = "write the category's own id, not its place in the list"
        return f"the id of a category of {truth.path} ({listed})", remedy

    place = entries.places("image_id", truth.images, explain_image)
    labels = entries.places("category_id", truth.categories, explain_category)
    order = np.argsort(place, kind="stable")
    return {
        "ids": np.array([str(number) for number in truth.images]),
        "counts": np.bincount(place, minlength=len(truth.images)),
        "labels": labels[order],
    } | {name: column[order] for name, column in columns.items()}


def _image_ids(arrays: Arrays) -> list[int]:
    """The image number of each box."""
    numbers: list[int] = np.repeat(image_numbers(arrays["ids"]), arrays["counts"]).tolist()
    return numbers

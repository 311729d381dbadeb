"""COCO's caption files: a results file against a captions file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.arrays import texts
from cvbench.data.base import Dataset
from cvbench.language import tokenizer
from cvbench.metrics import captioning
from cvbench.metrics.alignment import Arrays
from cvbench.metrics.box_columns import image_numbers
from cvbench.scoring.coco_json import Entries, read_json
from cvbench.scoring.same_names import predicted_split

_FORMAT = "https://cocodataset.org/#format-data and #format-results say what the files look like"
TOKENIZER = tokenizer.LABEL


def score_files(truth: Path | str, predictions: Path | str, train: Path | str | None = None) -> dict[str, Any]:
    """Scores a COCO results file (captions) against a COCO captions file.

    Truth: {"images": [{"id"}], "annotations": [{"id", "image_id", "caption"}]}, at least one caption an image, none
    blank. Predictions: [{"image_id", "caption"}], one for each image of the truth; a blank caption is allowed and
    scores 0. train: captions that the model was trained on, as the truth; `novel` is told with these alone.

    Returns:
        {"task", "samples" (images), "references", "tokenizer", "metrics", "per_class" ({}), "absent"}; `absent` gives
        for each score that is not there the reason. JSON values only.

    Raises:
        ValueError: a file that cannot be read or does not keep to this; names file, entry, value, rule and remedy.
    """
    known = _read_truth(Path(truth))
    if train is not None:
        said = _read_truth(Path(train), every_image=False)["references"].tolist()
        known["training"] = captioning.training_keys(said)
    images = [int(name) for name in known["ids"].tolist()]
    evidence = {"ids": known["ids"], "captions": _read_results(Path(predictions), Path(truth), images)}
    found = captioning.score(evidence, known) | captioning.at_test(evidence, known)
    return {
        "task": "captioning",
        "samples": len(known["ids"]),
        "references": len(known["references"]),
        "tokenizer": TOKENIZER,
        "metrics": {name: found[name] for name in captioning.METRICS if name in found},
        "per_class": captioning.per_class(evidence, known),
        "absent": captioning.absent(found),
    }


def export_files(evidence: Arrays, truth: Arrays, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """A run's evidence and truth as COCO's files, name -> content; `score_files` of them gives the run's own numbers.

    Image ids are `image_numbers` of the sample ids, which are the `file_name`s. What the model was trained on is not in
    these files: `novel` needs its captions too.
    """
    numbers = image_numbers(truth["ids"]).tolist()
    owners = np.repeat(numbers, truth["counts"]).tolist()
    number_of = dict(zip(truth["ids"].tolist(), numbers, strict=True))
    captions = {
        "images": [
            {"id": number, "file_name": name} for number, name in zip(numbers, truth["ids"].tolist(), strict=True)
        ],
        "annotations": [
            {"id": number, "image_id": owner, "caption": text}
            for number, (owner, text) in enumerate(zip(owners, truth["references"].tolist(), strict=True), start=1)
        ],
    }
    results = [
        {"image_id": number_of[name], "caption": text}
        for name, text in zip(evidence["ids"].tolist(), evidence["captions"].tolist(), strict=True)
    ]
    return {"captions.json": captions, "results.json": results}


def split_truth(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """The truth of the test split, as a run keeps it; `training`, where there is a train split, from its captions."""
    split, train = dataset.splits["test"], dataset.splits.get("train")
    several = [list(split.target(index)) for index in range(len(split))]
    truth: dict[str, NDArray[Any]] = {
        "ids": np.asarray(split.ids),
        "counts": np.array([len(image) for image in several]),
        "references": texts([text for image in several for text in image]),
    }
    if train is not None:
        captions = (text for index in range(len(train)) for text in train.target(index))
        truth["training"] = captioning.training_keys(captions)
    return truth


def read_evidence(predictions: Path, dataset: Dataset, truth: Arrays) -> dict[str, NDArray[Any]]:
    """A COCO results file about the test split as evidence, in the order of `truth`, which is its `split_truth`.

    Image ids are those that `export_files` writes: `image_numbers` of the sample ids, which are COCO's own where files
    are called by them. Raises ValueError as `score_files`.
    """
    images = image_numbers(truth["ids"]).tolist()
    return {"ids": truth["ids"], "captions": _read_results(predictions, predicted_split(dataset), images)}


def _read_truth(path: Path, *, every_image: bool = True) -> dict[str, NDArray[Any]]:
    """Truth as `cvbench.metrics.captioning` takes it. every_image: whether images without a caption are an error."""
    content = read_json(path)
    if not isinstance(content, dict):
        rule = f"expected an object with images and annotations, but got a {type(content).__name__}"
        raise ValueError(f"{path}: {rule}; {_FORMAT}")
    for name in ("images", "annotations"):
        if name not in content:
            keys = ", ".join(map(repr, list(content)[:8])) or "none"
            raise ValueError(f"{path}: expected the key {name!r}, but got {keys}; {_FORMAT}")
    images = Entries(path, "images", content["images"], _FORMAT).ids()
    if not images:
        raise ValueError(f"{path}: expected at least one image, but `images` is empty; {_FORMAT}")
    annotations = Entries(path, "annotations", content["annotations"], _FORMAT)
    numbers = annotations.ids()
    place = _places(annotations, images, path)
    said = annotations.texts("caption")
    for number, text in zip(numbers, said, strict=True):
        if not text.strip():
            rule = f"expected words in the caption of annotation {number}, but got {text!r}"
            raise ValueError(f"{path}: {rule}; remove the annotation")
    counts = np.bincount(place, minlength=len(images))
    if every_image and not counts.all():
        number = images[int(np.argmin(counts))]
        rule = f"expected at least one caption an image, but image {number} has none"
        raise ValueError(f"{path}: {rule}; add one, or remove the image from `images`")
    order = np.argsort(place, kind="stable").tolist()
    references = [said[row].strip() for row in order]
    return {"ids": _ids(images), "counts": counts, "references": texts(references)}


def _read_results(path: Path, truth: Path | str, images: list[int]) -> NDArray[np.object_]:
    """The caption of each image, str (N,), in the order of their numbers in `images`."""
    results = Entries(path, "results", read_json(path), "a results file is [{image_id, caption}, …]")
    place = _places(results, images, truth)
    said = results.texts("caption")
    captions: dict[int, str] = {}
    for index, (image, text) in enumerate(zip(place.tolist(), said, strict=True)):
        if image in captions:
            rule = f"results[{index}].image_id: expected each image once, but got {images[image]} again"
            raise ValueError(f"{path}: {rule}; keep one caption")
        captions[image] = text
    missing = [number for image, number in enumerate(images) if image not in captions]
    if missing:
        some = ", ".join(map(str, missing[:3])) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        rule = f"expected a caption for each of the {len(images)} images of {truth}, but got none for image_id {some}"
        raise ValueError(f"{path}: {rule}; write one, an empty one at worst")
    return texts([captions[image] for image in range(len(images))])


def _places(entries: Entries, images: list[int], truth: Path | str) -> NDArray[Any]:
    """The place of each entry's image among `images`."""

    def explain(number: int) -> tuple[str, str]:
        nearest = min(images, key=lambda known: abs(known - number))
        rule = f"the id of one of the {len(images)} images of {truth} (the nearest is {nearest})"
        return rule, "use the truth of the split that was predicted, or remove the entry"

    return entries.places("image_id", {number: place for place, number in enumerate(images)}, explain)


def _ids(images: list[int]) -> NDArray[np.str_]:
    return np.array([str(number) for number in images])

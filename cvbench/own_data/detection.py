"""`cvbench new` for detection: label files as Ultralytics has them, or COCO's JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cvbench.data.base import DataError
from cvbench.data.folder_coco import annotation_files
from cvbench.data.folder_yolo import class_names
from cvbench.own_data.base import IMAGE_FOLDERS, Layout, OwnData, subfolders


def _look(folder: Path) -> Layout:
    """`folder` holds images and what is known of them, or is the folder of the images beside that."""
    places = [folder, folder.parent] if folder.name.lower() in IMAGE_FOLDERS else [folder]
    for place in places:
        options: dict[str, Any] = {"path": str(place.resolve())}
        if next(_label_files(place), None) is not None:
            return _yolo(place, options)
        if annotation_files(place):
            return Layout("folder_coco", options)
    raise DataError(
        f"{folder}: expected label files (labels/*.txt, as Ultralytics has them), or COCO's JSON (annotations.json, or "
        f"train.json and val.json), but it holds {', '.join(subfolders(folder)) or 'no folders'} and neither of them"
    )


def _label_files(folder: Path) -> Iterator[Path]:
    """The text files below a folder labels/, in `folder` or in its train/, valid/ …"""
    for labels in (folder / "labels", *(folder / name / "labels" for name in subfolders(folder))):
        yield from (path for path in labels.rglob("*.txt") if path.name != "classes.txt")


def _yolo(folder: Path, options: dict[str, Any]) -> Layout:
    if class_names(folder) is not None:
        return Layout("folder_yolo", options)
    most = max(
        (int(word) for path in _label_files(folder) for word in _first_words(path) if word.isdecimal()), default=0
    )
    options["classes"] = [f"class {label}" for label in range(most + 1)]
    remark = f"The classes 0..{most} have no names yet: give them under `classes`, in this order."
    return Layout("folder_yolo", options, (remark,))


def _first_words(path: Path) -> list[str]:
    return [line.split()[0] for line in path.read_text("utf-8-sig", errors="replace").splitlines() if line.strip()]


def _models(size: tuple[int, int]) -> list[str]:
    return [
        "- fcos          # one stage, no anchors",
        "- retinanet     # one stage",
        "- faster_rcnn   # two stages: proposals first",
    ]


OWN = OwnData(
    _look,
    _models,
    batch_size=8,
    shorter_side=320,
    recipe=("gradient_clip: 5.0           # detectors' losses jump at the start",),
)

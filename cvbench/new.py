"""A first benchmark for somebody's own images: looks at their folder, and writes a commented YAML file."""

from __future__ import annotations

import json
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvbench import catalog
from cvbench.data.base import DataError, Dataset
from cvbench.data.files import image_header, is_image, list_images, read_image, read_mask

#: task -> the dataset file that reads somebody's own folder of it
OWN_DATA = {"classification": "folder", "segmentation": "folder_masks"}
MASK_FOLDERS = ("masks", "labels", "annotations", "mask", "labelcol", "gt", "segmentation")
IMAGE_FOLDERS = ("images", "imgs", "img", "image", "photos", "jpegimages")
_LOOKED_AT = 64  # files whose size or labels are read; the rest is taken to be alike


@dataclass(frozen=True)
class Found:
    """What a folder holds. options: of the dataset that reads it; size: (H, W) that models shall get."""

    options: dict[str, Any]
    splits: dict[str, int]
    classes: tuple[str, ...]
    size: tuple[int, int]
    remarks: tuple[str, ...] = ()


def look(task: str, images: Path) -> Found:
    """Detects how `images` is laid out: class folders, lists, or images beside masks.

    Raises ValueError (DataError) that says what was expected where the folder is no dataset of this task.
    """
    if task not in OWN_DATA:
        raise ValueError(
            f"Expected a task that takes your own images, but got {task!r}{catalog.nearest(task, OWN_DATA)}"
        )
    if not images.is_dir():
        raise ValueError(f"{images}: no such folder")
    options, remarks = _masks(images) if task == "segmentation" else ({"path": str(images.resolve())}, [])
    entry = catalog.find("datasets", OWN_DATA[task], task)
    dataset: Dataset = entry.build()(Path(), **options)
    size = _input_size(_sizes(images), multiple=32 if task == "segmentation" else 16)
    info = dataset.info
    return Found(options, dict(info.split_sizes), info.classes, size, tuple(remarks))


def write(task: str, found: Found, out: Path, *, replace: bool = False) -> None:
    """Writes the benchmark. Raises FileExistsError where `out` is there and may not be replaced."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w" if replace else "x", encoding="utf-8", newline="\n") as file:
        file.write(compose(task, found, out))


def compose(task: str, found: Found, out: Path) -> str:
    """The text of the benchmark file."""
    primary, metrics = catalog.metrics(task)
    others = ", ".join(name for name in metrics if name != primary)
    splits = ", ".join(f"{role} {count}" for role, count in found.splits.items())
    names = ", ".join(found.classes[:8]) + (", …" if len(found.classes) > 8 else "")
    height, width = found.size
    lines = [
        f"# {out.stem}: which of these models is better on your images, and is the difference real?",
        "#",
        f"#   cvbench plan {out}     what would run",
        f"#   cvbench run {out}      train, evaluate, and show the leaderboard",
        "#",
        f"# Found: {sum(found.splits.values())} images ({splits}), {len(found.classes)} classes: {names}",
        *(f"# {remark}" for remark in found.remarks),
        "",
        f"task: {task}",
        f"primary: {primary}   # ranks the board; also reported: {others}",
        "",
        "datasets:",
        f"  - name: {OWN_DATA[task]}   # `cvbench list datasets {OWN_DATA[task]}` shows every option",
        "    options:",
        *(f"      {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in found.options.items()),
        "      # Photos of one scene belong into one split: `group` takes a regular expression whose parentheses",
        "      # match the part of a file's name that all photos of a scene share.",
        '      # group: "^(scene\\\\d+)_"',
        "",
        f"# `cvbench list models --task {task}` shows what else there is; `my_package.my_file:build` is your own.",
        "models:",
        *(f"  {line}" for line in _models(task, found.size)),
        "",
        "seeds: [0, 1, 2]   # every model is trained once a seed; the spread over seeds shows what a difference means",
        "",
        "# One recipe for all models, so that the models are what differs.",
        "recipe:",
        "  epochs: 20",
        f"  batch_size: {32 if task == 'classification' else 8}",
        f"  input_size: [{height}, {width}]   # height, width that models get; scoring does not depend on it",
        "  optimiser: adamw",
        "  lr: 1e-3",
        "  weight_decay: 0.01",
        "  schedule: one_cycle",
        "  augment:",
        "    flip: true                # false where left and right mean something",
        "    crop_scale: [0.5, 1.0]",
        *(
            ["  class_weights: median_frequency   # rare classes count as much as common ones"]
            if task != "classification"
            else []
        ),
        "",
    ]
    return "\n".join(lines)


def _models(task: str, size: tuple[int, int]) -> list[str]:
    if task == "classification":
        return [
            "- hog_linear                    # manual features: what the others have to beat",
            "- name: resnet_cifar",
            "  options: {depth: 20}" if max(size) <= 64 else "  options: {depth: 20, width: 32}",
            "- torchvision/resnet18          # add `weights: IMAGENET1K_V1` to start from published weights",
        ]
    return [
        "- name: fcn",
        "  options: {backbone: small}",
        "- name: unet",
        "  options: {width: 32, stem_stride: 2}   # works at half resolution: a quarter of the time",
        "- name: segnet",
        "  options: {width: 32}",
    ]


def _images_below(folder: Path) -> list[Path]:
    """Up to `_LOOKED_AT` images below `folder`, evenly over what there is; nothing hidden."""
    every = []
    for base, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        every += [Path(base, name) for name in names if is_image(name)]
    return sorted(every)[:: max(1, len(every) // _LOOKED_AT)][:_LOOKED_AT]


def _sizes(folder: Path) -> list[tuple[int, int]]:
    """(H, W) from file headers; no pixels are decoded. Raises DataError that names a damaged file."""
    return [image_header(path)[0] for path in _images_below(folder)]


def _input_size(sizes: Sequence[tuple[int, int]], *, multiple: int, most: int = 224) -> tuple[int, int]:
    """The images' median size, its shorter side brought down to `most`, both sides rounded to `multiple`.

    >>> _input_size([(360, 480)], multiple=32), _input_size([(32, 32)], multiple=16)
    ((224, 288), (32, 32))
    """
    height = statistics.median(size[0] for size in sizes) if sizes else most
    width = statistics.median(size[1] for size in sizes) if sizes else most
    scale = min(1.0, most / min(height, width))
    rounded = [max(multiple, round(side * scale / multiple) * multiple) for side in (height, width)]
    return rounded[0], rounded[1]


def _masks(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Options of `folder_masks`, and remarks for the file. `folder` holds both folders, or is the one of the images."""
    images = next((name for name in _subfolders(folder) if name.lower() in IMAGE_FOLDERS), None)
    if images is None and next((name for name in _subfolders(folder.parent) if name.lower() in MASK_FOLDERS), None):
        folder, images = folder.parent, folder.name
    masks = next((name for wanted in MASK_FOLDERS for name in _subfolders(folder) if name.lower() == wanted), None)
    if images is None or masks is None:
        raise DataError(
            f"{folder}: expected a folder of images (images/) and one of masks (masks/) in it, but it holds "
            f"{', '.join(_subfolders(folder)) or 'no folders'}; rename yours, or write the benchmark by hand"
        )
    options: dict[str, Any] = {"path": str(folder.resolve()), "images": images, "masks": masks}
    if ending := _mask_ending(folder / images, folder / masks):
        options["mask_ending"] = ending
    if any((folder / name).exists() for name in ("classes.txt", "codes.txt")):
        return options, []
    labels, coloured = _labels(folder / masks)
    if coloured:
        table = next((path.name for path in sorted(folder.glob("*.csv"))), None)
        if table is None:
            seen = ", ".join(str(colour) for colour in coloured[:6])
            raise DataError(
                f"{folder / masks}: the masks are painted (colours {seen} …); write {folder / 'colours.csv'} with the "
                "columns name, r, g, b (name a row void where pixels shall not count) and call `cvbench new` again"
            )
        return options | {"colours": table}, []
    scored = [label for label in labels if label != 255]
    options["classes"] = [f"class {label}" for label in range(max(scored, default=0) + 1)]
    remarks = [f"The labels 0..{max(scored, default=0)} have no names yet: give them under `classes`, in this order."]
    options["void"] = 255 if 255 in labels else None
    return options, remarks


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _mask_ending(images: Path, masks: Path) -> str:
    """What masks' names have more than their images': `_mask` for a.jpg and a_mask.png."""
    stems = {path.stem for path in _images_below(images)}
    endings: Counter[str] = Counter()
    every = [path.stem for folder, _, _ in os.walk(masks) for path in list_images(Path(folder))]
    for stem in stems:
        endings.update(name.removeprefix(stem) for name in every if name.startswith(stem))
    return endings.most_common(1)[0][0] if endings else ""


def _labels(masks: Path) -> tuple[list[int], list[tuple[int, ...]]]:
    """(label numbers, or colours) that some of the masks hold; one of the two lists is empty."""
    labels: set[int] = set()
    colours: set[tuple[int, ...]] = set()
    for path in _images_below(masks):
        if image_header(path)[1] in ("RGB", "RGBA"):
            pixels = read_image(path).reshape(-1, 3)
            colours.update(tuple(row) for row in np.unique(pixels, axis=0).tolist())
        else:
            labels.update(np.unique(read_mask(path)).tolist())
    return sorted(labels), sorted(colours)

"""`cvbench new` for segmentation: a folder of images and one of masks."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from cvbench.data.base import DataError
from cvbench.data.files import image_header, list_images, read_image, read_mask
from cvbench.own_data.base import IMAGE_FOLDERS, Layout, OwnData, images_below, subfolders

MASK_FOLDERS = ("masks", "labels", "annotations", "mask", "labelcol", "gt", "segmentation")


def _look(folder: Path) -> Layout:
    """`folder` holds both folders, or is the one of the images."""
    images = next((name for name in subfolders(folder) if name.lower() in IMAGE_FOLDERS), None)
    if images is None and next((name for name in subfolders(folder.parent) if name.lower() in MASK_FOLDERS), None):
        folder, images = folder.parent, folder.name
    masks = next((name for wanted in MASK_FOLDERS for name in subfolders(folder) if name.lower() == wanted), None)
    if images is None or masks is None:
        raise DataError(
            f"{folder}: expected a folder of images (images/) and one of masks (masks/) in it, but it holds "
            f"{', '.join(subfolders(folder)) or 'no folders'}; rename yours, or write the benchmark by hand"
        )
    options: dict[str, Any] = {"path": str(folder.resolve()), "images": images, "masks": masks}
    if ending := _mask_ending(folder / images, folder / masks):
        options["mask_ending"] = ending
    if any((folder / name).exists() for name in ("classes.txt", "codes.txt")):
        return Layout("folder_masks", options)
    labels, coloured = _labels(folder / masks)
    if coloured:
        table = next((path.name for path in sorted(folder.glob("*.csv"))), None)
        if table is None:
            seen = ", ".join(str(colour) for colour in coloured[:6])
            raise DataError(
                f"{folder / masks}: the masks are painted (colours {seen} …); write {folder / 'colours.csv'} with the "
                "columns name, r, g, b (name a row void where pixels shall not count) and call `cvbench new` again"
            )
        return Layout("folder_masks", options | {"colours": table})
    scored = [label for label in labels if label != 255]
    options["classes"] = [f"class {label}" for label in range(max(scored, default=0) + 1)]
    options["void"] = 255 if 255 in labels else None
    remark = f"The labels 0..{max(scored, default=0)} have no names yet: give them under `classes`, in this order."
    return Layout("folder_masks", options, (remark,))


def _mask_ending(images: Path, masks: Path) -> str:
    """What masks' names have more than their images': `_mask` for a.jpg and a_mask.png."""
    stems = {path.stem for path in images_below(images)}
    endings: Counter[str] = Counter()
    every = [path.stem for folder, _, _ in os.walk(masks) for path in list_images(Path(folder))]
    for stem in stems:
        endings.update(name.removeprefix(stem) for name in every if name.startswith(stem))
    return endings.most_common(1)[0][0] if endings else ""


def _labels(masks: Path) -> tuple[list[int], list[tuple[int, ...]]]:
    """(label numbers, or colours) that some of the masks hold; one of the two lists is empty."""
    labels: set[int] = set()
    colours: set[tuple[int, ...]] = set()
    for path in images_below(masks):
        if image_header(path)[1] in ("RGB", "RGBA"):
            pixels = read_image(path).reshape(-1, 3)
            colours.update(tuple(row) for row in np.unique(pixels, axis=0).tolist())
        else:
            labels.update(np.unique(read_mask(path)).tolist())
    return sorted(labels), sorted(colours)


def _models(size: tuple[int, int]) -> list[str]:
    return [
        "- name: fcn",
        "  options: {backbone: small}",
        "- name: unet",
        "  options: {width: 32, stem_stride: 2}   # works at half resolution: a quarter of the time",
        "- name: segnet",
        "  options: {width: 32}",
    ]


OWN = OwnData(
    _look,
    _models,
    batch_size=8,
    recipe=("class_weights: median_frequency   # rare classes count as much as common ones",),
)

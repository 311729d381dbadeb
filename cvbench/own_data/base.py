"""What `cvbench new` must know of a task, and how it looks into somebody's folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvbench.data.files import is_image

LOOKED_AT = 64  # files whose size or labels are read; the rest is taken to be alike
IMAGE_FOLDERS = ("images", "imgs", "img", "image", "photos", "jpegimages")


@dataclass(frozen=True)
class Layout:
    """How a folder is laid out: the dataset file that reads it, its options, and remarks for the benchmark's head."""

    dataset: str
    options: dict[str, Any]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnData:
    """One task's own part of `cvbench new`.

    look: folder -> its layout; raises DataError where the folder is none of the task. multiple: what the sides of the
    input are rounded to. shorter_side: the most pixels of the input's shorter side. batch_size: of the recipe.
    models: lines of YAML for the models that are compared, from the input size (H, W). recipe: more lines of it.
    """

    look: Callable[[Path], Layout]
    models: Callable[[tuple[int, int]], Sequence[str]]
    batch_size: int
    multiple: int = 32
    shorter_side: int = 224
    recipe: tuple[str, ...] = ()


def subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def images_below(folder: Path) -> list[Path]:
    """Up to `LOOKED_AT` images below `folder`, evenly over what there is; nothing hidden."""
    every = []
    for base, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        every += [Path(base, name) for name in names if is_image(name)]
    return sorted(every)[:: max(1, len(every) // LOOKED_AT)][:LOOKED_AT]

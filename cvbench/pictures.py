"""What a model says of images, drawn: for `predict`, and beside the truth for the samples that a run keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvbench.data.base import Split
from cvbench.data.drawing import below, sheet, written
from cvbench.gallery import Picture, picked, write_list
from cvbench.loading.geometry import resize
from cvbench.tasks.base import Description, Task

GALLERY_WIDTH = 600  # pixels: a board shows several pictures of each model


def as_input(task: Task, image: NDArray[np.uint8]) -> Tensor:
    """A uint8 (H, W, C) image of any size as the model gets it: float32 (1, C, h, w) in [0, 1]."""
    small = resize(image, task.geometry(*image.shape[:2]))
    return torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float().div(255)


def describe(task: Task, image: NDArray[np.uint8], truth: Any = None) -> Description:
    """What the model says of one uint8 (H, W, C) image of any size; `truth` is its target, where that is known."""
    batch = as_input(task, image)
    with torch.inference_mode():
        return task.eval().describe(batch, image, truth)


def draw_samples(task: Task, split: Split, out: Path, *, title: str, count: int = 6) -> None:
    """Writes a PNG sheet of `count` samples, evenly spread over the split: what is said, then what is true."""
    tiles = []
    for index in np.linspace(0, len(split) - 1, min(count, len(split)), dtype=int).tolist():
        image, truth = split[index]
        picture = describe(task, image, truth).picture
        tiles.append(below(picture, written([split.ids[index]], picture.width, 11)))
    sheet(tiles, title=title).save(out)


def keep_gallery(task: Task, split: Split, values: NDArray[np.float64], folder: Path) -> None:
    """Writes pictures of the hardest and of typical samples into `folder`, as `gallery.picked` chooses them.

    values: float64 (N,), how well each sample of the split went, the higher the better.
    """
    folder.mkdir()
    pictures = []
    for number, (place, kind) in enumerate(picked(values)):
        image, truth = split[place]
        picture = describe(task, image, truth).picture
        picture.thumbnail((GALLERY_WIDTH, 4 * GALLERY_WIDTH))
        file = f"{kind}-{number}.webp"
        picture.save(folder / file, quality=70, method=6)
        pictures.append(Picture(file=file, sample=split.ids[place], kind=kind, score=round(float(values[place]), 6)))
    write_list(folder, pictures)

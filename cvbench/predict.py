"""`cvbench predict`: what a finished run's model says of anybody's images, as pictures and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from cvbench.data.files import read_image
from cvbench.loading.geometry import evaluation_geometry, resize
from cvbench.record import write_atomically
from cvbench.tasks.base import Task
from cvbench.trained import load_task


def predict(run: Path | str, images: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """Writes `<out>/<stem>.png` (the image with what was found) for each image, label maps where the task has them
    (`<stem>_labels.png`), and `predictions.json`; returns what that holds, one dict an image.

    Raises ValueError where two images would write one file, and DataError for an image that cannot be read.
    """
    stems = [path.stem for path in images]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise ValueError(f"Expected images of different names, but got several called {', '.join(twice)}")
    task, record = load_task(run)
    torch.set_num_threads(record.execution.threads)
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for path in images:
        image = read_image(path, mode="L" if task.info.channels == 1 else "RGB")
        told, picture, labels = describe(task, image)
        picture.save(out / f"{path.stem}.png")
        if labels is not None:
            Image.fromarray(labels).save(out / f"{path.stem}_labels.png")
        found.append({"image": str(path), **told})
    write_atomically(out / "predictions.json", json.dumps(found, indent=1) + "\n")
    return found


def describe(task: Task, image: NDArray[np.uint8]) -> tuple[dict[str, Any], Image.Image, NDArray[np.uint8] | None]:
    """(facts, a picture that shows them, a label map or None) of one uint8 (H, W, C) image of any size."""
    recipe = task.recipe.model_copy(update={"input_size": task.info.input_size})
    height, width = image.shape[:2]
    small = resize(image, evaluation_geometry(height, width, recipe))
    batch = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float().div(255)
    with torch.inference_mode():
        return task.describe(batch, image)

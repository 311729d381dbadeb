"""`cvbench predict`: what a finished run's model says of anybody's images, as pictures and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from cvbench.data.files import read_image
from cvbench.pictures import describe
from cvbench.record import write_atomically
from cvbench.trained import load_task


def predict(run: Path | str, images: Sequence[Path], out: Path, *, plugins: bool = False) -> list[dict[str, Any]]:
    """Writes `<out>/<stem>.png` (the image with what was found) for each image, label maps where the task has them
    (`<stem>_labels.png`), and `predictions.json`; returns what that holds, one dict an image.

    Raises ValueError where two images would write one file, and DataError for an image that cannot be read.
    """
    stems = [path.stem for path in images]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise ValueError(f"Expected images of different names, but got several called {', '.join(twice)}")
    absent = [str(path) for path in images if not path.is_file()]
    if absent:
        raise ValueError(f"{absent[0]}: no such file; correct the path")
    task, record = load_task(run, plugins=plugins)
    assert record.execution is not None, "load_task gives runs only"
    torch.set_num_threads(record.execution.threads)
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for path in images:
        image = read_image(path, mode="L" if task.info.channels == 1 else "RGB")
        told = describe(task, image)
        told.picture.save(out / f"{path.stem}.png")
        if told.labels is not None:
            Image.fromarray(told.labels).save(out / f"{path.stem}_labels.png")
        found.append({"image": str(path), **told.facts})
    write_atomically(out / "predictions.json", json.dumps(found, indent=1) + "\n")
    return found

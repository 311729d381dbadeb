"""A first benchmark for somebody's own images: looks at their folder, and writes a commented YAML file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvbench import catalog
from cvbench.data.base import Dataset
from cvbench.data.files import image_header
from cvbench.own_data import captioning, classification, detection, segmentation
from cvbench.own_data.base import OwnData, images_below

#: the tasks that take somebody's own images
OWN_DATA: dict[str, OwnData] = {
    "classification": classification.OWN,
    "segmentation": segmentation.OWN,
    "detection": detection.OWN,
    "captioning": captioning.OWN,
}


@dataclass(frozen=True)
class Found:
    """What a folder holds. dataset: what reads it, with its options; size: (H, W) that models shall get."""

    dataset: str
    options: dict[str, Any]
    splits: dict[str, int]
    classes: tuple[str, ...]
    size: tuple[int, int]
    remarks: tuple[str, ...] = ()


def look(task: str, images: Path) -> Found:
    """Detects how `images` is laid out: class folders, lists, images beside masks, with boxes or captions.

    Raises ValueError (DataError) that says what was expected where the folder is no dataset of this task.
    """
    if task not in OWN_DATA:
        raise ValueError(
            f"Expected a task that takes your own images, but got {task!r}{catalog.nearest(task, OWN_DATA)}"
        )
    if not images.is_dir():
        raise ValueError(f"{images}: no such folder")
    own = OWN_DATA[task]
    layout = own.look(images)
    dataset: Dataset = catalog.find("datasets", layout.dataset, task).build()(Path(), **layout.options)
    sizes = [image_header(path)[0] for path in images_below(images)]  # raises DataError that names a damaged file
    size = _input_size(sizes, multiple=own.multiple, most=own.shorter_side)
    info = dataset.info
    return Found(layout.dataset, layout.options, dict(info.split_sizes), info.classes, size, layout.remarks)


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
    classes = f", {len(found.classes)} classes: {names}" if names else ""
    height, width = found.size
    own = OWN_DATA[task]
    lines = [
        f"# {out.stem}: which of these models is better on your images, and is the difference real?",
        "#",
        f"#   cvbench plan {out}     what would run",
        f"#   cvbench run {out}      train, evaluate, and show the leaderboard",
        "#",
        f"# Found: {sum(found.splits.values())} images ({splits}){classes}",
        *(f"# {remark}" for remark in found.remarks),
        "",
        f"task: {task}",
        f"primary: {primary}   # ranks the board; also reported: {others}",
        "",
        "datasets:",
        f"  - name: {found.dataset}   # `cvbench list datasets {found.dataset}` shows every option",
        "    options:",
        *(f"      {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in found.options.items()),
        "      # Photos of one scene belong into one split: `group` takes a regular expression whose parentheses",
        "      # match the part of a file's name that all photos of a scene share.",
        '      # group: "^(scene\\\\d+)_"',
        "",
        f"# `cvbench list models --task {task}` shows what else there is; `my_package.my_file:build` is your own.",
        "models:",
        *(f"  {line}" for line in own.models(found.size)),
        "",
        "seeds: [0, 1, 2]   # every model is trained once a seed; the spread over seeds shows what a difference means",
        "",
        "# One recipe for all models, so that the models are what differs.",
        "recipe:",
        "  epochs: 20",
        f"  batch_size: {own.batch_size}",
        f"  input_size: [{height}, {width}]   # height, width that models get; scoring does not depend on it",
        "  optimiser: adamw",
        "  lr: 1e-3",
        "  weight_decay: 0.01",
        "  schedule: one_cycle",
        "  augment:",
        "    flip: true                # false where left and right mean something",
        "    crop_scale: [0.5, 1.0]",
        *(f"  {line}" for line in own.recipe),
        "",
    ]
    return "\n".join(lines)


def _input_size(sizes: Sequence[tuple[int, int]], *, multiple: int, most: int) -> tuple[int, int]:
    """The images' median size, its shorter side brought down to `most`, both sides rounded to `multiple`.

    >>> _input_size([(360, 480)], multiple=32, most=224), _input_size([(32, 32)], multiple=16, most=224)
    ((224, 288), (32, 32))
    """
    height = statistics.median(size[0] for size in sizes) if sizes else most
    width = statistics.median(size[1] for size in sizes) if sizes else most
    scale = min(1.0, most / min(height, width))
    rounded = [max(multiple, round(side * scale / multiple) * multiple) for side in (height, width)]
    return rounded[0], rounded[1]

"""A contact sheet of a dataset: some of its samples with their labels, to be looked at before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cvbench.data.base import VOID, DataError, Dataset, DatasetInfo, Sample
from cvbench.data.boxes import Boxes
from cvbench.data.drawing import below, boxed, legend, mask_pair, palette, scaled, sheet, written

_LONGEST = 320  # pixels of a tile's picture
_NARROW = 150  # a tile is at least so wide, for its text


def preview(dataset: Dataset, role: str, count: int, out: Path, seed: int = 0) -> Path:
    """Writes a PNG of `count` samples of a split, chosen by `seed` and drawn in the split's order; returns `out`.

    What is drawn follows the target: a class index as a name below the image, a mask beside it with a legend of the
    sheet's classes, boxes with names upon it (a crowd's dashed, difficult ones dotted), captions below it.

    Raises:
        DataError: a split that the dataset does not have, an empty one, or a sample that cannot be read.
        ValueError: a count below 1.
    """
    if role not in dataset.splits:
        raise DataError(f"{dataset.info.name}: expected a split of {', '.join(dataset.splits)}, but got {role!r}")
    split = dataset.splits[role]
    if count < 1:
        raise ValueError(f"Expected `count` to be at least 1, but got {count}")
    if not len(split):
        raise DataError(f"{dataset.info.name}: the split {role} is empty, there is nothing to draw")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(split))
    chosen = sorted(int(index) for index in order[:count])
    samples = [split[index] for index in chosen]
    names = [split.ids[index] for index in chosen]
    draw, foot = _drawer(samples[0].target)
    tiles = [below(draw(sample, dataset.info), written([name], _width(sample), 11))
             for sample, name in zip(samples, names, strict=True)]  # fmt: skip
    title = f"{dataset.info.name}, {dataset.info.task}, {role}: {len(samples)} of {len(split):,}"
    paper = sheet(tiles, title=title)
    if foot is not None:
        paper = sheet(tiles, title=title, foot=foot(samples, dataset.info, max(480, paper.width - 16)))
    out.parent.mkdir(parents=True, exist_ok=True)
    paper.save(out, format="PNG")
    return out


_Draw = Callable[[Sample, DatasetInfo], Image.Image]
_Foot = Callable[[Sequence[Sample], DatasetInfo, int], Image.Image]


def _drawer(target: Any) -> tuple[_Draw, _Foot | None]:
    """How a target of this type is drawn, and what stands below the sheet."""
    for kind, drawer in _DRAWERS.items():
        if isinstance(target, kind):
            return drawer
    raise DataError(
        f"Expected a target that can be drawn (a class, a mask, boxes, captions), but got {type(target).__name__}"
    )


def _picture(sample: Sample) -> Image.Image:
    """The image on a tile that is wide enough for text."""
    return scaled(sample.image, _LONGEST if max(sample.image.shape[:2]) > 64 else _NARROW, smoothly=True)


def _width(sample: Sample) -> int:
    return max(_NARROW, _picture(sample).width)


def _classified(sample: Sample, info: DatasetInfo) -> Image.Image:
    label = int(sample.target)
    name = info.classes[label] if 0 <= label < len(info.classes) else f"label {label}: no such class"
    return below(_picture(sample), written([name], _width(sample), 14))


def _segmented(sample: Sample, info: DatasetInfo) -> Image.Image:
    return mask_pair(sample.image, sample.target, info.colours or palette(len(info.classes)), _LONGEST)


def _segments(samples: Sequence[Sample], info: DatasetInfo, width: int) -> Image.Image:
    """The classes that the sheet shows; all of them would be a page for 150 classes."""
    present = np.unique(np.concatenate([np.unique(sample.target) for sample in samples]))
    colours = info.colours or palette(len(info.classes))
    shown = [index for index in range(len(info.classes)) if index in present]
    return legend([info.classes[index] for index in shown], [colours[index] for index in shown], width,
                  void=VOID in present)  # fmt: skip


def _detected(sample: Sample, info: DatasetInfo) -> Image.Image:
    colours = info.colours or palette(len(info.classes))
    return boxed(sample.image, sample.target, info.classes, colours, 2 * _LONGEST)


def _captioned(sample: Sample, info: DatasetInfo) -> Image.Image:
    picture = scaled(sample.image, _LONGEST, smoothly=True)
    captions = [f"{place}. {caption}" for place, caption in enumerate(sample.target, start=1)]
    return below(picture, written(captions, max(picture.width, 300)))


_DRAWERS: dict[type | tuple[type, ...], tuple[_Draw, _Foot | None]] = {
    (int, np.integer): (_classified, None),
    np.ndarray: (_segmented, _segments),
    Boxes: (_detected, None),
    (list, tuple): (_captioned, None),
}

"""Detection datasets that lie on disk as image files and boxes: columns of boxes, lazily read splits, their checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import DataError, Dataset, DatasetInfo, Sample, Split
from cvbench.data.box_checks import faults
from cvbench.data.boxes import Boxes
from cvbench.data.files import image_header, read_image
from cvbench.data.labelled import not_empty

CONVENTION = "left, top, width, height in pixels of the image on disk, whose first pixel covers 0..1"


@dataclass(frozen=True, eq=False)
class BoxColumns:
    """The boxes of N images, image after image: arrays, which worker processes get without copying a million objects.

    boxes: those of all images. counts: int64 (N,), how many of them each image has. sizes: int64 (N, 2), height and
    width of each image in pixels; 0 where the annotation does not say. shares: positions are shares of the image's
    width and height instead of pixels.
    """

    boxes: Boxes
    counts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    shares: bool = False

    @classmethod
    def of(
        cls, boxes: Sequence[Boxes], sizes: Sequence[tuple[int, int]] | None = None, *, shares: bool = False
    ) -> BoxColumns:
        """Columns from the boxes of each image, and the images' (H, W) where they are known."""
        counts = np.array([len(one) for one in boxes], np.int64)
        known = np.zeros((len(boxes), 2), np.int64) if sizes is None else np.asarray(sizes, np.int64).reshape(-1, 2)
        return cls(Boxes.joined(boxes), counts, known, shares)

    def where(self, chosen: NDArray[np.bool_]) -> BoxColumns:
        """The columns of the images where `chosen` (N,) is true."""
        boxes = self.boxes.rows(np.repeat(chosen, self.counts))
        return BoxColumns(boxes, self.counts[chosen], self.sizes[chosen], self.shares)


class BoxFiles(Split):
    """Image files below `folder` with their boxes; a file is decoded to RGB when its sample is asked for.

    names: paths below `folder`, with forward slashes.
    """

    def __init__(self, folder: Path, names: Sequence[str], ids: Sequence[str], columns: BoxColumns) -> None:
        assert len(names) == len(ids) == len(columns.counts)
        self.folder, self.names, self.ids, self.columns = folder, tuple(names), tuple(ids), columns
        self._ends = np.cumsum(columns.counts)

    def __getitem__(self, index: int) -> Sample:
        """Raises `DataError` that names the file: it cannot be decoded, is of another size than its annotation says, or
        a box lies wholly outside.
        """
        path = self.folder / self.names[index]
        image = read_image(path)
        size, told = image.shape[:2], tuple(self.columns.sizes[index].tolist())
        if any(told) and told != size:
            turned = " (Turned by an EXIF orientation, perhaps, which is not applied.)" if told == size[::-1] else ""
            raise DataError(
                f"{path}: expected {told[0]}x{told[1]} (height x width) as its annotation says, but got "
                f"{size[0]}x{size[1]}{turned}; its boxes would be misplaced: copy the image again from the source, or "
                "annotate it as it is"
            )
        return Sample(image, self._placed(index, size))

    def target(self, index: int) -> Boxes:
        """The boxes alone. Reads the image's header where positions are shares, else nothing."""
        size = image_header(self.folder / self.names[index])[0] if self.columns.shares else None
        return self._placed(index, size)

    def _placed(self, index: int, size: tuple[int, int] | None) -> Boxes:
        end = int(self._ends[index])
        boxes = self.columns.boxes.rows(slice(end - int(self.columns.counts[index]), end))
        if size is None:
            return boxes
        if self.columns.shares:
            height, width = size
            return Boxes.of(boxes.xywh * (width, height, width, height), boxes.labels)
        for row, rule in faults(boxes.xywh, np.array(size)):
            raise DataError(f"{self.folder / self.names[index]}: box {row + 1} of {len(boxes)}: {rule}")
        return boxes

    def class_counts(self, num_classes: int) -> NDArray[np.int64]:
        """As every split's; nothing is read."""
        boxes = self.columns.boxes
        return np.bincount(boxes.labels[boxes.learnt], minlength=num_classes)[:num_classes]

    def where(self, chosen: NDArray[np.bool_]) -> BoxFiles:
        """The samples where `chosen` (N,) is true, in the same order."""
        rows = np.flatnonzero(chosen).tolist()
        names, ids = ([column[row] for row in rows] for column in (self.names, self.ids))
        return BoxFiles(self.folder, names, ids, self.columns.where(chosen))

    @property
    def paths(self) -> list[str]:
        """Every image file, for the revision."""
        return [f"{self.folder}/{name}" for name in self.names]


def contained(name: str, source: str) -> str:
    """The name of a file, as an annotation gives it, with forward slashes; it must lie below the images' folder.

    source: what names it, for the message. Raises DataError for absolute names and those that climb out with `..`.
    """
    plain = name.replace("\\", "/")
    if not plain or PurePosixPath(plain).is_absolute() or PureWindowsPath(name).drive or ".." in plain.split("/"):
        raise DataError(f"{source}: expected a file below the folder of the images, but got {name!r}; correct the name")
    return PurePosixPath(plain).as_posix()


def stem(name: str) -> str:
    """The path without the file's ending: what a sample is called.

    >>> stem("train2017/000000000139.jpg")
    'train2017/000000000139'
    """
    return PurePosixPath(name).with_suffix("").as_posix()


def all_present(folder: Path, names: Iterable[str], source: str) -> None:
    """Raises DataError that names the first image which is not below `folder`; lists each folder once.

    source: what names the images, for the message.
    """
    there: dict[str, set[str]] = {}
    for name in names:
        parent, _, file = name.rpartition("/")
        if parent not in there:
            inside = folder / parent
            there[parent] = {path.name for path in inside.iterdir()} if inside.is_dir() else set()
        if file not in there[parent]:
            raise DataError(
                f"{source}: names the image {name}, but {folder / name} is not there; copy or unpack the images again, "
                "or remove it from the annotation"
            )


def box_dataset(
    splits: Mapping[str, BoxFiles],
    *,
    name: str,
    classes: Sequence[str],
    protocol: Mapping[str, Any],
    revision: str,
    licence: str,
    remedy: str,
) -> Dataset:
    """A detection dataset of these splits, whose protocol says what is common to all that are read from files.

    remedy: what to do where a split is empty, a sentence.

    Raises:
        DataError: a split is empty or has an id twice, or an image is in two splits.
    """
    not_empty(name, dict(splits), remedy)
    seen: dict[str, str] = {}
    for role, split in splits.items():
        for path in split.paths:
            if path in seen:
                raise DataError(
                    f"{path}: named for {role}, but {seen[path]} has it already; expected every image once in one "
                    f"split of {name}, or the test score means nothing"
                )
            seen[path] = role
    info = DatasetInfo(
        name=name,
        task="detection",
        protocol={"boxes": CONVENTION, "map": "in pixels of the image on disk", **protocol},
        revision=revision,
        classes=tuple(classes),
        split_sizes={role: len(split) for role, split in splits.items()},
        licence=licence,
        redistributable=False,
    )
    return Dataset(info, dict(splits))

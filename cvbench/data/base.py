"""What every dataset file gives: a `Dataset` of lazily read splits and the `DatasetInfo` that describes them.

Numpy only: `cvbench plan` and `cvbench data` build datasets without torch. Each dataset is one file of this folder
whose `build(root, **options)` returns a `Dataset`; building lists files but reads no pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvbench.data.boxes import Boxes

Role = Literal["train", "val", "test"]
ROLES: tuple[Role, ...] = ("train", "val", "test")

# Every mask that a dataset returns marks ignored pixels with this value, whatever its files use.
VOID = 255


class DataError(ValueError):
    """The data on disk are missing, damaged or not in the declared layout. The message names the file."""


class Sample(NamedTuple):
    """One sample as it lies on disk, decoded and otherwise untouched.

    image: uint8 (H, W, C), RGB or one grey channel.
    target: classification: int class index. segmentation: uint8 (H, W) class indices, `VOID` where ignored. detection:
    `cvbench.data.boxes.Boxes`. captioning: list of sentences.
    """

    image: NDArray[np.uint8]
    target: Any


class Split:
    """The samples of one role, in a fixed order. Subclasses give `ids` and `__getitem__`; the rest is optional."""

    #: one stable, unique name a sample: what orders, hashes and evidence refer to
    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Reads sample `index`. Raises `DataError` that names the file when it cannot be decoded."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def target(self, index: int) -> Any:
        """The target alone; override where it costs less than the whole sample."""
        return self[index].target

    def class_counts(self, num_classes: int) -> NDArray[np.int64]:
        """How often each class occurs among the targets, int64 (C,); reads every target.

        Counted are images; pixels at the masks' own size, no void; boxes that are learnt.
        """
        counts = np.zeros(max(num_classes, VOID + 1), dtype=np.int64)
        for index in range(len(self)):
            target = self.target(index)
            labels = target.labels[target.learnt] if isinstance(target, Boxes) else np.ravel(target)
            counts += np.bincount(labels, minlength=len(counts))
        return counts[:num_classes]

    def bulk(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
        """All images (N, H, W, C) and labels (N,) at once, where the dataset is published as arrays; else None."""
        return None


class ArraySplit(Split):
    """A split that already is arrays: images uint8 (N, H, W, C), targets (N, ...)."""

    def __init__(self, ids: Sequence[str], images: NDArray[np.uint8], targets: NDArray[Any]) -> None:
        self.ids, self.images, self.targets = ids, images, targets

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.images[index], self.target(index))

    def target(self, index: int) -> Any:
        target = self.targets[index]
        return int(target) if np.ndim(target) == 0 else target

    def bulk(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
        return (self.images, self.targets) if self.targets.ndim == 1 else None


def short_id(sample_id: str) -> str:
    """A sample's id without what stands before its first slash, the name of its split: how files about it are called.

    >>> short_id("test/0001"), short_id("2007_000032")
    ('0001', '2007_000032')
    """
    return sample_id.partition("/")[2] or sample_id


@dataclass(frozen=True)
class DatasetInfo:
    """What data tells models, scoring and the board; a class count is written here and nowhere else.

    protocol: what makes two numbers comparable (classes, scoring size, split roles, ignored pixels), JSON values only.
    revision: hash of what was found on disk (see `data.revision`), or of the options of a generated dataset.
    colours: one RGB triple a class, for masks. mean, std: per channel of images in [0, 1], `channels` values each.
    input_size: (H, W) that the model gets; set by the harness from the recipe, else the native size; None: varies.
    """

    name: str
    task: str
    protocol: Mapping[str, Any]
    revision: str
    classes: tuple[str, ...]
    split_sizes: Mapping[str, int]
    licence: str
    redistributable: bool
    colours: tuple[tuple[int, int, int], ...] | None = None
    ignore_index: int | None = None
    channels: int = 3
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    input_size: tuple[int, int] | None = None
    vocabulary: tuple[str, ...] | None = None

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def at(self, input_size: tuple[int, int] | None) -> DatasetInfo:
        """The same info for models that get images of `input_size` (H, W); None keeps the native size."""
        return self if input_size is None else dataclasses.replace(self, input_size=(input_size[0], input_size[1]))


@dataclass(frozen=True)
class Dataset:
    """A description and the splits by role. `train` and `val` may be absent (evaluation only); `test` never."""

    info: DatasetInfo
    splits: Mapping[str, Split]

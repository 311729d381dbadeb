"""The boxes of an image: what a detection dataset gives as a sample's target."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Boxes:
    """N things in an image, N may be 0; positions in pixels of the image as it lies on disk, nothing rounded or cut.

    xywh: float64 (N, 4), left, top, width, height; the first pixel covers 0..1, so that a box around it alone is
    (0, 0, 1, 1). labels: int64 (N,), class indices 0..C-1. area: float64 (N,), pixels of the thing itself (COCO's
    `area`, of its mask), width x height where nothing else is known. crowd: bool (N,), a region of many things, as
    COCO's `iscrowd`. difficult: bool (N,), as VOC's. Neither kind is learnt, or held against a detector that finds it.
    """

    xywh: NDArray[np.float64]
    labels: NDArray[np.int64]
    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    difficult: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        xywh: ArrayLike,
        labels: Sequence[int] | NDArray[Any],
        *,
        area: ArrayLike | None = None,
        crowd: ArrayLike | None = None,
        difficult: ArrayLike | None = None,
    ) -> Boxes:
        """Boxes from anything like arrays; what is not given is its default."""
        places = np.asarray(xywh, np.float64).reshape(-1, 4)
        plain = np.zeros(len(places), bool)
        return cls(
            places,
            np.asarray(labels, np.int64).reshape(-1),
            places[:, 2] * places[:, 3] if area is None else np.asarray(area, np.float64).reshape(-1),
            plain if crowd is None else np.asarray(crowd, bool).reshape(-1),
            plain if difficult is None else np.asarray(difficult, bool).reshape(-1),
        )

    @classmethod
    def between(cls, xyxy: ArrayLike, labels: Sequence[int] | NDArray[Any]) -> Boxes:
        """Boxes from left, top, right, bottom (N, 4), half open."""
        corners = np.asarray(xyxy, np.float64).reshape(-1, 4)
        return cls.of(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1), labels)

    @classmethod
    def none(cls) -> Boxes:
        """No boxes: the target of an image in which nothing is to be found."""
        return cls.of([], [])

    @classmethod
    def joined(cls, parts: Sequence[Boxes]) -> Boxes:
        """The boxes of all parts, one after the other."""
        columns = ([getattr(part, field.name) for part in parts] for field in dataclasses.fields(cls))
        return cls(*(np.concatenate(column) for column in columns)) if parts else cls.none()

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: slice | NDArray[Any]) -> Boxes:
        """Some of the boxes: those of a slice, of an index array, or where a bool array (N,) is true."""
        return Boxes(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))

    @property
    def xyxy(self) -> NDArray[np.float64]:
        """left, top, right, bottom, float64 (N, 4), half open."""
        return np.concatenate([self.xywh[:, :2], self.xywh[:, :2] + self.xywh[:, 2:]], axis=1)

    @property
    def learnt(self) -> NDArray[np.bool_]:
        """Which boxes a model is trained on, bool (N,): no crowd, not difficult, of some area."""
        chosen: NDArray[np.bool_] = ~self.crowd & ~self.difficult & (self.xywh[:, 2:] > 0).all(axis=1)
        return chosen

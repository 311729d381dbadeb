"""Reads a whole dataset: what is damaged, what does not fit, and which samples are there twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import VOID, DataError, Dataset, DatasetInfo, Sample
from cvbench.data.box_checks import BoxRemarks, faults
from cvbench.data.boxes import Boxes


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    problems: one sentence each, with the split and the sample. duplicates: pairs (first, later) of samples of equal
    pixels, as "split: id". leaks: those of them that lie in two splits. counts: samples a split, the damaged included.
    content_sha256: over every id, decoded image and target, in order: equal for equal data, however they are stored.
    remarks: what is odd about boxes and no damage: published datasets have some beyond the border, and some of no area.
    """

    dataset: str
    task: str
    counts: Mapping[str, int]
    problems: tuple[str, ...]
    duplicates: tuple[tuple[str, str], ...]
    leaks: tuple[tuple[str, str], ...]
    content_sha256: str
    remarks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Everything can be read and fits. Duplicates do not count: published datasets have them."""
        return not self.problems

    def __str__(self) -> str:
        sizes = ", ".join(f"{role} {count:,}" for role, count in self.counts.items())
        lines = [f"{self.dataset} ({self.task}): {sizes}", f"content sha256 {self.content_sha256}"]
        lines += [f"problem: {problem}" for problem in self.problems]
        lines += [f"remark: {remark}" for remark in self.remarks]
        lines += [f"in two splits: {first} = {later}" for first, later in self.leaks]
        inside = [pair for pair in self.duplicates if pair not in set(self.leaks)]
        lines += [f"twice in a split: {first} = {later}" for first, later in inside]
        lines.append(f"{'OK' if self.ok else 'NOT OK'}: {len(self.problems)} problems, {len(self.duplicates)} exact "
                     f"duplicates, {len(self.leaks)} of them across splits")  # fmt: skip
        return "\n".join(lines)


def verify(dataset: Dataset, *, progress: Callable[[int, int], None] | None = None) -> Report:
    """Reads every sample of every split once. Raises nothing for damaged data: that is what the report is for.

    progress: called with (samples read, samples in all) after each.
    """
    counts = {role: len(split) for role, split in dataset.splits.items()}
    problems = [f"{role}: the split is empty" for role, count in counts.items() if not count]
    duplicates: list[tuple[str, str]] = []
    leaks: list[tuple[str, str]] = []
    first_with: dict[bytes, tuple[str, str]] = {}
    content, remarks = sha256(), BoxRemarks()
    done, total = 0, sum(counts.values())
    for role, split in dataset.splits.items():
        problems += _repeated(role, list(split.ids))
        for index, name in enumerate(split.ids):
            try:
                sample = split[index]
            except DataError as error:
                problems.append(f"{role}: {name}: {error}")
                content.update(f"{role}\n{name}\nunreadable\n".encode())
            else:
                misfits = _misfits(sample, dataset.info)
                problems += [f"{role}: {name}: {problem}" for problem in misfits]
                if isinstance(sample.target, Boxes) and not misfits:
                    remarks.add(f"{role}: {name}", sample.target, sample.image.shape[:2])
                pixels = _hash(sample.image)
                content.update(f"{role}\n{name}\n".encode() + pixels + _hash_target(sample.target))
                first_role, first = first_with.setdefault(pixels, (role, name))
                if (first_role, first) != (role, name):
                    pair = (f"{first_role}: {first}", f"{role}: {name}")
                    duplicates.append(pair)
                    if first_role != role:
                        leaks.append(pair)
            done += 1
            if progress:
                progress(done, total)
    return Report(dataset.info.name, dataset.info.task, counts, tuple(problems), tuple(duplicates), tuple(leaks),
                  content.hexdigest(), remarks.sentences())  # fmt: skip


def _repeated(role: str, ids: list[str]) -> list[str]:
    if len(set(ids)) == len(ids):
        return []
    seen: set[str] = set()
    twice = sorted({name for name in ids if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
    return [f"{role}: {len(twice)} ids stand for several samples, such as {twice[0]}"]


def _hash(array: NDArray[Any]) -> bytes:
    """32 bytes over shape, type and content."""
    return sha256(f"{array.shape}{array.dtype.str}".encode() + np.ascontiguousarray(array).tobytes()).digest()


def _hash_target(target: Any) -> bytes:
    if isinstance(target, np.ndarray):
        return _hash(target)
    if isinstance(target, Boxes):
        return b"".join(_hash(getattr(target, column.name)) for column in fields(target))
    plain = int(target) if isinstance(target, np.integer) else target  # its repr depends on numpy's version
    return sha256(repr(plain).encode()).digest()


def _misfits(sample: Sample, info: DatasetInfo) -> list[str]:
    """What is wrong with a sample that could be read."""
    image = sample.image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != info.channels or not image.size:
        return [f"expected an image of uint8 (H, W, {info.channels}), but got {image.dtype} {image.shape}"]
    for kind, check in _CHECKS.items():
        if isinstance(sample.target, kind):
            return check(sample, info)
    return [f"expected a class, a mask, boxes or captions, but got {type(sample.target).__name__}"]


def _label_misfits(sample: Sample, info: DatasetInfo) -> list[str]:
    if 0 <= sample.target < info.num_classes:
        return []
    return [f"expected a label in 0..{info.num_classes - 1}, but got {sample.target}"]


def _mask_misfits(sample: Sample, info: DatasetInfo) -> list[str]:
    mask = sample.target
    if mask.dtype != np.uint8 or mask.shape != sample.image.shape[:2]:
        return [f"expected a mask of uint8 {sample.image.shape[:2]} as the image, but got {mask.dtype} {mask.shape}"]
    found = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    wrong = [int(label) for label in found if label >= info.num_classes and label != VOID]
    if not wrong:
        return []
    return [f"expected mask labels in 0..{info.num_classes - 1} or {VOID} (void), but got {', '.join(map(str, wrong))}"]


def _box_misfits(sample: Sample, info: DatasetInfo) -> list[str]:
    boxes: Boxes = sample.target
    count = len(boxes.labels)
    for column in fields(boxes):
        shape, wanted = getattr(boxes, column.name).shape, (count, 4) if column.name == "xywh" else (count,)
        if shape != wanted:
            return [f"expected {column.name} of shape {wanted}, a row for each label of the boxes, but got {shape}"]
    problems = [f"expected a box label in 0..{info.num_classes - 1}, but got {label}"
                for label in boxes.labels.tolist() if not 0 <= label < info.num_classes]  # fmt: skip
    return problems + [rule for _, rule in faults(boxes.xywh, np.array(sample.image.shape[:2]))]


def _caption_misfits(sample: Sample, info: DatasetInfo) -> list[str]:
    if sample.target and all(isinstance(caption, str) and caption.strip() for caption in sample.target):
        return []
    return [f"expected captions that are not empty, but got {sample.target!r}"]


_CHECKS: dict[type | tuple[type, ...], Callable[[Sample, DatasetInfo], list[str]]] = {
    (int, np.integer): _label_misfits,
    np.ndarray: _mask_misfits,
    Boxes: _box_misfits,
    (list, tuple): _caption_misfits,
}

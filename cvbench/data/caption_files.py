"""Captioning datasets: image files with one or more captions each, and what they all say of words and protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.data.base import DataError, Dataset, DatasetInfo, Sample, Split
from cvbench.data.files import read_image
from cvbench.data.labelled import not_empty
from cvbench.language import tokenizer
from cvbench.language.vocabulary import SPECIAL, build_vocabulary


class CaptionFiles(Split):
    """Image files below `folder` with their captions; a file is decoded to RGB when its sample is asked for.

    names: paths below `folder`, with forward slashes. captions: those of each image, at least one.
    """

    def __init__(self, folder: Path, names: Sequence[str], ids: Sequence[str], captions: Iterable[Iterable[str]]):
        self.folder, self.names, self.ids = folder, tuple(names), tuple(ids)
        self.captions = tuple(tuple(of_image) for of_image in captions)
        assert len(self.names) == len(self.ids) == len(self.captions)

    def __getitem__(self, index: int) -> Sample:
        return Sample(read_image(self.folder / self.names[index]), self.target(index))

    def target(self, index: int) -> list[str]:
        """The captions alone; nothing is read."""
        return list(self.captions[index])

    def where(self, chosen: NDArray[np.bool_]) -> CaptionFiles:
        """The samples where `chosen` (N,) is true, in the same order."""
        rows = np.flatnonzero(chosen).tolist()
        names, ids = ([column[row] for row in rows] for column in (self.names, self.ids))
        return CaptionFiles(self.folder, names, ids, [self.captions[row] for row in rows])

    @property
    def paths(self) -> list[str]:
        """Every image file, for the revision."""
        return [f"{self.folder}/{name}" for name in self.names]


def with_words(
    info: DatasetInfo, *, train: Iterable[Sequence[str]] | None, references: Collection[int], min_count: int
) -> DatasetInfo:
    """`info` with its vocabulary, and a protocol that says which tokenizer and how many references scores rest on.

    The vocabulary is the model's matter and none of the protocol's: scores are of words, whoever knows them.

    Args:
        train: the captions of each training image, which alone make the vocabulary; None: there is no train, and the
            vocabulary is None.
        references: how many captions each test image has.
        min_count: how often a word must occur in train to be in the vocabulary, 1 or more.

    Raises:
        DataError: a `min_count` below 1, or one that no word reaches.
    """
    if type(min_count) is not int or min_count < 1:
        raise DataError(f"Expected `min_count` of {info.name} to be a whole number from 1, but got {min_count!r}")
    vocabulary = None
    if train is not None:
        words = (tokenizer.tokens(caption) for of_image in train for caption in of_image)
        vocabulary = build_vocabulary(words, min_count)
        if len(vocabulary) == len(SPECIAL):
            raise DataError(
                f"Expected `min_count` of {info.name} to leave some words, but none occurs {min_count} times in the "
                "captions of train; lower it"
            )
    fewest, most = min(references), max(references)
    protocol = {
        "tokenizer": tokenizer.LABEL,
        "references": f"{fewest} an image" if fewest == most else f"{fewest} to {most} an image",
        **info.protocol,
    }
    return dataclasses.replace(info, protocol=protocol, vocabulary=vocabulary)


def caption_dataset(
    splits: Mapping[str, CaptionFiles],
    *,
    name: str,
    min_count: int,
    protocol: Mapping[str, Any],
    revision: str,
    licence: str,
    remedy: str,
) -> Dataset:
    """A captioning dataset of these splits.

    remedy: what to do where a split is empty, a sentence.

    Raises:
        DataError: a split is empty or has an id twice, an image is in two splits, or `min_count` does not fit.
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
        task="captioning",
        protocol=protocol,
        revision=revision,
        classes=(),
        split_sizes={role: len(split) for role, split in splits.items()},
        licence=licence,
        redistributable=False,
    )
    train = splits["train"].captions if "train" in splits else None
    references = {len(of_image) for of_image in splits["test"].captions}
    info = with_words(info, train=train, references=references, min_count=min_count)
    return Dataset(info, dict(splits))

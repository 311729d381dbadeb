"""The vocabulary that a captioner carries in its weights, so that they are never read with other words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from cvbench.data.base import DatasetInfo

SHOWN = 3  # words that a message names


class Worded(nn.Module):
    """A model that knows its words. vocabulary: uint8 (N,), persistent, `info.vocabulary` joined by "\\n" in UTF-8."""

    vocabulary: Tensor

    def take_vocabulary(self, info: DatasetInfo) -> None:
        text = "\n".join(words_of(info)).encode()
        self.register_buffer("vocabulary", torch.frombuffer(bytearray(text), dtype=torch.uint8))

    def refuses(self, state: Mapping[str, Tensor]) -> str | None:
        """Why weights of another vocabulary cannot be loaded; None where they are of this one, or say nothing of it."""
        if "vocabulary" not in state:
            return None
        theirs, ours = (_words(of) for of in (state["vocabulary"], self.vocabulary))
        return None if theirs == ours else _difference(theirs, ours)


def words_of(info: DatasetInfo) -> tuple[str, ...]:
    """The dataset's vocabulary. Raises ValueError where it has none."""
    if info.vocabulary is None:
        raise ValueError(f"Expected a dataset with a vocabulary, but {info.name} has none: it has no train split")
    return info.vocabulary


def _words(vocabulary: Tensor) -> list[str]:
    return bytes(vocabulary.flatten().to(torch.uint8).tolist()).decode(errors="replace").split("\n")


def _difference(theirs: Sequence[str], ours: Sequence[str]) -> str:
    known_there, known_here = set(theirs), set(ours)
    only_theirs = [word for word in theirs if word not in known_here]
    only_ours = [word for word in ours if word not in known_there]
    parts = [
        f"{len(words)} {'word is' if len(words) == 1 else 'words are'} only in the {where} "
        f"({', '.join(map(repr, words[:SHOWN]))}{', …' if len(words) > SHOWN else ''})"
        for words, where in ((only_theirs, "file"), (only_ours, "dataset"))
        if words
    ]
    moved = [pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]]
    if not parts and moved:
        parts = [f"{len(moved)} of {len(ours)} words stand elsewhere, first {moved[0][0]!r} in the file, where "
                 f"{moved[0][1]!r} is in the dataset"]  # fmt: skip
    return (
        f"the weights know other words than the dataset's training captions: {'; '.join(parts)}. Take the dataset and "
        "the `min_count` that they were trained with, or the encoder's weights alone, as `backbone_weights`."
    )

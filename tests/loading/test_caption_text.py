"""Captions on their way from disk to the task: unchanged, through the cache and through batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cvbench.data.base import ArraySplit, DataError, Dataset, DatasetInfo, Sample, Split
from cvbench.data.split import FixedSample
from cvbench.language.vocabulary import SPECIAL
from cvbench.loading import caption_text
from cvbench.loading.caption_text import CaptionText
from cvbench.loading.datamodule import DataModule
from cvbench.machine import Machine
from cvbench.spec import Augment, DatasetRef, Recipe


class Written(Split):
    """Grey pictures of 8x8 pixels with given captions."""

    def __init__(self, captions: list[object], role: str = "test") -> None:
        self.captions, self.ids = captions, [f"{role}/{index}" for index in range(len(captions))]

    def __getitem__(self, index: int) -> Sample:
        return Sample(np.full((8, 8, 3), index % 256, np.uint8), self.captions[index])


def module(folder: Path, splits: dict[str, Split], **recipe: object) -> DataModule:
    info = DatasetInfo(
        name="written",
        task="captioning",
        protocol={},
        revision="0123456789ab",
        classes=(),
        split_sizes={role: len(split) for role, split in splits.items()},
        licence="CC0-1.0",
        redistributable=True,
        input_size=(8, 8),
        vocabulary=SPECIAL,
    )
    given_recipe = Recipe.model_validate({"batch_size": 2, "epochs": 1} | recipe)
    return DataModule(
        Dataset(info, splits),
        given_recipe,
        Machine(cache=folder),
        targets=CaptionText,
        ref=DatasetRef(name="written", options={}, version=1),
        seed=0,
        batch_size=2,
    )


@given(st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=4), min_size=1, max_size=5))
def test_any_text_comes_back(captions: list[list[str]]) -> None:
    parts = [caption_text.written(several) for several in captions]
    assert caption_text.read(np.concatenate(parts), np.array([len(part) for part in parts])) == captions


def test_batches_hold_what_was_written_from_the_cache_and_without(tmp_path: Path) -> None:
    captions: list[object] = [["A dog."], ["Zwei Hünde \U0001f415", "x", "y " * 10_000], ["…"]]
    data = module(tmp_path, {"test": Written(captions)})
    for _ in range(2):  # built, then read
        batches = list(data.batches("test", torch.device("cpu")))
        found = [text for batch in batches for text in caption_text.read(batch.text.numpy(), batch.text_bytes.numpy())]
        assert found == captions
        assert [len(batch.images) for batch in batches] == [2, 1]
    assert list(tmp_path.rglob("ends.npy"))  # they did come from a cache


def test_augmentation_leaves_the_words(tmp_path: Path) -> None:
    data = module(tmp_path, {"train": Written([["left"], ["right"]], "train")}, augment=Augment(flip=True))
    (batch,) = iter(data.train_dataloader())
    moved = data.on_after_batch_transfer(data.transfer_batch_to_device(batch, torch.device("cpu"), 0), 0)
    assert sorted(caption_text.read(moved.text.numpy(), moved.text_bytes.numpy())) == [["left"], ["right"]]
    assert moved.images.dtype == torch.float32


@pytest.mark.parametrize("target", [[], 3, "a string", ["a", 3]])
def test_what_is_no_list_of_captions_is_refused(tmp_path: Path, target: object) -> None:
    with pytest.raises(DataError, match="sample 'test/0': Expected a list of one or more captions"):
        module(tmp_path, {"test": Written([target])}).open({"test": False})


def test_a_selection_looks_at_a_fixed_sample_of_val(tmp_path: Path) -> None:
    assert CaptionText.most_validated == 1000
    splits: dict[str, Split] = {role: Written([["a"]] * 1200, role) for role in ("val", "test")}
    data = module(tmp_path, splits)
    chosen = list(data.source("val").ids)
    assert len(set(chosen)) == 1000
    assert set(chosen) < set(splits["val"].ids)
    assert chosen != list(splits["val"].ids[:1000])  # not the first ones, which a dataset may have sorted
    assert list(module(tmp_path, splits).source("val").ids) == chosen
    assert len(data.source("test").ids) == 1200


def test_a_fixed_sample_keeps_its_members_when_the_split_grows() -> None:
    small, large = Written([["a"]] * 20), Written([["a"]] * 40)
    kept = set(FixedSample(large, 10).ids) & set(small.ids)
    assert kept <= set(FixedSample(small, 10).ids)
    whole = FixedSample(ArraySplit(["b", "a"], np.zeros((2, 4, 4, 3), np.uint8), np.array([7, 8])), 5)
    assert (list(whole.ids), [whole.target(place) for place in range(2)]) == (["b", "a"], [7, 8])

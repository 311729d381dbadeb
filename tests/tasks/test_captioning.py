"""The captioning task: what is learnt of captions, and what a model's words become."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cvbench.data import streets
from cvbench.data.base import DataError, DatasetInfo
from cvbench.language.vocabulary import BEGIN, END, PAD, SPECIAL, UNKNOWN
from cvbench.loading.caption_text import CaptionText, written
from cvbench.models.captioning.search import Generated
from cvbench.models.outputs import WithPenalty
from cvbench.spec import Recipe
from cvbench.tasks.attention import on_image
from cvbench.tasks.captioning import LONGEST, TOGETHER, CaptioningTask

WORDS = (*SPECIAL, "a", "dog", "runs", "cat")
A, DOG, RUNS, CAT = range(4, 8)


def info(vocabulary: tuple[str, ...] | None = WORDS) -> DatasetInfo:
    return DatasetInfo(
        name="written",
        task="captioning",
        protocol={},
        revision="0123456789ab",
        classes=(),
        split_sizes={"test": 3},
        licence="CC0-1.0",
        redistributable=True,
        input_size=(8, 8),
        vocabulary=vocabulary,
    )


class Says(nn.Module):
    """Writes the caption whose number is the image's grey; gives uniform logits in training."""

    def __init__(self, captions: list[list[int]], penalty: float | None = None) -> None:
        super().__init__()
        self.captions, self.penalty = captions, penalty
        self.seen: list[tuple[int, bool]] = []

    def forward(self, images: Tensor, captions: Tensor) -> Any:
        logits = torch.zeros(*captions.shape[:2], captions.shape[2] - 1, len(WORDS))
        return logits if self.penalty is None else WithPenalty(logits, torch.tensor(self.penalty))

    def generate(self, images: Tensor, *, greedy: bool = False) -> Generated:
        self.seen.append((len(images), greedy))
        longest = max(map(len, self.captions))
        rows = [self.captions[round(float(image.mean()) * 255)] for image in images]
        tokens = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
        return Generated(tokens, torch.zeros(len(images)), None)


def batch(captions: list[list[str]]) -> Any:
    images = torch.arange(len(captions)).reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8) / 255
    targets = [written(several) for several in captions]
    return CaptionText.batch(images, targets, torch.arange(len(captions)), torch.zeros(len(captions), 0))


def task_of(model: nn.Module, **recipe: Any) -> CaptioningTask:
    return CaptioningTask(model, info(), Recipe.model_validate(recipe), total_steps=1)


def test_captions_become_rows_of_numbers() -> None:
    targets = task_of(Says([])).model_targets(batch([["A dog runs.", "A bird!"], ["A cat."]]))
    assert targets.tolist() == [
        [[BEGIN, A, DOG, RUNS, END], [BEGIN, A, UNKNOWN, END, PAD]],
        [[BEGIN, A, CAT, END, PAD], [PAD] * 5],
    ]


def test_a_caption_of_ten_thousand_words_is_cut() -> None:
    targets = task_of(Says([])).model_targets(batch([["a dog " * 5_000]]))
    assert targets.shape == (1, 1, LONGEST + 1)
    assert targets[0, 0, -1] == DOG  # it went on: no END


def test_the_loss_is_the_mean_over_words_and_padding_counts_for_nothing() -> None:
    # uniform logits: every word costs log V, whatever there is of padding
    loss = task_of(Says([])).loss(batch([["a dog runs", "a"], ["a cat"]]))
    assert float(loss) == pytest.approx(math.log(len(WORDS)), rel=1e-6)
    penalised = task_of(Says([], penalty=0.5)).loss(batch([["a dog"]]))
    assert float(penalised) == pytest.approx(math.log(len(WORDS)) + 0.5, rel=1e-6)


def test_evidence_is_text_and_the_truth_is_as_it_was_written() -> None:
    task = task_of(Says([[A, DOG, END], [END], [A, CAT, RUNS]]))
    captions = [["A dog.", "Ein Hünd\u2026"], ["Nothing"], ["CAT"]]
    task.test_evidence.update(torch.arange(3), task.test_evidence_of(batch(captions)))
    evidence, truth = task.split_evidence(task.test_evidence.compute(), np.array(["x", "y", "z"]))
    assert evidence["captions"].tolist() == ["a dog", "", "a cat runs"]
    assert truth["references"].tolist() == ["A dog.", "Ein Hünd\u2026", "Nothing", "CAT"]
    assert truth["counts"].tolist() == [2, 1, 1]
    assert "training" not in truth


def test_validation_is_greedy_and_the_test_searches_among_always_as_many_images() -> None:
    model = Says([[A, END]] * 2 * TOGETHER)
    task = task_of(model)
    several = batch([["a"]] * (TOGETHER + 1))
    found = [task.evidence_of(several), task.test_evidence_of(several)]
    assert model.seen == [(TOGETHER, True)] * 2 + [(TOGETHER, False)] * 2
    assert [len(each["words"]) for each in found] == [TOGETHER + 1] * 2


def test_words_after_the_end_and_tokens_that_are_no_words_are_not_told() -> None:
    task = task_of(Says([[BEGIN, A, END, DOG, END]]))
    found = task.evidence_of(batch([["a"]]))
    assert (found["words"].tolist(), found["tokens"].tolist()) == ([1], [A])


def test_what_was_in_training_is_not_new() -> None:
    data = streets.build(Path(), task="captioning", height=32, width=32, train=3, val=0, test=2)
    task = CaptioningTask(Says([]), data.info.at((32, 32)), Recipe(), total_steps=1)
    task.look_at(data.splits)
    task.test_evidence.update(torch.arange(1), CaptioningTask.test_evidence_of(task, batch_of_nothing(task)))
    _, truth = task.split_evidence(task.test_evidence.compute(), np.array(["x"]))
    spoken = {text for place in range(3) for text in data.splits["train"].target(place)}
    assert truth["training"].dtype == np.uint64
    assert truth["training"].tolist() == sorted(set(truth["training"].tolist()))
    assert len(truth["training"]) == len(spoken)


def batch_of_nothing(task: CaptioningTask) -> Any:
    task.model = Says([[END]])
    return batch([["a"]])


def test_class_weights_and_a_missing_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="class_weights"):
        task_of(Says([])).balance_classes(streets.build(Path(), task="captioning", train=1).splits["train"])
    with pytest.raises(ValueError, match="written: Expected a vocabulary of training captions"):
        CaptioningTask(Says([]), info(None), Recipe(), total_steps=1)


def test_a_picture_shows_the_caption_and_where_the_model_looked() -> None:
    model = Says([[A, DOG, END]])
    attention = torch.zeros(TOGETHER, 3, 2, 2)
    attention[:, 0, 0, 0] = attention[:, 1, 1, 1] = 1.0

    def generate(images: Tensor, *, greedy: bool = False) -> Generated:
        return Generated(torch.tensor([[A, DOG, END]] * TOGETHER), torch.full((TOGETHER,), -1.5), attention)

    task = task_of(model)
    original = np.full((100, 120, 3), 90, np.uint8)
    plain = task.describe(torch.zeros(1, 3, 8, 8), original)
    assert plain.facts == {"caption": "a dog", "log_probability": 0.0}
    model.generate = generate  # type: ignore[method-assign]
    attended = task.describe(torch.zeros(1, 3, 8, 8), original)
    assert attended.facts == {"caption": "a dog", "log_probability": -1.5}
    assert attended.picture.height > plain.picture.height
    with_truth = task.describe(torch.zeros(1, 3, 8, 8), original, ["A dog.", "Another."])
    assert plain.picture.height < with_truth.picture.height


def test_attention_lies_where_the_model_looked_whatever_became_of_the_image() -> None:
    """A wide image, 100 x 400: the model looked at the top left quarter of its input alone."""
    places = torch.zeros(2, 2)
    places[0, 0] = 1.0
    shown, size = (50, 200), (100, 400)
    task = task_of(Says([]))
    for resize, (top, left, bottom, right) in {
        "stretch": (0, 0, 25, 100),  # a quarter of the image
        "fit": (0, 0, 50, 100),  # its content is 16 of the input's 64 rows: the left half, whole height
        "crop": (0, 75, 25, 100),  # its middle 100 x 100 pixels are seen
    }.items():
        task.recipe = Recipe(input_size=(64, 64), resize=resize, crop_fraction=1.0)
        task.info = info().at((64, 64))
        found = on_image(places, size, shown, task.geometry(*size))
        rows, columns = np.nonzero(found > 0.5)
        assert np.allclose([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1],
                           [top, left, bottom, right], atol=2), resize  # fmt: skip
    assert found[:, :70].max() == 0.0  # never seen


def test_one_image_cannot_be_scored() -> None:
    data = streets.build(Path(), task="captioning", height=32, width=32, train=1, val=0, test=1)
    with pytest.raises(DataError, match="split 'test': Expected at least two images, but got 1"):
        CaptionText.check_split(data.splits["test"], "streets: split 'test'")


def test_a_step_of_two_processes_is_a_step_of_one() -> None:
    """Each process has its own captions: the mean of their gradients is that of the whole batch."""

    class Strategy:
        def reduce(self, value: Tensor, reduce_op: str) -> Tensor:
            assert reduce_op == "mean"
            return torch.tensor(8.0, dtype=torch.float64)  # of 13 and 3 words, their ends included

    class Trainer:
        world_size, strategy = 2, Strategy()

    parts = batch([["a dog runs " * 4]]), batch([["a dog"]])
    whole = task_of(Says([])).loss(batch([["a dog runs " * 4], ["a dog"]]))
    task = task_of(Says([]))
    task._trainer = Trainer()  # type: ignore[assignment]
    assert float(sum(task.loss(part) for part in parts) / 2) == pytest.approx(float(whole), rel=1e-6)

"""What each task's contract refuses, on outputs made by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cvbench import catalog
from cvbench.contracts.base import BrokenContractError
from cvbench.contracts.subject import contract_of
from cvbench.language.vocabulary import BEGIN, END, PAD, UNKNOWN
from cvbench.models.captioning.search import Generated
from cvbench.models.outputs import WithAuxiliary, WithPenalty

IMAGES = torch.zeros(2, 3, 8, 12)
WORD = UNKNOWN + 1


def check(task: str, mode: str, output: Any, targets: Any = None) -> None:
    contract = contract_of(task)
    info = contract.info(task, (8, 12), 7)
    if mode == "train":
        contract.check_training(output, IMAGES, targets, info)
    else:
        contract.check_prediction(output, IMAGES, info)


def found(boxes: list[list[float]], labels: list[int], scores: list[float]) -> dict[str, Tensor]:
    return {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64),
            "scores": torch.tensor(scores)}  # fmt: skip


def written(*rows: list[int]) -> Generated:
    return Generated(torch.tensor(rows), torch.zeros(len(rows)), None)


NOTHING = found([], [], [])
BOX = [0.0, 0.0, 4.0, 4.0]
CAPTIONS = torch.zeros(2, 5, 6, dtype=torch.int64)


@pytest.mark.parametrize("task", [entry.name for entry in catalog.entries("tasks")])
def test_every_task_has_a_contract_and_can_be_profiled(task: str) -> None:
    contract = contract_of(task)
    info = contract.info(task, (8, 12), 7)
    assert (info.task, info.input_size) == (task, (8, 12))
    assert len(info.vocabulary or info.classes) == 7


@pytest.mark.parametrize(
    ("task", "mode", "output", "targets"),
    [
        ("classification", "train", WithAuxiliary(torch.zeros(2, 7), (torch.zeros(2, 7),), 0.3), None),
        ("classification", "eval", torch.zeros(2, 7), None),
        ("segmentation", "train", WithAuxiliary(torch.zeros(2, 7, 4, 6), (torch.zeros(2, 7, 1, 1),), 0.3), None),
        ("segmentation", "eval", torch.zeros(2, 7, 1, 2), None),
        ("detection", "train", {"loss": torch.tensor(1.0)}, None),
        ("detection", "eval", [found([BOX, BOX], [1, 7], [0.5, 0.4]), NOTHING], None),
        ("captioning", "train", torch.zeros(2, 5, 5, 7), CAPTIONS),
        ("captioning", "train", WithPenalty(torch.zeros(2, 5, 5, 7), torch.tensor(0.0)), CAPTIONS),
        ("captioning", "eval", written([WORD, WORD, END], [END, PAD, PAD]), None),
    ],
)
def test_what_keeps_the_contract(task: str, mode: str, output: Any, targets: Any) -> None:
    check(task, mode, output, targets)


@pytest.mark.parametrize(
    ("task", "mode", "output", "told"),
    [
        ("classification", "train", WithAuxiliary(torch.zeros(2, 7), (torch.zeros(2, 6),), 0.3), "got (2, 6)"),
        ("classification", "train", {"out": torch.zeros(2, 7)}, "to be a tensor (2, 7), but got dict"),
        ("classification", "eval", torch.full((2, 7), torch.nan), "Expected finite logits, but 14 of 14"),
        ("segmentation", "eval", torch.zeros(2, 7), "(2, 7, any, any), but got (2, 7)"),
        ("segmentation", "train", torch.zeros(2, 6, 8, 12), "got (2, 6, 8, 12)"),
        ("detection", "train", [NOTHING, NOTHING], "Expected a dict of losses in training mode, but got list of 2"),
        ("detection", "train", {"loss": torch.zeros(2)}, "the loss 'loss' to be a tensor (), but got (2,)"),
        ("detection", "eval", [NOTHING], "Expected a list of 2 dicts in eval mode, but got list of 1"),
        ("detection", "eval", [{"boxes": torch.zeros(0, 4)}] * 2, "but got dict with boxes"),
        ("detection", "eval", [found([BOX], [1], [0.5, 0.4]), NOTHING], "boxes to be a tensor (2, 4), but got (1, 4)"),
        ("detection", "eval", [found([BOX], [0], [0.5]), NOTHING], "Expected labels in 1..7"),
        ("detection", "eval", [found([BOX], [8], [0.5]), NOTHING], "Expected labels in 1..7"),
        ("detection", "eval", [found([[4.0, 0.0, 0.0, 4.0]], [1], [0.5]), NOTHING], "right < left"),
        ("detection", "eval", [found([BOX], [1], [torch.nan]), NOTHING], "Expected finite scores"),
        ("captioning", "eval", torch.zeros(2, 3), "to return Generated, but got Tensor"),
        ("captioning", "eval", written([WORD, 7, END], [END, PAD, PAD]), "Expected tokens in 0..6, but got 0 to 7"),
        ("captioning", "eval", written([BEGIN, WORD, END], [END, PAD, PAD]), "BEGIN or UNKNOWN"),
        ("captioning", "eval", written([UNKNOWN, WORD, END], [END, PAD, PAD]), "BEGIN or UNKNOWN"),
        ("captioning", "eval", written([WORD, WORD, WORD], [END, PAD, PAD]), "one END, then PAD"),
        ("captioning", "eval", written([WORD, PAD, END], [END, PAD, PAD]), "one END, then PAD"),
        ("captioning", "eval", written([WORD, END, WORD], [END, PAD, PAD]), "one END, then PAD"),
        ("captioning", "eval", written([WORD, END]), "tokens to be a tensor (2, any), but got (1, 2)"),
    ],
)
def test_what_breaks_it(task: str, mode: str, output: Any, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        check(task, mode, output)


def test_captions_are_one_word_shorter_in_logits() -> None:
    with pytest.raises(BrokenContractError, match=r"logits to be a tensor \(2, 5, 5, 7\), but got \(2, 5, 6, 7\)"):
        check("captioning", "train", torch.zeros(2, 5, 6, 7), CAPTIONS)


class Peeks(nn.Module):
    """Tells of each word what comes after the next: `ahead` words from it."""

    def __init__(self, ahead: int) -> None:
        super().__init__()
        self.ahead = ahead

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        return nn.functional.one_hot(captions.roll(-self.ahead, dims=-1)[..., :-1], 20).float()


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_captioner_that_sees_words_to_come_is_found(ahead: int) -> None:
    captions = torch.arange(6, 14).expand(2, 3, 8).clone()

    class Scenes:
        images = IMAGES

    class Task:
        model = Peeks(ahead)

        def laid_out(self, images: Tensor) -> Tensor:
            return images

        def model_targets(self, batch: Any) -> Tensor:
            return captions

    asked = contract_of("captioning").more(Task(), Scenes())["words to come are not seen"]  # type: ignore[arg-type]
    if ahead:
        with pytest.raises(BrokenContractError, match="changing those from 4 on changed them"):
            asked()
    else:
        asked()

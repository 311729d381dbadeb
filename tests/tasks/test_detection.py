"""The detection task: what a model says, in pixels of the image on disk, and what it is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cvbench.data import streets
from cvbench.data.boxes import Boxes
from cvbench.loading.box_rows import BoxRows
from cvbench.loading.geometry import evaluation_geometry, resize
from cvbench.spec import Recipe
from cvbench.tasks.detection import DetectionTask

SIZE = (48, 80)


class Told(nn.Module):
    """Says of each image what it was told to, in turn, and remembers what it was trained on."""

    def __init__(self, *says: dict[str, Tensor]) -> None:
        super().__init__()
        self.says = list(says)
        self.seen: Any = None

    def forward(self, images: Tensor, targets: Any = None) -> Any:
        if targets is not None:
            self.seen = targets
            return {"boxes": torch.tensor(0.25), "classes": torch.tensor(1.5)}
        return [self.says.pop(0) for _ in images]


def said(boxes: list[list[float]], labels: list[int], scores: list[float]) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "scores": torch.tensor(scores),
    }


def task_of(model: nn.Module, resize_to: str = "stretch") -> DetectionTask:
    info = streets.build(Path(), task="detection", train=0, val=0, test=1).info.at(SIZE)
    return DetectionTask(model, info, Recipe(input_size=SIZE, resize=resize_to), total_steps=1)


def batch_of(pictures: list[np.ndarray], boxes: list[Boxes], recipe: Recipe) -> Any:
    geometries = [evaluation_geometry(*picture.shape[:2], recipe) for picture in pictures]
    images = np.stack([resize(picture, geometry) for picture, geometry in zip(pictures, geometries, strict=True)])
    rows = [
        BoxRows.prepare(things, (picture.shape[0], picture.shape[1]), geometry, training=False)
        for things, picture, geometry in zip(boxes, pictures, geometries, strict=True)
    ]
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return BoxRows.batch(tensors, rows, torch.arange(len(pictures)), torch.zeros(len(pictures), 0))


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def test_evidence_is_in_pixels_of_the_image_on_disk_and_in_the_order_of_the_split() -> None:
    model = Told(
        said([[8.0, 12.0, 40.0, 48.0], [0.0, 0.0, 80.0, 48.0]], [2, 4], [0.5, 0.75]),
        said([], [], []),
        said([[-4.0, 10.0, 90.0, 20.0]], [1], [0.125]),
    )
    task = task_of(model)
    pictures = [grey(96, 320), grey(24, 40), grey(480, 80)]  # 2 x 4 times as large, half as large, 10 times as high
    things = [Boxes.of([(1.0, 2.0, 3.5, 4.0)], [3], area=[7.0], crowd=[True]), Boxes.of([], []),
              Boxes.of([(5.0, 6.0, 7.0, 8.0), (0.5, 0.25, 9.0, 9.0)], [0, 1], difficult=[False, True])]  # fmt: skip
    batch = batch_of(pictures, things, task.recipe)
    metric = task.new_evidence()
    metric.update(batch.index, task.evidence_of(batch))
    evidence, truth = task.split_evidence(metric.compute(), np.array(["a", "b", "c"]))
    assert evidence["counts"].tolist() == [2, 0, 1]
    # By hand: the surest first; x times 4, y times 2; the last cut at 0 and 80, y times 10.
    assert evidence["boxes_xywh"].tolist() == [[0, 0, 320, 96], [32, 24, 128, 72], [0, 100, 80, 100]]
    assert evidence["scores"].tolist() == [0.75, 0.5, 0.125]
    assert evidence["labels"].tolist() == [3, 1, 0]
    assert truth["counts"].tolist() == [1, 0, 2]
    assert truth["boxes_xywh"].tolist() == [[1, 2, 3.5, 4], [5, 6, 7, 8], [0.5, 0.25, 9, 9]]
    assert (truth["labels"].tolist(), truth["area"].tolist()) == ([3, 0, 1], [7.0, 56.0, 81.0])
    assert truth["crowd"].tolist() == [True, False, False]
    assert truth["difficult"].tolist() == [False, False, True]
    assert truth["classes"].tolist() == ["vehicle", "pedestrian", "bike", "sign symbol"]


def test_the_hundred_surest_count() -> None:
    scores = torch.linspace(0, 1, 150)[torch.randperm(150, generator=torch.Generator().manual_seed(0))]
    boxes = [[float(place), 0.0, place + 1.0, 1.0] for place in range(150)]
    task = task_of(Told(said(boxes, [1] * 150, scores.tolist())))
    batch = batch_of([grey(*SIZE)], [Boxes.of([], [])], task.recipe)
    found = task.evidence_of(batch)
    assert found["counts"].tolist() == [100]
    assert found["scores"].tolist() == sorted(scores.tolist(), reverse=True)[:100]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_model_that_says_nonsense_is_stopped(broken: float) -> None:
    task = task_of(Told(said([[0.0, 0.0, 1.0, 1.0]], [1], [broken])))
    batch = batch_of([grey(*SIZE)], [Boxes.of([], [])], task.recipe)
    with pytest.raises(ValueError, match="Expected finite scores, but the model gave NaN or infinity"):
        task.evidence_of(batch)


@pytest.mark.parametrize(
    ("box", "label", "message"),
    [
        ([9.0, 0.0, 1.0, 1.0], 1, "Expected boxes as left, top, right, bottom"),
        ([0.0, 0.0, 1.0, 1.0], 0, r"Expected labels in 1\.\.4, 0 being background, but the model gave 0"),
        ([0.0, 0.0, 1.0, 1.0], 5, "but the model gave 5"),
    ],
)
def test_a_model_of_another_contract_is_told_so(box: list[float], label: int, message: str) -> None:
    task = task_of(Told(said([box], [label], [0.5])))
    batch = batch_of([grey(*SIZE)], [Boxes.of([], [])], task.recipe)
    with pytest.raises(ValueError, match=message):
        task.evidence_of(batch)


def test_the_losses_are_summed_and_labels_begin_at_one() -> None:
    model = Told()
    task = task_of(model)
    things = [Boxes.of([(0.0, 0.0, 40.0, 24.0), (8.0, 8.0, 8.0, 8.0)], [3, 0]), Boxes.of([], [])]
    batch = batch_of([grey(*SIZE), grey(*SIZE)], things, task.recipe)
    assert float(task.loss(batch)) == 1.75
    assert [target["labels"].tolist() for target in model.seen] == [[4, 1], []]
    assert [target["boxes"].shape for target in model.seen] == [(2, 4), (0, 4)]
    assert model.seen[0]["boxes"][0].tolist() == [0.0, 0.0, 40.0, 24.0]


def test_what_is_said_of_one_image() -> None:
    task = task_of(Told(said([[0.0, 12.0, 48.0, 36.0], [1.0, 1.0, 2.0, 2.0]], [2, 1], [0.9, 0.1])), "fit")
    original = grey(96, 96)  # fitted in, it has 48 x 48 pixels of the input
    told = task.describe(torch.zeros(1, 3, *SIZE), original, Boxes.of([(10.0, 10.0, 30.0, 30.0)], [1]))
    assert told.facts == {
        "boxes": [
            {"label": "pedestrian", "score": 0.9, "box_xywh": [0.0, 24.0, 96.0, 48.0]},
            {"label": "vehicle", "score": 0.1, "box_xywh": [2.0, 2.0, 2.0, 2.0]},
        ]
    }
    # The picture and the truth beside it, five times as large: the frame of the first box at its place, in colour.
    pixels = np.asarray(told.picture).astype(int)
    assert pixels.shape[1] == 2 * 480
    frame = pixels[120 + 48 * 5 - 1, 100:300]  # its lower edge
    assert (frame.max(axis=1) - frame.min(axis=1) > 60).all()
    assert (pixels[120 + 60 : 120 + 200, 100:300] == 90).all()  # nothing inside
    assert (pixels[5:25, 5:25] == 90).all()  # the unsure one is not drawn


def test_weighing_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected recipe\.class_weights to be 'none' for detection"):
        task_of(Told()).balance_classes(streets.build(Path(), task="detection").splits["train"])

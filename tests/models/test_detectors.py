"""Detectors on torchvision's classes: the contract at their border, what they learn, published heads, no downloads."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models._api import WeightsEnum
from torchvision.models._meta import _COCO_CATEGORIES
from torchvision.ops import FrozenBatchNorm2d

from cvbench.data.base import DatasetInfo
from cvbench.models.detection import faster_rcnn, fcos, retinanet, ssd, zoo
from cvbench.models.detection.detector import NormalisedDetector, PadOnly
from cvbench.models.weights import backbone_of, load_weights

OURS = [faster_rcnn, fcos, retinanet, ssd]
COCO_IDS = [index for index, name in enumerate(_COCO_CATEGORIES) if name not in ("__background__", "N/A")]
COCO = [_COCO_CATEGORIES[index] for index in COCO_IDS]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may ask the network for anything."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"download of {args}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


def give(weights: WeightsEnum, **_: Any) -> dict[str, Tensor]:
    """A random state of the right architecture instead of a published one; its batch norms have seen something."""
    name = type(weights).__name__.removesuffix("_Weights").lower()
    torch.manual_seed(123)
    state = get_model(name, weights=None, **({"weights_backbone": None} if "fpn" in name or "ssd" in name else {}))
    tensors = state.state_dict()
    for key, tensor in tensors.items():
        if "running_var" in key:
            tensor.uniform_(0.3, 1.0)
    return tensors


@pytest.fixture
def published(monkeypatch):
    monkeypatch.setattr(WeightsEnum, "get_state_dict", give)


def labelled(info: DatasetInfo, names: list[str]) -> DatasetInfo:
    return dataclasses.replace(info, classes=tuple(names))


def target(*boxes: tuple[float, float, float, float, int]) -> dict[str, Tensor]:
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 5)
    return {"boxes": rows[:, :4], "labels": rows[:, 4].long()}


class Repeats(nn.Module):
    """A network that finds the targets it was last given, and many more of falling score."""

    def forward(self, images: Tensor, targets: list[dict[str, Tensor]] | None = None) -> Any:
        if targets is not None:
            self.seen = targets
            return {"loss": images.sum()}
        scores = torch.arange(150.0) / 150
        return [{"boxes": torch.rand(150, 4), "labels": torch.arange(150) % 3, "scores": scores} for _ in images]


@pytest.mark.parametrize(("first_label", "shown", "told"), [(0, [0, 2], [1, 3]), (1, [1, 3], [0, 2])])
def test_labels_at_the_border_begin_at_one(make_info, first_label, shown, told):
    model = NormalisedDetector(Repeats(), make_info(3), first_label=first_label)
    given = target((0, 0, 5, 5, 1), (1, 1, 9, 9, 3))
    model.train()(torch.rand(1, 3, 32, 32), [given])
    assert model.network.seen[0]["labels"].tolist() == shown
    assert given["labels"].tolist() == [1, 3]  # the caller's own are left alone
    (found,) = model.eval()(torch.rand(1, 3, 32, 32))
    assert len(found["scores"]) == 100
    assert torch.equal(found["scores"], found["scores"].sort(descending=True).values)
    assert found["scores"][0] == 149 / 150
    assert found["labels"][0] == 149 % 3 + 1 - first_label
    with pytest.raises(ValueError, match="Expected targets in training mode"):
        model.train()(torch.rand(1, 3, 32, 32))


def test_images_are_padded_at_the_bottom_and_right_and_nothing_else():
    images = torch.rand(2, 3, 33, 40)
    padded, targets = PadOnly(32)(images, None)
    assert (padded.tensors.shape, padded.image_sizes, targets) == ((2, 3, 64, 64), [(33, 40)] * 2, None)
    assert torch.equal(padded.tensors[:, :, :33, :40], images)
    assert not padded.tensors[:, :, 33:].any()
    assert not padded.tensors[:, :, :, 40:].any()


@pytest.mark.parametrize("module", OURS, ids=lambda module: module.__name__.rpartition(".")[2])
@pytest.mark.usefixtures("deterministic")
def test_the_contract_on_images_of_any_size_with_and_without_boxes(make_info, module: ModuleType):
    torch.manual_seed(0)
    model = module.build(make_info(3, (45, 61), channels=1), score_threshold=0.0)
    images = torch.rand(3, 1, 45, 61)
    targets = [target((3, 4, 20, 25, 1), (30, 10, 44, 31, 3)), target(), target((0, 0, 61, 45, 2))]
    losses = model.train()(images, targets)
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    for found in model.eval()(images):
        assert found["boxes"].dtype == found["scores"].dtype == torch.float32
        assert found["labels"].dtype == torch.int64
        assert 0 < len(found["scores"]) <= 100
        assert set(found["labels"].tolist()) <= {1, 2, 3}
        x0, y0, x1, y1 = found["boxes"].unbind(1)
        assert (x0 >= 0).all() and (y0 >= 0).all() and (x1 <= 61).all() and (y1 <= 45).all()  # noqa: PT018
    model.train()
    with torch.no_grad():
        assert all(loss.isfinite() for loss in model(images, [target()] * 3).values())
    assert backbone_of(model) is model.network.backbone.body


@pytest.mark.parametrize("module", OURS, ids=lambda module: module.__name__.rpartition(".")[2])
@pytest.mark.usefixtures("deterministic")
def test_a_thing_that_was_learnt_is_found_where_it_is_and_called_by_its_label(make_info, module: ModuleType):
    """The first and the last class: a label that is off by one at the border would be told as another, or get lost."""
    torch.manual_seed(0)
    model = module.build(make_info(3, (64, 64)), width=8).train()
    images = torch.full((1, 3, 64, 64), 0.4)
    images[:, 0, 6:30, 6:30], images[:, 2, 34:58, 30:54] = 1.0, 1.0
    images = images.repeat(4, 1, 1, 1)
    wanted = target((6, 6, 30, 30, 1), (30, 34, 54, 58, 3))
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(80):
        loss = sum(model(images, [wanted] * 4).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = model.eval()(images)[0]
    for label, box in ((1, wanted["boxes"][0]), (3, wanted["boxes"][1])):
        best = found["boxes"][found["labels"] == label][0]
        assert (best - box).abs().max() < 6
    assert sorted(found["labels"][:2].tolist()) == [1, 3]


@pytest.mark.parametrize("module", OURS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_librarys_backbone_brings_statistics_and_reloads_without_weights(make_info, module: ModuleType):
    model = module.build(make_info(2, (64, 64), channels=1), backbone="timm/tf_efficientnet_lite0", freeze_norm=True)
    assert model.mean.flatten().tolist() == [0.5] * 3
    assert len(model.eval()(torch.rand(1, 1, 64, 64))) == 1


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (fcos, {"pyramid_channels": 48}, "multiple of 32, but got 48"),
        (retinanet, {"pyramid_channels": 48}, "multiple of 32, but got 48"),
        (retinanet, {"convolutions": 5}, "1 to 4, but got 5"),
        (ssd, {"scales": (0.1, 0.2)}, r"Expected 4 `scales` of ssd, one more than strides, but got \[0.1, 0.2\]"),
        (faster_rcnn, {"backbone": "resnet18"}, "Expected a backbone"),
    ],
)
def test_mistakes_are_named(make_info, module: ModuleType, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        module.build(make_info(3), **options)


QUICK = ("fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large", "fcos_resnet50_fpn")
SLOW = ("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2",
        "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2", "ssd300_vgg16")  # fmt: skip
ALL = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def size_of(name: str) -> tuple[int, int]:
    return zoo.SIZES.get(name, (64, 96))


@pytest.mark.parametrize("name", ALL)
def test_torchvisions_detectors_keep_the_contract_and_download_nothing(make_info, name: str):
    height, width = size_of(name)
    model = zoo.build(make_info(3, (height, width)), f"torchvision/{name}")
    images = torch.rand(2, 3, height, width)
    losses = model.train()(images, [target((3, 4, 40, 45, 1), (30, 10, 60, 60, 3)), target()])
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())
    for found in model.eval()(images):
        assert len(found["scores"]) <= 100
        assert set(found["labels"].tolist()) <= {1, 2, 3}
    assert torch.allclose(model.mean.flatten(), torch.tensor([0.4] * 3))  # the dataset's


SINGLE_PASS = [name for name in ALL if "fasterrcnn" not in str(name)]


@pytest.mark.parametrize("name", SINGLE_PASS)
@pytest.mark.usefixtures("published")
def test_published_heads_say_what_they_say_of_the_datasets_classes(make_info, name: str):
    """Equal to torchvision's own model with the same weights, whose labels are COCO's category ids.

    Of a softmax over 91 outputs ours has 81: the ten others, which were never learnt, are silenced in both.
    """
    height, width = size_of(name)
    weights = WeightsEnum.get_state_dict
    unsure = {"score_thresh": 1e-3}  # as random weights are

    def silenced(self: WeightsEnum, **_: Any) -> dict[str, Tensor]:
        state, (_, head, first_label) = weights(self), zoo.FAMILIES[name.partition("_")[0]]
        unused = [index for index in range(first_label, 91) if index not in COCO_IDS]
        for key, tensor in state.items():
            if key.startswith(head) and tensor.ndim == 1 and "bbox" not in key and zoo.CLASS_TENSOR.search(key):
                tensor.view(-1, 91)[:, unused] = -1e4
        return state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WeightsEnum, "get_state_dict", silenced)
        sizes = {} if name in zoo.SIZES else {"min_size": 64, "max_size": 96}  # so that it does not resize
        own = get_model(name, weights="COCO_V1", **sizes, **unsure)
        info = labelled(make_info(80, (height, width)), COCO)
        model = zoo.build(info, f"torchvision/{name}", "COCO_V1", **unsure)
    assert model.reinitialised == ()
    images = torch.rand(2, 3, height, width)
    with torch.no_grad():
        expected, found = own.eval()(list(images)), model.eval()(images)
    for theirs, ours in zip(expected, found, strict=True):
        most = min(100, len(theirs["scores"]))
        assert len(ours["scores"]) == most > 0
        torch.testing.assert_close(ours["scores"], theirs["scores"].sort(descending=True).values[:most])
        ids = torch.tensor([0, *COCO_IDS])[ours["labels"]]
        for label, score, box in zip(ids, ours["scores"], ours["boxes"], strict=True):
            same = (theirs["labels"] == label) & ((theirs["scores"] - score).abs() < 1e-4)
            assert same.any()
            assert (theirs["boxes"][same] - box).abs().amax(dim=1).min() < 0.01


@pytest.mark.usefixtures("published")
def test_a_published_second_head_says_what_it_says_of_the_datasets_classes(make_info):
    """Scores and boxes of a subset, in the dataset's own order; 17, 1 and 90 are COCO's ids of these classes."""
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    info = labelled(make_info(3, (64, 96)), ["cat", "person", "toothbrush"])
    ours = zoo.build(info, f"torchvision/{name}", "COCO_V1").network.roi_heads.box_predictor
    theirs = get_model(name, weights="COCO_V1").roi_heads.box_predictor
    features = torch.rand(5, 1024)
    (scores, boxes), (all_scores, all_boxes) = ours(features), theirs(features)
    torch.testing.assert_close(scores, all_scores[:, [0, 17, 1, 90]])
    torch.testing.assert_close(boxes.view(5, 4, 4), all_boxes.view(5, 91, 4)[:, [0, 17, 1, 90]])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.usefixtures("published")
def test_other_classes_get_fresh_layers_and_a_run_reloads_into_the_bare_model(make_info, tmp_path, name: str):
    info = labelled(make_info(2, size_of(name)), ["person", "hobbit"])
    model = zoo.build(info, f"torchvision/{name}", "COCO_V1").eval()
    layers = {"fasterrcnn": 4, "retinanet": 2, "fcos": 2, "ssd300": 12, "ssdlite320": 12}[name.partition("_")[0]]
    assert len(model.reinitialised) == layers
    assert all(f"network.{tensor}" in model.state_dict() for tensor in model.reinitialised)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    bare = zoo.build(info, f"torchvision/{name}").eval()
    assert load_weights(bare, tmp_path / "model.pt", strict=True) == []
    images = torch.rand(1, 3, *size_of(name))
    with torch.no_grad():
        torch.testing.assert_close(bare(images), model(images))


def test_a_batch_norm_without_epsilon_says_the_same_as_one_with():
    frozen = FrozenBatchNorm2d(3, eps=0.0)
    frozen.running_var.copy_(torch.tensor([1e-4, 3e-5, 1.0]))
    maps = torch.rand(1, 3, 4, 4)
    expected = frozen(maps)
    zoo._same_epsilon(nn.Sequential(frozen))
    torch.testing.assert_close(frozen(maps), expected)
    usual = nn.BatchNorm2d(3).eval()
    usual.load_state_dict(frozen.state_dict(), strict=False)
    torch.testing.assert_close(usual(maps), expected)


@pytest.mark.usefixtures("published")
def test_published_statistics_and_frozen_layers(make_info):
    model = zoo.build(make_info(2, (64, 64)), "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn", "COCO_V1")
    torch.testing.assert_close(model.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    assert not all(parameter.requires_grad for parameter in model.parameters())
    lite = zoo.build(make_info(2, (320, 320)), "torchvision/ssdlite320_mobilenet_v3_large", "COCO_V1")
    assert lite.std.flatten().tolist() == [0.5] * 3


@pytest.mark.usefixtures("published")
def test_a_pretrained_backbone_is_asked_for(make_info):
    name = "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn"
    model = zoo.build(make_info(2, (64, 64)), name, weights_backbone="IMAGENET1K_V1")
    torch.testing.assert_close(model.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.manual_seed(123)
    expected = get_model("mobilenet_v3_large").state_dict()["features.4.block.0.0.weight"]
    assert torch.equal(backbone_of(model).state_dict()["4.block.0.0.weight"], expected)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("torchvision/fasterrcnn_resnet51_fpn", {}, "no detection model .* Did you mean fasterrcnn_resnet50_fpn"),
        ("torchvision/maskrcnn_resnet50_fpn", {}, "no detection model 'maskrcnn_resnet50_fpn'"),
        ("timm/resnet18", {}, "Expected a detector torchvision/NAME, but got 'timm/resnet18'"),
        ("torchvision/fcos_resnet50_fpn", {"weights": "COCO_V2"}, "no weights 'COCO_V2'. Published weights: COCO_V1"),
        ("torchvision/fcos_resnet50_fpn", {"min_size": 800}, "`min_size` has no effect here; give `recipe.input_size`"),
        ("torchvision/ssd300_vgg16", {}, r"Expected recipe.input_size \[300, 300\] .* but got \[32, 32\]"),
        (
            "torchvision/fcos_resnet50_fpn",
            {"score_tresh": 0.1},
            "has no option 'score_tresh'. Did you mean score_thresh",
        ),
        ("torchvision/fcos_resnet50_fpn", {"num_classes": 5}, "has no option 'num_classes'"),
        (
            "torchvision/fcos_resnet50_fpn",
            {"trainable_backbone_layers": 9, "weights_backbone": "DEFAULT"},
            "built with",
        ),
    ],
)
def test_mistakes_with_names_weights_and_sizes(make_info, name: str, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        zoo.build(make_info(3), name, **options)


def test_ssdlite_has_no_other_backbone(make_info):
    with pytest.raises(ValueError, match="another architecture"):
        zoo.build(make_info(3, (320, 320)), "torchvision/ssdlite320_mobilenet_v3_large", weights_backbone="DEFAULT")


@pytest.mark.parametrize("module", OURS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_boxes_are_float32_in_mixed_precision(make_info, module):
    """bfloat16 has steps of 4 pixels beyond 512: boxes on that grid alone would be its rounding."""
    torch.manual_seed(0)
    model = module.build(make_info(3, (64, 768)), score_threshold=0.0)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = model.eval()(torch.rand(1, 3, 64, 768))
    assert found["boxes"].dtype == torch.float32
    far = found["boxes"][found["boxes"] > 512]
    assert len(far)
    assert (far % 4 != 0).any()

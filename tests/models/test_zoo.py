"""Models passed through from torchvision, timm and smp: names, counts, heads, auxiliary losses, no downloads."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import get_model, list_models
from torchvision.models._api import WeightsEnum

from cvbench.models import zoo as shared
from cvbench.models.classification import zoo
from cvbench.models.outputs import WithAuxiliary
from cvbench.models.segmentation import fcn
from cvbench.models.segmentation import zoo as segmentation_zoo
from cvbench.models.torchvision_names import NAMES


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may ask the network for anything."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"download of {args}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr("huggingface_hub.file_download.http_get", refuse)


@pytest.fixture
def published(monkeypatch):
    """torchvision's weights enums give a random state of the right architecture instead of downloading one."""

    def give(self: Any, **_: Any) -> dict[str, torch.Tensor]:
        name = type(self).__name__.removesuffix("_Weights").lower()
        options = {"aux_logits": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
        options |= {"weights_backbone": None} if "fcn" in name or "lraspp" in name else {}
        options |= {"aux_loss": True} if "fcn" in name else {}
        torch.manual_seed(123)
        with torch.device("cpu"):
            return get_model(name, weights=None, **options).state_dict()

    monkeypatch.setattr(WeightsEnum, "get_state_dict", give)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_static_table_is_torchvisions():
    assert NAMES["classification"] == tuple(list_models(module=torchvision.models))
    assert NAMES["segmentation"] == tuple(list_models(module=torchvision.models.segmentation))
    detectors = list_models(module=torchvision.models.detection)
    assert NAMES["detection"] == tuple(name for name in detectors if not name.startswith(("mask", "keypoint")))


@pytest.mark.parametrize(
    ("name", "millions"),
    [("alexnet", 61.1), ("vgg19", 143.7), ("resnet18", 11.7), ("resnet50", 25.6), ("resnet152", 60.2)],
)
def test_published_parameter_counts(make_info, name, millions):
    with torch.device("meta"):
        model = zoo.build(make_info(1000, (224, 224)), f"torchvision/{name}")
    assert round(count(model) / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("name", "size", "inference", "training", "weight", "heads"),
    [("googlenet", 224, 6_624_904, 13_004_888, 0.3, 2), ("inception_v3", 299, 23_834_568, 27_161_264, 0.4, 1)],
)
def test_auxiliary_heads_train_and_do_not_predict(make_info, name, size, inference, training, weight, heads):
    with torch.device("meta"):
        model = zoo.build(make_info(1000, (size, size)), f"torchvision/{name}")
        assert count(model) == training
        unused = tuple(f"network.{prefix}" for prefix in model.training_only)
        assert sum(p.numel() for n, p in model.named_parameters() if not n.startswith(unused)) == inference
        images = torch.empty(2, 3, size, size)
        output = model.train()(images)
        assert isinstance(output, WithAuxiliary)
        assert (len(output.auxiliary), output.weight) == (heads, weight)
        assert {tuple(logits.shape) for logits in (output.logits, *output.auxiliary)} == {(2, 1000)}
        assert isinstance(model.eval()(images), torch.Tensor)
        plain = zoo.build(make_info(1000, (size, size)), f"torchvision/{name}", aux_logits=False)
        assert count(plain) == inference
        assert isinstance(plain.train()(images), torch.Tensor)


# One of each family: where a member's size is another, its head is not.
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
    "wide_resnet50_2",
]


@pytest.mark.parametrize(
    "name",
    [name if name in FAMILIES else pytest.param(name, marks=pytest.mark.slow) for name in NAMES["classification"]],
)
def test_classifiers_get_the_datasets_classes(name):
    """Built with 7 classes, and the 1000-class head replaced by one of 7: the same tensors."""
    options = {"aux_logits": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device(
        "cpu" if name.startswith("regnet") else "meta"
    ):  # torchvision's RegNet computes its widths by tensors
        built = get_model(name, num_classes=7, **options)
        replaced = get_model(name, **options)
        names = shared.replace_heads(replaced, 1000, 7)
    shapes = {key: tensor.shape for key, tensor in built.state_dict().items()}
    assert {key: tensor.shape for key, tensor in replaced.state_dict().items()} == shapes
    assert names
    assert all(shapes[key][0] == 7 for key in names)


def test_pretrained_weights_bring_their_statistics_and_body(make_info, published):
    model = zoo.build(make_info(7, (64, 64)), "torchvision/resnet18", "IMAGENET1K_V1")
    torch.testing.assert_close(model.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(model.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))
    torch.manual_seed(123)
    assert torch.equal(model.network.conv1.weight, get_model("resnet18").conv1.weight)
    assert model.reinitialised == ("fc.weight", "fc.bias")
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 7)


def test_pretrained_weights_of_the_datasets_own_classes_keep_their_head(make_info, published):
    model = zoo.build(make_info(1000, (64, 64)), "torchvision/resnet18", "DEFAULT")
    torch.manual_seed(123)
    assert torch.equal(model.network.fc.weight, get_model("resnet18").fc.weight)
    assert model.reinitialised == ()


def test_pretrained_googlenet_trains_fresh_auxiliary_heads(make_info, published):
    model = zoo.build(make_info(7, (64, 64)), "torchvision/googlenet", "IMAGENET1K_V1")
    assert {"fc.weight", "aux1.fc2.weight", "aux2.fc2.bias"} <= set(model.reinitialised)
    assert isinstance(model(torch.rand(2, 3, 64, 64)), WithAuxiliary)


@pytest.mark.parametrize("options", [{}, {"transform_input": True}])
@pytest.mark.parametrize(("name", "side"), [("googlenet", 64), ("inception_v3", 299)])
def test_networks_of_other_statistics_than_imagenets_get_them(make_info, published, name, side, options):
    """torchvision's own model, which undoes ImageNet's normalisation inside, on ImageNet-normalised images."""
    model = zoo.build(make_info(1000, (side, side)), f"torchvision/{name}", "IMAGENET1K_V1", **options).eval()
    own = get_model(name, weights="IMAGENET1K_V1").eval()
    assert own.transform_input
    assert model.network.transform_input == bool(options)
    images = torch.rand(2, 3, side, side)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        logits = model(images)
        expected = own((images - mean[:, None, None]) / std[:, None, None])
    assert expected.std() > 1e-3
    torch.testing.assert_close(logits, expected)


def test_a_pretrained_googlenet_as_backbone_gets_its_statistics(make_info, published):
    model = fcn.build(make_info(5, (64, 64)), backbone="torchvision/googlenet", backbone_weights="IMAGENET1K_V1").eval()
    own = get_model("googlenet", weights="IMAGENET1K_V1").eval()
    images = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    kept = []
    own.inception5b.register_forward_hook(lambda module, inputs, output: kept.append(output))
    with torch.no_grad():
        maps = model.network.backbone(model.normalise(images))
        own((images - mean[:, None, None]) / std[:, None, None])
    torch.testing.assert_close(maps["32"], kept[0])


def test_statistics_can_be_given_for_a_local_file(make_info):
    model = zoo.build(make_info(7, (64, 64)), "torchvision/squeezenet1_1", mean=[0.5, 0.5, 0.5])
    assert model.mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert model.std.flatten().tolist() == pytest.approx([0.2, 0.2, 0.2])


def test_sizes_that_an_architecture_depends_on_follow_the_dataset(make_info):
    with torch.device("meta"):
        assert zoo.build(make_info(7, (48, 48)), "torchvision/vit_b_16")(torch.empty(2, 3, 48, 48)).shape == (2, 7)
        with pytest.raises(ValueError, match=r"vit_b_16 cannot take images of 64x96: Wrong image height"):
            zoo.build(make_info(7, (64, 96)), "torchvision/vit_b_16")
        with pytest.raises(ValueError, match=r"alexnet cannot take images of 32x32: .*too small.*larger `input_size`"):
            zoo.build(make_info(), "torchvision/alexnet")
        assert zoo.build(make_info(7, (48, 64), 1), "torchvision/resnet18")(torch.empty(2, 1, 48, 64)).shape == (2, 7)


def test_timm(make_info, monkeypatch):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        model = zoo.build(make_info(7, (64, 64), 1), "timm/resnet18")
        assert model(torch.empty(2, 1, 64, 64)).shape == (2, 7)
        assert zoo.build(make_info(7, (64, 64), 5), "timm/resnet18").network.conv1.in_channels == 5
    with pytest.raises(ValueError, match=r"timm has no model 'resnt18'. Did you mean resnet18"):
        zoo.build(make_info(), "timm/resnt18")
    with pytest.raises(ValueError, match=r"timm/resnet18 has no weights 'zz'. Published weights: a1_in1k"):
        zoo.build(make_info(), "timm/resnet18", "zz")

    create, asked = timm.create_model, []

    def without_download(name: str, pretrained: bool, **options: Any) -> nn.Module:
        asked.append((name, pretrained))
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", without_download)
    model = zoo.build(make_info(7, (64, 64)), "timm/tf_efficientnet_lite0", "in1k")
    assert asked == [("tf_efficientnet_lite0.in1k", True)]
    assert model.mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert model.reinitialised == ("classifier.weight", "classifier.bias")


@pytest.mark.parametrize(
    ("builder", "name", "package"),
    [
        (zoo.build, "timm/resnet18", "timm"),
        (segmentation_zoo.build, "smp/Unet-resnet18", "segmentation_models_pytorch"),
    ],
)
def test_a_missing_extra_says_how_to_install_it(make_info, monkeypatch, builder, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf'Models of {package} need .*pip install "cvbench\[zoo\]"'):
        builder(make_info(), name)


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (partial(zoo.build, name="torchvision/alexnt"), "no classification model 'alexnt'. Did you mean alexnet"),
        (
            partial(zoo.build, name="resnet18"),
            "Expected a classifier torchvision/NAME or timm/NAME, but got 'resnet18'",
        ),
        (
            partial(zoo.build, name="torchvision/resnet18", weights="V3"),
            "no weights 'V3'. Published weights: IMAGENET1K_V1",
        ),
        (partial(zoo.build, name="torchvision/resnet18", colour=1), "with options {'colour': 1}: .*unexpected keyword"),
        (partial(segmentation_zoo.build, name="torchvision/fcn_resnet5"), "Did you mean fcn_resnet50"),
        (partial(segmentation_zoo.build, name="smp/Unt-resnet18"), "ARCH one of Unet, .*Did you mean Unet"),
        (partial(segmentation_zoo.build, name="smp/Unet-resnt18"), "no encoder 'resnt18'. Did you mean resnet18"),
        (
            partial(segmentation_zoo.build, name="smp/Unet-tu-nonsense"),
            "Unet-tu-nonsense cannot be built.*Unknown model",
        ),
        (
            partial(segmentation_zoo.build, name="timm/Unet"),
            "Expected a segmenter torchvision/NAME or smp/ARCH-ENCODER",
        ),
    ],
)
def test_mistakes_are_named(make_info, builder, message):
    with pytest.raises(ValueError, match=message):
        builder(make_info())


def test_a_failed_download_says_where_the_file_is(make_info, monkeypatch):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", fail)
    with pytest.raises(ValueError, match=r"could not be downloaded \(no route.*resnet18-f37072fd.pth.*as `weights`"):
        zoo.build(make_info(), "torchvision/resnet18", "IMAGENET1K_V1")


QUICK = ("deeplabv3_mobilenet_v3_large", "fcn_resnet50", "lraspp_mobilenet_v3_large")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES["segmentation"]]
)
def test_segmenters_of_torchvision(make_info, name):
    with torch.device("meta"):
        model = segmentation_zoo.build(make_info(5, (61, 97), channels=1), f"torchvision/{name}")
        images = torch.empty(2, 1, 61, 97)
        output = model.train()(images)
        assert model.eval()(images).shape == (2, 5, 61, 97)
        if name.startswith("lraspp"):
            assert output.shape == (2, 5, 61, 97)
        else:
            assert isinstance(output, WithAuxiliary)
            assert output.weight == 0.5
            assert [logits.shape for logits in output.auxiliary] == [(2, 5, 61, 97)]
            plain = get_model(name, weights=None, weights_backbone=None, num_classes=5, aux_loss=False)
            unused = tuple(f"network.{prefix}" for prefix in model.training_only)
            assert count(plain) == sum(p.numel() for n, p in model.named_parameters() if not n.startswith(unused))


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "fcn_resnet50"])
def test_segmentation_logits_equal_torchvisions(make_info, published, name):
    """With published weights of as many classes, logits are those of torchvision's own model on normalised images."""
    with torch.device("cpu"):
        model = segmentation_zoo.build(make_info(21, (33, 49)), f"torchvision/{name}", "COCO_WITH_VOC_LABELS_V1").eval()
        own = get_model(name, weights="COCO_WITH_VOC_LABELS_V1").eval()
    images = torch.rand(1, 3, 33, 49)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = own((images - mean[:, None, None]) / std[:, None, None])["out"]
        torch.testing.assert_close(model(images), expected)
    assert model.reinitialised == ()


def test_auxiliary_classifiers_can_be_left_away(make_info):
    with torch.device("meta"):
        model = segmentation_zoo.build(
            make_info(5, (61, 97)), "torchvision/deeplabv3_mobilenet_v3_large", aux_loss=False
        )
        assert isinstance(model.train()(torch.empty(2, 3, 61, 97)), torch.Tensor)


def test_segmentation_heads_are_replaced(make_info, published):
    model = segmentation_zoo.build(make_info(5, (33, 49)), "torchvision/fcn_resnet50", "COCO_WITH_VOC_LABELS_V1")
    assert model.reinitialised == (
        "classifier.4.weight",
        "classifier.4.bias",
        "aux_classifier.4.weight",
        "aux_classifier.4.bias",
    )


def test_a_pretrained_backbone_brings_its_statistics(make_info, published):
    model = segmentation_zoo.build(
        make_info(5, (33, 49)), "torchvision/lraspp_mobilenet_v3_large", weights_backbone="IMAGENET1K_V1"
    )
    torch.testing.assert_close(model.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    ours = fcn.build(make_info(5, (33, 49)), backbone="torchvision/resnet18", backbone_weights="IMAGENET1K_V1")
    torch.testing.assert_close(ours.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    torch.manual_seed(123)
    expected = get_model("resnet18").state_dict()["layer2.0.conv1.weight"]
    assert torch.equal(ours.state_dict()["network.backbone.layer2.0.conv1.weight"], expected)


def test_smp_takes_any_size(make_info):
    pytest.importorskip("segmentation_models_pytorch")
    for name in ("smp/Unet-resnet18", "smp/unet-tu-tf_efficientnet_lite0", "smp/Linknet-mobilenet_v2"):
        model = segmentation_zoo.build(make_info(5, (45, 61), channels=1), name)
        assert model(torch.rand(2, 1, 45, 61)).shape == (2, 5, 45, 61)


def test_smp_is_padded_with_the_mean_where_sides_have_to_be_multiples(make_info):
    pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    model = segmentation_zoo.build(make_info(5, (45, 61), channels=1), "smp/FPN-mobilenet_v2").eval()
    images = torch.rand(1, 1, 45, 61)
    with torch.no_grad():
        logits = model(images)
        padded = torch.full((1, 1, 64, 64), 0.4)  # the dataset's mean
        padded[:, :, :45, :61] = images
        torch.testing.assert_close(logits, model(padded)[:, :, :45, :61], atol=1e-4, rtol=1e-4)
    assert logits.shape == (1, 5, 45, 61)


def test_smp_encoder_weights(make_info, monkeypatch):
    smp = pytest.importorskip("segmentation_models_pytorch")
    create, asked = smp.create_model, []

    def without_download(*args: Any, encoder_weights: Any, **options: Any) -> nn.Module:
        asked.append(encoder_weights)
        return create(*args, encoder_weights=None, **options)

    monkeypatch.setattr(smp, "create_model", without_download)
    model = segmentation_zoo.build(make_info(5, (64, 64)), "smp/Unet-tu-tf_efficientnet_lite0", "imagenet")
    assert asked == [True]
    assert model.mean.flatten().tolist() == [0.5, 0.5, 0.5]

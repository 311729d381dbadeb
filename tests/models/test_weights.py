"""Weight files: what loads, what is refused and why, and that nothing in a file is executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18

from cvbench.models.classification import mlp, zoo
from cvbench.models.normalise import Normalised
from cvbench.models.weights import load_weights


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

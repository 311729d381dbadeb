"""`inspect filters`, `maps` and `gradcam` of finished runs: sheets, facts, exit codes, and what they refuse."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from cvbench.cli import main
from cvbench.data.base import DatasetInfo
from cvbench.harness import build_model
from cvbench.record import write_record
from cvbench.spec import DatasetRef, ModelRef
from cvbench.trained import load_model
from tests import records


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def inspect(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Result]:
    """Runs `cvbench inspect` in this process, in an empty folder that holds the image photo.png, 40 x 30."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")

    def call(*arguments: object) -> Result:
        capfd.readouterr()
        code = main(["inspect", *map(str, arguments)])
        return Result(code, *capfd.readouterr())

    return call


def saved(folder: Path, name: str, *, task: str = "classification", channels: int = 3, **options: Any) -> Path:
    """The folder of a run that was never trained: three classes, images of 24 x 32."""
    ref = ModelRef(name=name, options=options)
    run = records.spec(task=task, dataset=DatasetRef(name="made_up", options={}), model=ref, label=name)
    facts = records.facts(
        input_size=(24, 32), channels=channels, mean=(0.4,) * channels, std=(0.2,) * channels,
        classes=("cat", "dog", "zebra"),
    )  # fmt: skip
    info = DatasetInfo(name="made_up", task=task, **{name: getattr(facts, name) for name in type(facts).model_fields})
    torch.manual_seed(0)
    model, _ = build_model(ref, info, task, strict_weights=False)
    folder = folder / name.replace("/", "-")
    folder.mkdir()
    torch.save(model.state_dict(), folder / "model.pt")
    write_record(records.record(run, 0.9, dataset=facts), folder / "record.json")
    return folder


def png(path: str | Path) -> tuple[int, int]:
    with Image.open(path, formats=["PNG"]) as image:
        return image.size


def test_filters(inspect: Callable[..., Result], tmp_path: Path) -> None:
    run = saved(tmp_path, "lenet")
    told = inspect("filters", run)
    assert (told.code, told.out) == (0, "network.0: 6 x 3 x 5 x 5, 6 shown\nWrote filters.png\n")
    assert png("filters.png")[0] > 6 * 128
    found = json.loads(inspect("filters", run, "--out", "new/f.png", "--json").out)
    weights = torch.load(run / "model.pt", weights_only=True)["network.0.weight"]
    assert found == {
        "run": str(run), "layer": "network.0", "shape": [6, 3, 5, 5], "shown": [0, 1, 2, 3, 4, 5],
        "largest": pytest.approx(float(weights.abs().max())), "out": "new/f.png",
    }  # fmt: skip
    # The first tile shows filter 0, each weight a square of 25 pixels, mid grey for 0: red of its first weight.
    drawn = np.asarray(Image.open("new/f.png"))
    first = weights[0].numpy()
    expected = np.round(127.5 * (1 + first / np.abs(first).max()))
    row = next(row for row in range(20, 80) if (np.abs(drawn[row, 8:133] - np.float32(250)) > 8).any(axis=1).all())
    for y, x in ((0, 0), (0, 3), (4, 1)):
        assert drawn[row + 25 * y + 12, 8 + 25 * x + 12].tolist() == pytest.approx(expected[:, y, x].tolist(), abs=1)


def test_templates_and_a_run_that_has_none(inspect: Callable[..., Result], tmp_path: Path) -> None:
    found = json.loads(inspect("filters", saved(tmp_path, "mlp", hidden=[200]), "--json").out)
    assert (found["shape"], len(found["shown"])) == ([200, 3, 24, 32], 96)
    refused = inspect("filters", saved(tmp_path, "hog_linear"))
    assert refused.code == 2
    assert "neither" in refused.err


def test_maps(inspect: Callable[..., Result], tmp_path: Path) -> None:
    run = saved(tmp_path, "lenet")
    told = inspect("maps", run, "photo.png")
    assert told.code == 0, told.err
    # by hand: 24 x 32, padded; pooled 12 x 16; cut to 8 x 12; pooled 4 x 6
    assert told.out.splitlines() == [
        "network.0, Conv2d: 6 x 24 x 32", "network.1, ReLU: 6 x 24 x 32", "network.2, MaxPool2d: 6 x 12 x 16",
        "network.3, Conv2d: 16 x 8 x 12", "network.4, ReLU: 16 x 8 x 12", "network.5, MaxPool2d: 16 x 4 x 6",
        "Wrote photo_maps.png",
    ]  # fmt: skip
    assert png("photo_maps.png")[1] > 6 * 100
    found = json.loads(inspect("maps", run, "photo.png", "--layers", 3, "--channels", 2, "--json").out)
    assert [(layer["layer"], len(layer["shown"])) for layer in found["layers"]] == [
        ("network.0", 2), ("network.2", 2), ("network.5", 2)
    ]  # fmt: skip
    assert found["layers"][1]["lowest"] >= 0 > found["layers"][0]["lowest"]  # after and before the ReLU
    for wrong in ("--layers", "--channels"):
        assert f"{wrong}: Expected at least 1, but got 0" in inspect("maps", run, "photo.png", wrong, 0).err
    assert inspect("maps", saved(tmp_path, "mlp"), "photo.png").code == 2


def test_filters_and_maps_of_a_segmenter_but_no_gradcam(inspect: Callable[..., Result], tmp_path: Path) -> None:
    run = saved(tmp_path, "unet", task="segmentation", width=4)
    assert inspect("filters", run).code == 0
    assert inspect("maps", run, "photo.png").code == 0
    refused = inspect("gradcam", run, "photo.png")
    assert refused.code == 2
    assert "Expected a run of classification" in refused.err
    assert "segmentation" in refused.err


def test_gradcam(inspect: Callable[..., Result], tmp_path: Path) -> None:
    run = saved(tmp_path, "resnet_cifar")
    told = inspect("gradcam", run, "photo.png", "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    photo = Image.open("photo.png").resize((32, 24), Image.Resampling.BILINEAR)
    images = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        probabilities = load_model(run).eval()(images).softmax(dim=1)[0]
    best = int(probabilities.argmax())
    assert found["class"] == ("cat", "dog", "zebra")[best]
    assert found["probability"] == pytest.approx(float(probabilities[best]), rel=1e-5)
    assert found["top"][0]["label"] == found["class"]
    assert [item["probability"] for item in found["top"]] == pytest.approx(
        sorted(probabilities.tolist(), reverse=True), rel=1e-5
    )
    assert (found["layer"], found["shape"], found["out"]) == ("network.11", [64, 6, 8], "photo_gradcam.png")
    assert png("photo_gradcam.png")[0] >= 2 * 416
    zebra = inspect("gradcam", run, "photo.png", "--class", "zebra", "--out", "z.png")
    assert zebra.out.startswith(f"zebra {100 * float(probabilities[2]):.1f} %, by network.11: 64 x 6 x 8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--class", "zebar"), "--class: Expected one of the run's 3 classes, but got 'zebar'; 'zebra' is one"),
        (("--class", ""), "but got ''"),
    ],
)
def test_a_class_that_there_is_not(
    inspect: Callable[..., Result], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused = inspect("gradcam", saved(tmp_path, "lenet"), "photo.png", *arguments)
    assert refused.code == 2
    assert message in refused.err
    assert refused.out == ""


def test_gradcam_lights_up_where_the_only_filter_finds_something(
    inspect: Callable[..., Result], tmp_path: Path
) -> None:
    """A network by hand: the class "dog" is how much red there is; the image is red at its lower right alone."""
    Path("only_red.py").write_text(
        "from torch import nn\n\ndef build(info):\n"
        "    return nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "                         nn.Linear(1, 3, bias=False))\n"
    )
    ref = ModelRef(name="only_red:build", options={})
    run = records.spec(dataset=DatasetRef(name="made_up", options={}), model=ref, label="by hand")
    facts = records.facts(input_size=(24, 32), channels=3, mean=(0.0,), std=(1.0,), classes=("cat", "dog", "zebra"))
    weights = {"0.weight": torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1), "3.weight": torch.tensor([[0.0], [2], [-2]])}
    torch.save(weights, tmp_path / "model.pt")
    write_record(records.record(run, 0.9, dataset=facts), tmp_path / "record.json")
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[16:, 24:] = (255, 0, 0)
    Image.fromarray(pixels).save("red.png")
    found = json.loads(inspect("gradcam", tmp_path, "red.png", "--json", "--plugins").out)
    # alpha = 2 / (24 * 32), and the map's highest value is alpha * 1
    assert found["class"] == "dog"
    assert found["highest"] == pytest.approx(2 / (24 * 32))
    # logits (0, 1/6, -1/6), since a twelfth of the image is red
    expected = np.exp([0, 1 / 6, -1 / 6]) / np.exp([0, 1 / 6, -1 / 6]).sum()
    assert found["probability"] == pytest.approx(expected[1], rel=1e-5)
    drawn = np.asarray(Image.open("red_gradcam.png")).astype(int)
    right = drawn[:, 8 + 416 + 8 : 8 + 416 + 8 + 416]  # the second picture: 13 pixels for each of 32
    top = next(row for row in range(70) if (np.ptp(right[row : row + 100], axis=(0, 1)) == 0).all())
    looked = right[top : top + 24 * 13]
    assert looked[20 * 13 : 23 * 13, 28 * 13 : 31 * 13].sum(axis=2).min() > 400  # light yellow over red
    assert looked[: 12 * 13].sum(axis=2).max() < 100
    against = inspect("gradcam", tmp_path, "red.png", "--class", "zebra", "--json", "--plugins")
    assert json.loads(against.out)["highest"] == 0


def test_mistakes(inspect: Callable[..., Result], tmp_path: Path) -> None:
    run = saved(tmp_path, "lenet")
    for verb in ("filters", "maps", "gradcam"):
        image = [] if verb == "filters" else ["photo.png"]
        refused = inspect(verb, tmp_path, *image)
        assert refused.code == 2
        assert "Expected the folder of a finished run" in refused.err
        assert str(run) in refused.err
        if image:
            assert "nowhere.png: no such file" in inspect(verb, run, "nowhere.png").err
    Path("broken.png").write_bytes(Path("photo.png").read_bytes()[:500])
    assert "broken.png: cannot be decoded" in inspect("maps", run, "broken.png").err
    assert inspect("colours", run).code == 2

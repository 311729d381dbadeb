"""The cost table: numbers by hand, an order, and models that fail or die."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvbench import profile as profiling
from cvbench.cli import main
from cvbench.commands.model_names import named_models
from cvbench.commands.profile import _as_json, _as_text
from cvbench.profile import Asked, Profile, Settings, Unmeasured, profile
from cvbench.spec import ModelRef

PLUGIN = """
import os
import torch
from torch import nn

class Hungry(nn.Module):
    def __init__(self, info, megabytes=0):
        super().__init__()
        self.weight, self.megabytes, self.classes = nn.Parameter(torch.zeros(1)), megabytes, info.num_classes
    def forward(self, images):
        torch.ones(self.megabytes << 20, dtype=torch.uint8)
        return self.weight * images.new_ones(len(images), self.classes)

def dies(info):
    os.kill(os.getpid(), 9)

def raises(info):
    raise RuntimeError("no such luck\\nand more of it")

def hungry(info, **options):
    return Hungry(info, **options)
"""


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Somebody's own models; the module's name is this test's alone."""
    name = f"costly_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return name


def row(model: str = "lenet", macs: int | None = 416_520) -> Profile:
    return Profile(model, "classification", (28, 32), 10, 61_706, macs, 0.00125, 0.0025, 16, 1234.56, 7_400_000, "cpu",
                   "a CPU", 1, "2.15.0")  # fmt: skip


def test_models_are_measured_apart_and_in_order_of_size(plugin: str) -> None:
    """One call for all of it, because the server of processes imports torch once."""
    names = [f"{plugin}:dies", "mlp", "hidden=[16]", f"{plugin}:raises", "linear", f"{plugin}:hungry", "megabytes=300",
             f"{plugin}:hungry"]  # fmt: skip
    asked = [Asked(one.label, one.ref, one.task) for one in named_models(names, "classification")]
    found = list(profile(asked, Settings(input_size=(8, 6), classes=10, batch_size=4, accelerator="cpu", threads=1)))
    assert [one.model for one in found] == [f"{plugin}:hungry megabytes=300", f"{plugin}:hungry", "linear",
        "mlp hidden=[16]", f"{plugin}:dies", f"{plugin}:raises"]  # fmt: skip
    hungry, modest, linear, mlp, *failed = found
    for one in (hungry, modest, linear, mlp):
        assert isinstance(one, Profile), one
    # 8x6 pixels of 3 colours -> 16 -> 10 classes, by hand; and straight to 10
    assert (mlp.parameters, mlp.macs) == (144 * 16 + 16 + 16 * 10 + 10, 144 * 16 + 16 * 10)
    assert (linear.parameters, linear.macs) == (144 * 10 + 10, 144 * 10)
    assert (mlp.task, mlp.input_size, mlp.classes, mlp.batch_size) == ("classification", (8, 6), 10, 4)
    assert (mlp.accelerator, mlp.threads) == ("cpu", 1)
    assert 0 < mlp.latency_p50_seconds <= mlp.latency_p95_seconds
    assert mlp.images_per_second > 0
    # each is charged for its own memory, and not for that of the one before
    assert 300 << 20 <= hungry.peak_memory_bytes <= 500 << 20
    assert modest.peak_memory_bytes < 150 << 20
    assert failed == [
        Unmeasured(f"{plugin}:dies", "classification", "its process ended by signal 9 (out of memory?)"),
        Unmeasured(f"{plugin}:raises", "classification", "RuntimeError: no such luck"),
    ]


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_each_task_is_measured_on_what_it_needs(task: str) -> None:
    model, options = {"segmentation": ("segnet", {"width": 4, "depth": 2}), "detection": ("fcos", {"width": 4})}[task]
    asked = Asked(model, ModelRef(name=model, options=options), task)
    found = profiling.measure(asked, Settings(input_size=(64, 96), batch_size=2, accelerator="cpu"))
    assert found.macs is not None
    assert found.macs > found.parameters


def test_images_per_second_counts_the_images_of_warm_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Clock:
        """The first pass takes 4 seconds, later ones half a second each."""

        def __init__(self) -> None:
            self.calls, self.now = 0, 0.0

        def __call__(self, batch: torch.Tensor) -> None:
            self.now += 0.5 if self.calls else self.first
            self.calls += 1

        def perf_counter(self) -> float:
            return self.now

    for first, passes, speed in ((1.0, 3, 16.0), (4.0, 1, 2.0)):  # 8 images in 0.5 s; one slow pass is the measure
        clock = Clock()
        clock.first = first
        monkeypatch.setattr(profiling, "time", clock)
        assert profiling._images_per_second(clock, torch.zeros(8, 1)) == speed
        assert clock.calls == passes


def interrupted(*rows: Profile | Unmeasured) -> Iterator[Profile | Unmeasured]:
    yield from rows
    raise KeyboardInterrupt


def test_rows_before_an_interruption_stay(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        _as_json(interrupted(row("a"), row("b")))
    told = json.loads(capsys.readouterr().out)
    assert [one["model"] for one in told] == ["a", "b"]
    assert told[0]["peak_memory_bytes"] == 7_400_000
    with pytest.raises(KeyboardInterrupt):
        _as_text(interrupted(row("a")), 5)
    assert capsys.readouterr().out.splitlines()[1].startswith("a      classification  28x32")


def test_a_row_in_people_s_units(capsys: pytest.CaptureFixture[str]) -> None:
    assert _as_text(iter([row(), row("odd", None), Unmeasured("lost", "detection", "no luck")]), 5) == 1
    head, first, second, third, place = capsys.readouterr().out.splitlines()
    heads = "model task size classes parameters M GMACs p50 ms p95 ms batch images/s memory MB"
    assert " ".join(head.split()) == heads
    assert " ".join(first.split()) == "lenet classification 28x32 10 0.062 0.000 1.25 2.50 16 1234.6 7"
    assert len(second.split()) == len(first.split()) - 1
    assert third == "lost   failed: no luck"
    assert place == "a CPU, 1 threads, torch 2.15.0, float32"


def test_an_empty_table_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert _as_json(iter([])) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_options_belong_to_the_model_before_them() -> None:
    first, second, third = named_models(["resnet_cifar", "depth=56", "timm/resnet18", "unet"], None)
    assert (first.label, first.ref.options["depth"], first.task) == ("resnet_cifar depth=56", 56, "classification")
    assert (second.label, second.task) == ("timm/resnet18", "classification")
    assert third.task == "segmentation"
    (own,) = named_models(["nowhere:build", "width=1e-3", "kind=[a, b]"], None)  # not imported
    assert (own.ref.options, own.task) == ({"width": 1e-3, "kind": ["a", "b"]}, "classification")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("profile", "name at least one model"),
        ("profile lenett", "unknown model 'lenett'; did you mean 'lenet'"),
        ("profile depth=20", "Expected a model before its options, but got 'depth=20'"),
        ("profile resnet_cifar deth=20", "unknown option 'deth' of resnet_cifar; did you mean 'depth'?"),
        ("profile resnet_cifar depth=3", "Expected 20, 32, 44, 56 or 110, but got 3"),
        ("profile lenet --task segmentation", "'lenet' serves classification, not segmentation"),
        ("profile lenet --task clasification", "--task: unknown task 'clasification'; did you mean 'classification'?"),
        ("profile lenet --classes 0", "--classes: Expected a number above 0, but got 0"),
        ("profile lenet --batch-size -1", "--batch-size: Expected a number above 0, but got -1"),
        ("profile lenet --input-size 0 8", "--input-size: Expected a height and width above 0, but got 0 8"),
        ("profile torchvision/resnet18 weights=DEFAULT", "Expected no weights, but got 'DEFAULT'"),
        ("try lenet mlp", "Expected options of lenet as key=value, but got 'mlp'"),
        ("try nowhere:build", "nowhere:build: there is no module 'nowhere'"),
    ],
)
def test_mistakes_are_exit_2(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    assert main(line.split()) == 2
    assert message in capsys.readouterr().err


def test_try_says_what_it_found(capsys: pytest.CaptureFixture[str], plugin: str) -> None:
    assert main(["try", f"{plugin}:raises", "--quick"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{plugin}:raises, classification, images of 64x96"
    assert told[1].startswith("failed   builds                     RuntimeError: no such luck: build(info")
    assert told[-1] == "0 passed, 1 failed, 12 skipped"
    assert main(["try", "linear", "--quick", "--json", "--input-size", "16", "24"]) == 2  # scenes are 32 and more
    assert main(["try", "linear", "--quick", "--json", "--input-size", "32", "40"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["input_size"]) == ("linear", [32, 40])
    assert {check["state"] for check in told["checks"]} == {"passed", "skipped"}

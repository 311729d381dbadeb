"""The catalog: every file of the package declares what it must, and names are found, or their nearest."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cvbench import catalog, declaration
from cvbench.catalog import UnknownNameError, complete, entries, find
from cvbench.declaration import Option
from cvbench.entry import Entry
from cvbench.shipped import benchmark_files, benchmark_folders

WRITTEN_HERE = {
    "tasks": {"captioning", "classification", "detection", "segmentation"},
    "datasets": {"camvid", "cifar10", "cifar100", "cityscapes", "coco", "coco_captions", "digits", "fashion_mnist",
                 "flickr30k", "flickr8k", "folder", "folder_captions", "folder_coco", "folder_masks", "folder_yolo",
                 "imagenet", "mnist", "places365", "streets", "voc", "voc_seg", "wider_face", "x_or_not"},
    "models": {"fast_rcnn", "faster_rcnn", "fcn", "fcos", "hog_linear", "lenet", "linear", "mlp", "prior",
               "rcnn", "resnet_cifar", "retinanet", "segnet", "show_and_tell", "show_attend_tell", "ssd",
               "transformer_captioner", "unet", "vanilla_rnn", "zfnet"},
}  # fmt: skip
FILES = [entry for kind in WRITTEN_HERE for entry in entries(kind) if entry.file is not None and not entry.zoo]


@pytest.mark.parametrize("kind", WRITTEN_HERE)
def test_everything_written_here_is_listed_and_nothing_that_only_serves_it(kind: str) -> None:
    assert {entry.name for entry in FILES if entry.kind == kind} == WRITTEN_HERE[kind]


def test_the_other_kinds_are_listed() -> None:
    assert {entry.name for entry in entries("metrics", "segmentation")} == {
        "miou", "pixel_accuracy", "mean_accuracy", "fw_iou"
    }  # fmt: skip
    assert {entry.name for entry in entries("metrics", "classification")} == {
        "top1", "top5", "macro_top1", "nll", "ece"
    }  # fmt: skip
    assert "lineage/mnist" in {entry.name for entry in entries("benchmarks")}
    names = {entry.name for entry in entries("models", "classification")}
    assert {"torchvision/alexnet", "torchvision/vgg19", "torchvision/googlenet", "torchvision/resnet152"} <= names


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_every_entry_has_one_line_and_a_name_of_its_own(kind: str) -> None:
    found = entries(kind)
    assert found
    for entry in found:
        assert "\n" not in entry.summary
        assert entry.kind == kind
        assert entry.tasks, entry.name
        if kind != "benchmarks":
            assert entry.summary, entry.name
    keys = [(entry.name, entry.tasks if kind in ("models", "metrics") else ()) for entry in found]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("entry", FILES, ids=lambda entry: f"{entry.kind}/{entry.name}")
def test_every_file_declares_what_it_must(entry: Entry) -> None:
    assert entry.summary.endswith(".")
    assert isinstance(entry.version, int)
    assert entry.year
    assert entry.source
    assert entry.licence or entry.kind != "datasets"
    assert entry.file is not None
    assert find(entry.kind, entry.name, entry.tasks[0]) == entry  # type: ignore[arg-type]


@pytest.mark.parametrize("entry", FILES, ids=lambda entry: f"{entry.kind}/{entry.name}")
def test_every_default_is_of_its_own_type(entry: Entry) -> None:
    given = {"path": "x"} if any(option.required for option in entry.options.values()) else {}
    options, wrong = complete(entry, given)
    assert wrong == {}
    json.dumps(options)
    # what was filled in is taken back as it is
    assert complete(entry, options) == (options, {})


def test_benchmark_files_leave_out_what_is_hidden_and_what_runs_have_written(tmp_path: Path) -> None:
    for name in ("b.yaml", "a/c.yml", ".venv/d.yaml", "runs/x/y/z/spec.yaml", "spec.yaml", "e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "runs/x/y/z/record.json").touch()
    found = [path.relative_to(tmp_path).as_posix() for path in benchmark_files(tmp_path)]
    assert found == ["a/c.yml", "b.yaml", "spec.yaml"]


def test_a_broken_benchmark_is_listed_as_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "mine.yaml").write_text("task: [\n")
    (tmp_path / "benchmarks" / "good.yaml").write_text("task: segmentation\ntitle: Mine\n")
    monkeypatch.chdir(tmp_path)
    found = {entry.name: entry for entry in entries("benchmarks")}
    assert found["mine"].summary.startswith("cannot be read: benchmarks/mine.yaml:2: not valid YAML")
    assert (found["good"].summary, found["good"].tasks) == ("Mine", ("segmentation",))
    assert "lineage/mnist" in found
    assert benchmark_folders()[0] == Path("benchmarks")


@pytest.mark.parametrize(
    ("kind", "name", "task", "expected"),
    [
        ("models", "lennet", "classification", "unknown model 'lennet'; did you mean 'lenet'"),
        ("models", "Unet", "segmentation", "unknown model 'Unet'; did you mean 'unet'"),
        ("models", "unet", "classification", "model 'unet' serves segmentation, not classification"),
        ("models", "zoo", "classification", "unknown model 'zoo'"),
        ("models", "../lenet", "classification", "unknown model '../lenet'; did you mean 'lenet'"),
        ("models", "__init__", "classification", "unknown model '__init__'"),
        ("models", "", "classification", "unknown model ''"),
        ("models", "torchvision/resnet81", "classification", "did you mean 'torchvision/resnet18'"),
        ("models", "torchvison/resnet18", "classification", "did you mean 'torchvision/resnet18'"),
        ("models", "torchvision/", "classification", "unknown model 'torchvision/'"),
        ("models", "torchvision/fcn_resnet50", "classification", "serves segmentation, not classification"),
        ("models", "timm/resnet18", "segmentation", "model 'timm/resnet18' serves classification, not segmentation"),
        ("models", "smp/Unet-resnet18", "classification", "serves segmentation, not classification"),
        ("models", "smp/Unet", "segmentation", "Expected smp/ARCH-ENCODER"),
        ("models", "a:b:c", "segmentation", "Expected your own model as my_package.my_file:build, but got 'a:b:c'"),
        ("models", "my file:build", "segmentation", "Expected your own model"),
        ("models", "x.py:", "segmentation", "Expected your own model"),
        ("datasets", "camvidd", None, "unknown dataset 'camvidd'; did you mean 'camvid'"),
        ("datasets", "camvid", "classification", "dataset 'camvid' serves segmentation, not classification"),
        ("datasets", "files", "classification", "unknown dataset 'files'"),
        ("tasks", "base", None, "unknown task 'base'"),
    ],
)
def test_wrong_names_are_told_with_the_nearest(kind: Any, name: str, task: str | None, expected: str) -> None:
    with pytest.raises(UnknownNameError) as raised:
        find(kind, name, task)
    assert expected in str(raised.value)


def test_unknown_kinds() -> None:
    with pytest.raises(UnknownNameError, match="but got 'model'; did you mean 'models'"):
        entries("model")


@pytest.mark.parametrize(
    ("name", "task", "module"),
    [
        ("torchvision/resnet18", "classification", "cvbench.models.classification.zoo"),
        ("torchvision/fcn_resnet50", "segmentation", "cvbench.models.segmentation.zoo"),
        ("timm/whatever_it-has.in1k", "classification", "cvbench.models.classification.zoo"),
        ("smp/Unet-resnet18", "segmentation", "cvbench.models.segmentation.zoo"),
        ("smp/FPN-tu-resnet18", "segmentation", "cvbench.models.segmentation.zoo"),
    ],
)
def test_zoo_names_pass_through(name: str, task: str, module: str) -> None:
    entry = find("models", name, task)
    assert (entry.name, entry.module, entry.zoo, entry.plugin, entry.version) == (name, module, True, False, 1)
    assert complete(entry, {"anything": [1]}) == ({"anything": [1]}, {})


def test_finding_a_name_parses_its_file_only(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    read = declaration.read
    monkeypatch.setattr(declaration, "read", lambda file: parsed.append(file.name) or read(file))
    find("datasets", "mnist", "classification")
    find("models", "lenet", "classification")
    assert parsed == ["mnist.py", "lenet.py"]


def entry_with(**options: Option) -> Entry:
    return Entry("models", "thing", None, "thing", options=options)


def test_options_are_filled_in_and_checked() -> None:
    entry = entry_with(
        width=Option(int, 32, False),
        rate=Option(float, 0, False),
        size=Option(tuple[int, int], [1, 2], False),
        path=Option(str, None, True),
    )
    assert complete(entry, {"path": "x"}) == ({"width": 32, "rate": 0.0, "size": [1, 2], "path": "x"}, {})
    # an explicit default hashes as an absent one, whether it is written 0, 0.0 or as a tuple
    for given in ({"width": 32}, {"rate": 0}, {"rate": 0.0}, {"size": (1, 2)}, {"size": [1, 2]}):
        options, wrong = complete(entry, given | {"path": "x"})
        assert json.dumps(options, sort_keys=True) == json.dumps(complete(entry, {"path": "x"})[0], sort_keys=True)
        assert wrong == {}
    _, wrong = complete(entry, {"witdh": 1, "rate": "fast", "size": [1], "width": True})
    assert wrong == {
        "witdh": "unknown option 'witdh' of thing; did you mean 'width'?",
        "rate": "option 'rate' of thing: Expected a number, but got 'fast'",
        "size": "option 'size' of thing: Field required, but got [1]",
        "width": "option 'width' of thing: Expected an integer, but got True",
        "path": "thing needs the option 'path'",
    }


@pytest.mark.parametrize("value", [13, "11", 11.5, None, [11]])
def test_a_choice_is_one_of_its_values(value: Any) -> None:
    _, wrong = complete(find("datasets", "camvid", "segmentation"), {"classes": value})
    assert wrong == {"classes": f"option 'classes' of camvid: Expected 11, 12 or 32, but got {value!r}"}


def test_a_plug_in_is_imported_only_when_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_file.py").write_text("LOADED = True\n\ndef make(info): return 'made'\n")
    (tmp_path / "my_needy_file.py").write_text("import no_such_package_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    entry = find("models", "my_own_file:make", "classification")
    assert entry.plugin
    assert "my_own_file" not in sys.modules
    try:
        assert entry.build()(None) == "made"
        with pytest.raises(UnknownNameError, match="my_own_file has no 'mak'; did you mean 'make'"):
            find("models", "my_own_file:mak").build()
    finally:
        sys.modules.pop("my_own_file", None)
    with pytest.raises(UnknownNameError, match="there is no module 'gone_file'; install it, or"):
        find("models", "gone_file:build").build()
    with pytest.raises(UnknownNameError, match="there is no module 'gone_package'"):
        find("datasets", "gone_package.file:build").build()
    with pytest.raises(ModuleNotFoundError, match="no_such_package_anywhere"):  # its own affair
        find("models", "my_needy_file:build").build()


def test_official_sizes_are_those_of_the_whole_data_set() -> None:
    """As their papers have them; of each year; nothing of roles that follow from an option, or of other data."""
    assert catalog.official_sizes("camvid", {"classes": 11}) == {"train": 367, "val": 101, "test": 233}
    assert catalog.official_sizes("mnist", {}) == {"test": 10_000}
    assert catalog.official_sizes("voc", {"year": 2007}) == {"test": 4952}
    assert catalog.official_sizes("voc", {"year": 2012, "more": 1}) == {"test": 5823}
    assert catalog.official_sizes("voc", {"year": 1999}) == {}
    for unknown in ("digits", "no_such_data", "mine.data:build", "../mnist"):
        assert catalog.official_sizes(unknown, {}) == {}


def test_the_version_of_an_own_file_is_read_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "nets").mkdir(parents=True)
    for place in ("", "mine/", "mine/nets/"):
        (tmp_path / place / "__init__.py").write_text("raise SystemExit\n")
    file = tmp_path / "mine" / "nets" / "small.py"

    def version(text: str) -> int | None:
        file.write_text(text + "\nraise SystemExit\n")
        return find("models", "mine.nets.small:build", "classification").version

    assert [version(text) for text in ("VERSION = 1", "VERSION: int = 12", "version = 1", "VERSION = '1'", "a b")] == [
        1, 12, None, None, None
    ]  # fmt: skip
    assert version("VERSION = 2") == 2
    assert find("datasets", "mine.gone:build").version is None

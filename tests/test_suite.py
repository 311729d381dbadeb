"""Benchmark files: what is read, and every mistake at once with its line and the nearest valid name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from cvbench.suite import load_suite
from cvbench.yamlfile import Problem, SpecError

GOOD = """\
task: classification
datasets: [digits]
models: [linear, {name: mlp, label: small}]
recipe: {epochs: 1, lr: 1e-3}
"""


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def problems(*paths: Any, overrides: tuple[str, ...] = ()) -> list[Problem]:
    with pytest.raises(SpecError) as raised:
        load_suite(paths, overrides)
    assert str(raised.value) == "\n".join(map(str, raised.value.problems))
    return raised.value.problems


def told(file: Path, overrides: tuple[str, ...] = ()) -> list[tuple[int | None, str]]:
    found = problems(file, overrides=overrides)
    return [(problem.line, problem.message) for problem in found]


def test_a_good_file(tmp_path: Path) -> None:
    suite = load_suite([write(tmp_path, GOOD)])
    (benchmark,) = suite.benchmarks
    assert (suite.name, benchmark.name, benchmark.task, benchmark.mode) == ("mine", "mine", "classification", "train")
    assert [dataset.name for dataset in benchmark.datasets] == ["digits"]
    assert [(model.name, model.label) for model in benchmark.models] == [("linear", None), ("mlp", "small")]
    assert (benchmark.recipe.epochs, benchmark.recipe.lr, benchmark.seeds) == (1, 0.001, (0,))
    assert load_suite(str(tmp_path / "mine.yaml")) == suite


def test_every_mistake_at_once_with_line_and_nearest_name(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """\
task: classification
mode: trian
dataset: [digits]
datasets:
  - digits
  - name: camvid
  - name: streets
    options: {hieght: 96, width: "128"}
models:
  - lennet
  - name: mlp
    options: {hidden: big}
    recipe:
      epoch: 3
      augment: {flipp: true}
  - torchvision/resnet81
  - {name: linear, weights: nowhere.pt}
  - {name: lenet, weights: IMAGENET1K_V1}
  - name: zfnet
    optoins: {}
  - zfnet
epochs: 5
primary: top2
baseline: zfnett
seeds: [0, no]
name: mine
recipe:
  lr: -1
  batch_size: "32"
  optimiser: sdg
  input_size: [32]
  crop_scale: [1, 0.5]
  augment:
    crop_scale: [1, 0.5]
    shift: 1.5
    flp: true
""",
    )
    assert told(file) == [
        (2, "mode: Expected 'train' or 'evaluate', but got 'trian'"),
        (3, "unknown key 'dataset'; did you mean 'datasets'?"),
        (6, "dataset 'camvid' serves segmentation, not classification"),
        (8, "unknown option 'hieght' of streets; did you mean 'height'?"),
        (8, "option 'width' of streets: Expected an integer, but got '128'"),
        (10, "unknown model 'lennet'; did you mean 'lenet'? (`cvbench list models` shows all)"),
        (12, "option 'hidden' of mlp: Expected a list, but got 'big'"),
        (14, "unknown key 'models.1.recipe.epoch'; did you mean 'epochs'?"),
        (15, "unknown key 'models.1.recipe.augment.flipp'; did you mean 'flip'?"),
        (
            16,
            "unknown model 'torchvision/resnet81'; did you mean 'torchvision/resnet18' or 'torchvision/resnet152' or "
            "'torchvision/resnet101'? (`cvbench list models` shows all)",
        ),
        (17, f"weights: no file 'nowhere.pt' (looked in {tmp_path} and the current folder)"),
        (18, "weights: lenet has no published 'IMAGENET1K_V1'; give a file (.pt, .pth, .ckpt or .safetensors)"),
        (20, "unknown key 'models.5.optoins'; did you mean 'options'?"),
        (21, "'zfnet' stands twice; give one of them a `label`"),
        (22, "unknown key 'epochs'; it belongs under `recipe`"),
        (23, "unknown classification metric 'top2'; did you mean 'top5' or 'top1'?"),
        (24, "unknown baseline 'zfnett'; did you mean 'zfnet'?"),
        (25, "seeds.1: Expected an integer, but got 'no'"),
        (26, "unknown key 'name': a benchmark is called by its file's name"),
        (28, "recipe.lr: Expected a number greater than 0, but got -1"),
        (29, "recipe.batch_size: Expected an integer, but got '32'"),
        (30, "recipe.optimiser: Expected 'sgd', 'adam' or 'adamw', but got 'sdg'"),
        (31, "recipe.input_size.1 is missing"),
        (32, "unknown key 'recipe.crop_scale'; it belongs under `augment`"),
        (34, "recipe.augment.crop_scale: Expected [low, high] with low <= high, but got [1.0, 0.5]"),
        (35, "recipe.augment.shift: Expected an integer, but got 1.5"),
        (36, "unknown key 'recipe.augment.flp'; did you mean 'flip'?"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(1, "Expected keys such as `task`, `datasets` and `models`, but got an empty file")]),
        ("- a\n- b\n", [(1, "Expected keys such as `task`, `datasets` and `models`, but got a list")]),
        ("digits", [(1, "Expected keys such as `task`, `datasets` and `models`, but got 'digits'")]),
        (
            "seeds: [0]\n",
            [(1, f"the key '{key}' is missing") for key in ("task", "datasets", "models")],
        ),
        (
            "task: segmntation\ndatasets: [camvidd]\nmodels: [unett]\n",
            [
                (1, "unknown task 'segmntation'; did you mean 'segmentation'?"),
                (2, "unknown dataset 'camvidd'; did you mean 'camvid'? (`cvbench list datasets` shows all)"),
                (3, "unknown model 'unett'; did you mean 'unet'? (`cvbench list models` shows all)"),
            ],
        ),
        (
            "task: [segmentation]\ndatasets: camvid\nmodels: []\nrecipe:\nbaseline: {a: 1}\n",
            [
                (1, "task: Expected text, but got ['segmentation']"),
                (2, "datasets: Expected a list, but got 'camvid'"),
                (3, "models: Expected at least 1 of it, but got []"),
                (4, "recipe: Expected a mapping of keys, but got None"),
                (5, "baseline: Expected text, but got {'a': 1}"),
            ],
        ),
        (
            "task: segmentation\ndatasets: [3, {}, null]\nmodels:\n  - {name: unet, options: 3, recipe: []}\n",
            [
                (2, "datasets.0: Expected a mapping of keys, but got 3"),
                (2, "the key 'datasets.1.name' is missing"),
                (2, "datasets.2: Expected a mapping of keys, but got None"),
                (4, "models.0.options: Expected a mapping of keys, but got 3"),
                (4, "models.0.recipe: Expected a mapping of keys, but got []"),
            ],
        ),
        (
            "task: segmentation\ndatasets: [streets, streets]\nmodels:\n - unet\n - {name: segnet, label: unet}\n",
            [(2, "'streets' stands twice; remove one"), (5, "'unet' stands twice; give one of them a `label`")],
        ),
        (
            "task: segmentation\ndatasets: [streets]\nmodels: [unet]\nrecipe: {epochs: 1, steps: 2}\n",
            [(4, "recipe: Expected `epochs` or `steps`, but got both; remove one")],
        ),
        (
            "task: segmentation\nmode: evaluate\ndatasets: [streets]\nmodels:\n - {name: unet, weights: ''}\n - segnet",
            [
                (5, "models.0.weights: Expected at least 1 of it, but got ''"),
                (6, "mode is evaluate, so segnet needs `weights`"),
            ],
        ),
        (
            "task: segmentation\ndatasets: [streets]\nmodels:\n  - {name: 'mine.m:build', weights: DEFAULT}\n",
            [
                (
                    4,
                    "weights: mine.m:build has no published 'DEFAULT'; give a file (.pt, .pth, .ckpt or .safetensors)",
                )
            ],
        ),
        (
            "task: segmentation\ndatasets: [streets]\nmodels:\n  - {name: unet, label: a, label: b}\nmodels: []\n",
            [
                (4, "the key 'label' stands twice, first in line 4"),
                (5, "the key 'models' stands twice, first in line 3"),
            ],
        ),
    ],
)
def test_mistakes(tmp_path: Path, text: str, expected: list[tuple[int, str]]) -> None:
    assert told(write(tmp_path, text)) == expected


def test_the_problems_of_all_files_and_paths_are_told_together(tmp_path: Path) -> None:
    first = write(tmp_path, "task: [\n", "a/first.yaml")
    second = write(tmp_path, GOOD + "sedes: [1]\n", "a/second.yaml")
    (tmp_path / "a" / "third.yaml").write_bytes(b"\xff\xfe\x00")
    found = [str(problem) for problem in problems(tmp_path / "a", tmp_path / "gone", "quikc")]
    assert found[0] == f"{tmp_path / 'gone'}: no such file, folder or shipped suite" + found[0].partition("suite")[2]
    assert found[1].startswith("quikc: no such file, folder or shipped suite; did you mean 'quick'")
    assert found[2].startswith(f"{first}:2: not valid YAML")
    assert found[3].startswith(f"{tmp_path}/a/third.yaml:1: cannot be read: Expected UTF-8")
    assert found[4] == f"{second}:5: unknown key 'sedes'; did you mean 'seeds'?"
    assert len(found) == 5


def test_nothing_named_and_nothing_there(tmp_path: Path) -> None:
    assert "name at least one benchmark" in str(problems()[0])
    assert "Expected at least one .yaml file" in str(problems(tmp_path)[0])


def test_weights_lie_beside_the_benchmark_or_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = GOOD.replace("linear", "{name: linear, weights: w.pt}")
    file = write(tmp_path, text, "a/mine.yaml")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "a" / "w.pt").mkdir()  # a folder is no weights file
    assert "no file 'w.pt'" in told(file)[0][1]
    (tmp_path / "here" / "w.pt").touch()
    load_suite([file])


def names(*paths: Any) -> tuple[str, list[str]]:
    suite = load_suite(paths)
    return suite.name, [benchmark.name for benchmark in suite.benchmarks]


def test_names_of_suites_and_benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD, "benchmarks/quick/one.yaml")
    write(tmp_path, GOOD, "benchmarks/quick/deep/two.yml")
    write(tmp_path, GOOD, "photos v1.2/one.yaml")
    write(tmp_path, GOOD, "quick/notes.txt")
    write(tmp_path, "not: [read", "benchmarks/quick/.hidden.yaml")
    monkeypatch.chdir(tmp_path)
    assert names("benchmarks/quick") == ("quick", ["deep/two", "one"])
    # an empty folder of that name does not hide the shipped suite
    assert names("quick") == ("quick", ["deep/two", "one"])
    assert names("quick/one") == names("benchmarks/quick/one.yaml") == ("quick-one", ["one"])
    assert names(tmp_path / "benchmarks" / "quick" / "deep") == ("quick-deep", ["two"])
    assert names("photos v1.2") == ("photos v1.2", ["one"])
    assert names("photos v1.2/one") == ("one", ["one"])
    # the same file twice is one benchmark; equal names from two folders stay apart
    assert names("quick", "quick/one.yaml") == ("quick+quick-one", ["deep/two", "one"])
    assert names("quick/one", "photos v1.2") == ("quick-one+photos v1.2", ["one", "photos v1.2/one"])
    assert names("benchmarks")[1] == ["quick/deep/two", "quick/one"]
    monkeypatch.chdir(tmp_path / "photos v1.2")
    assert names(".") == ("photos v1.2", ["one"])


def test_every_shipped_suite_is_free_of_mistakes() -> None:
    for name in ("quick", "lineage", "driving"):
        assert load_suite([name]).benchmarks


def test_no_mistake_is_ever_a_traceback(tmp_path: Path) -> None:
    """Each value of a good file replaced by each of several wrong ones: SpecError or a suite, nothing else."""
    good: dict[str, Any] = {
        "task": "segmentation", "mode": "train", "title": "t", "primary": "miou", "baseline": "unet", "seeds": [0],
        "datasets": [{"name": "streets", "options": {"height": 96}, "recipe": {"lr": 0.1}}],
        "models": [{"name": "unet", "options": {"width": 8}, "recipe": {"augment": {"flip": True}}, "label": "unet",
                    "weights": "x.pt"}],
        "recipe": {"augment": {"flip": True}, "input_size": [32, 32]},
    }  # fmt: skip

    def places(node: Any, loc: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        items = list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ())
        return [(*loc, key) for key, _ in items] + [p for key, value in items for p in places(value, (*loc, key))]

    found = places(good)
    assert len(found) > 25
    wordless = []
    for place in found:
        for wrong in (None, 3, -1.5, True, "x/../y:z", "", [], [[]], [None], {}, {"": {}}):
            data = copy.deepcopy(good)
            here: Any = data
            for key in place[:-1]:
                here = here[key]
            here[place[-1]] = wrong
            try:
                load_suite([write(tmp_path, json.dumps(data))])
            except SpecError as error:
                wordless += [(place, wrong) for problem in error.problems if not (problem.line and problem.message)]
    assert wordless == []

"""`dotted.key=value` of the command line: where it goes, and how its mistakes are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cvbench.plan import plan
from cvbench.spec import Benchmark
from cvbench.suite import load_suite
from cvbench.yamlfile import SpecError

FILES = {
    "one.yaml": """\
task: classification
datasets: [digits, {name: streets, options: {train: 9}}]
models:
  - linear
  - {name: mlp, label: small}
  - {name: mlp, label: large}
  - my.own_file:build
  - torchvision/resnet18
recipe: {lr: 0.1, augment: {flip: true}}
""",
    "two.yaml": "task: segmentation\ndatasets: [streets]\nmodels: [unet]\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def benchmarks(folder: Path, *overrides: str) -> list[Benchmark]:
    return list(load_suite([folder], overrides).benchmarks)


def one(folder: Path, *overrides: str) -> Benchmark:
    return load_suite([folder / "one.yaml"], overrides).benchmarks[0]


@pytest.mark.parametrize(
    ("override", "read", "value"),
    [
        ("recipe.lr=1e-3", lambda b: b.recipe.lr, 0.001),
        ("recipe.epochs=3", lambda b: b.recipe.epochs, 3),
        ("recipe.augment.shift=2", lambda b: (b.recipe.augment.flip, b.recipe.augment.shift), (True, 2)),
        ("recipe.augment={shift: 2}", lambda b: (b.recipe.augment.flip, b.recipe.augment.shift), (False, 2)),
        ("recipe.input_size=[32, 48]", lambda b: b.recipe.input_size, (32, 48)),
        ("recipe={lr: 1}", lambda b: (b.recipe.lr, b.recipe.augment.flip), (1.0, False)),
        ("seeds=[3,4]", lambda b: b.seeds, (3, 4)),
        ("title=a = b", lambda b: b.title, "a = b"),
        ("title=no", lambda b: b.title, "no"),
        ("primary=null", lambda b: b.primary, None),
        ("models=[lenet, linear]", lambda b: [m.name for m in b.models], ["lenet", "linear"]),
        ("datasets.streets.options.train=5", lambda b: b.datasets[1].options, {"train": 5}),
        ("datasets.1.options.test=5", lambda b: b.datasets[1].options, {"train": 9, "test": 5}),
        ("datasets.digits.recipe.lr=2", lambda b: b.datasets[0].recipe, {"lr": 2}),
        ("models.small.options.hidden=[9]", lambda b: [m.options for m in b.models[1:3]], [{"hidden": [9]}, {}]),
        ("models.2.options.hidden=[9]", lambda b: [m.options for m in b.models[1:3]], [{}, {"hidden": [9]}]),
        ("models.my.own_file:build.options.a.b=1", lambda b: b.models[3].options, {"a": {"b": 1}}),
        ("models.torchvision/resnet18.label=r18", lambda b: b.models[4].label, "r18"),
        ("models.linear.name=lenet", lambda b: b.models[0].name, "lenet"),
    ],
)
def test_where_overrides_go(folder: Path, override: str, read: Any, value: Any) -> None:
    assert read(one(folder)) != value or value is None
    assert read(one(folder, override)) == value


def test_the_recipe_of_the_command_line_wins_over_those_of_single_datasets_and_models(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "task: classification\n"
        "datasets: [digits, {name: mnist, recipe: {epochs: 25, lr: 0.2}}]\n"
        "models: [linear, {name: mlp, recipe: {lr: 0.5, augment: {shift: 2, flip: true}}}]\n"
        "recipe: {epochs: 3, lr: 0.1}\n"
    )

    def planned(*overrides: str) -> set[tuple[Any, ...]]:
        runs = plan(load_suite([file], overrides))
        return {
            (run.dataset.name, run.model.name, run.recipe.epochs, run.recipe.steps, run.recipe.lr,
             run.recipe.augment.shift, run.recipe.augment.flip)
            for run in runs
        }  # fmt: skip

    assert ("mnist", "mlp", 25, None, 0.5, 2, True) in planned()
    assert {run[2] for run in planned("recipe.epochs=1")} == {1}
    assert {run[2:4] for run in planned("recipe.steps=7", "recipe.epochs=null")} == {(None, 7)}
    assert {run[4] for run in planned("recipe.lr=0.3")} == {0.3}
    assert {run[5:] for run in planned("recipe.augment.shift=1") if run[1] == "mlp"} == {(1, True)}
    # what names one of them means that one, also after
    assert {run[4] for run in planned("recipe.lr=0.3", "models.mlp.recipe.lr=0.4")} == {0.3, 0.4}


def test_later_overrides_win_and_reach_into_earlier_ones(folder: Path) -> None:
    assert one(folder, "recipe.lr=1", "recipe.lr=2").recipe.lr == 2.0
    assert one(folder, "models=[{name: mlp}]", "models.mlp.options.hidden=[9]").models[0].options == {"hidden": [9]}
    assert one(folder, "models=[mlp]", "models.mlp.options.hidden=[9]").models[0].options == {"hidden": [9]}


def test_a_suite_takes_them_where_it_has_the_place(folder: Path) -> None:
    first, second = benchmarks(folder, "datasets.streets.options.test=5", "models.unet.options.width=4", "seeds=[7]")
    assert first.datasets[1].options == {"train": 9, "test": 5}
    assert second.datasets[0].options == {"test": 5}
    assert second.models[0].options == {"width": 4}
    assert first.seeds == second.seeds == (7,)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("recipe.epoch=1", "unknown key 'recipe.epoch'; did you mean 'epochs'?"),
        ("recipe.augment.flipp=true", "unknown key 'recipe.augment.flipp'; did you mean 'flip'?"),
        ("epochs=1", "unknown key 'epochs'; it belongs under `recipe`"),
        ("recipe.lr=fast", "recipe.lr: Expected a number, but got 'fast'"),
        ("recipe.lr=", "recipe.lr: Expected a number, but got None"),
        ("recipe.epochs=1e3", "recipe.epochs: Expected an integer, but got 1000.0"),
        ("recipe.lr=.inf", "Expected a finite number, but got .inf"),
        ("recipe.lr=[1", "not valid YAML: "),
        ("recipe.lr.x=1", "recipe.lr is 0.1 and has no keys"),
        ("recipe.lr", "Expected dotted.key=value"),
        ("=1", "Expected dotted.key=value"),
        ("recipe..lr=1", "unknown key 'recipe.'"),
        ("task=segmentatoin", "unknown task 'segmentatoin'; did you mean 'segmentation'?"),
        ("models.linaer.options.x=1", "'linaer' is the name, label or index of no dataset or model here"),
        ("models.mlp.options.hidden=[1]", "2 items are called 'mlp'; go by index, 1 or 2"),
        ("models.9.label=x", "Expected an index below 5, but got 9"),
        ("models.small.options.hiden=[1]", "unknown option 'hiden' of mlp; did you mean 'hidden'?"),
        ("models.small.name=mpl", "unknown model 'mpl'; did you mean 'mlp'?"),
        ("models.small=linear", "'linear' stands twice; give one of them a `label`"),
        ("models.small=3", "models.1: Expected a mapping of keys, but got 3"),
        ("recip.lr=1", "unknown key 'recip'; did you mean 'recipe'?"),
        ("a.b.c=1", "unknown key 'a'"),
        ("models=linear", "models: Expected a list, but got 'linear'"),
        ("name=x", "unknown key 'name': a benchmark is called by its file's name"),
    ],
)
def test_mistakes_are_told_as_the_command_lines(folder: Path, override: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        one(folder, override)
    first = raised.value.problems[0]
    assert (first.file, first.line) == ("command line", None)
    assert first.message.startswith(f"{override}: {message}")


def test_one_mistake_is_told_once_for_a_whole_suite(folder: Path) -> None:
    with pytest.raises(SpecError) as raised:
        benchmarks(folder, "recipe.epoch=1", "sedes=[1]", "models.nobody.label=x")
    assert [problem.message.partition(": ")[0] for problem in raised.value.problems] == [
        "models.nobody.label=x", "recipe.epoch=1", "sedes=[1]"
    ]  # fmt: skip


def test_mistakes_of_the_file_keep_their_line_beside_an_override(folder: Path) -> None:
    (folder / "one.yaml").write_text("task: classification\ndatasets: [digits]\nmodels: [linear]\nrecipe:\n  lr: 0\n")
    with pytest.raises(SpecError) as raised:
        one(folder, "recipe.epochs=0")
    assert [(problem.file, problem.line) for problem in raised.value.problems] == [
        ("command line", None), (str(folder / "one.yaml"), 5)
    ]  # fmt: skip


def test_the_longest_name_that_fits_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(
        "task: classification\ndatasets: [digits]\nmodels: [{name: mlp, label: net}, {name: mlp, label: net.v2}]\n"
    )
    (benchmark,) = load_suite([file], ["models.net.v2.options.hidden=[9]"]).benchmarks
    assert [model.options for model in benchmark.models] == [{}, {"hidden": [9]}]

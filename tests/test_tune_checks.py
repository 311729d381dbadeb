"""`tune:` in benchmark files and on the command line: what it means, and every mistake in its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cvbench.plan import plan
from cvbench.spec import Benchmark
from cvbench.suite import load_suite
from cvbench.yamlfile import SpecError

TOP = "task: classification\ndatasets: [digits]\nmodels: [linear, mlp]\nrecipe: "


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text)
    return file


def benchmark(folder: Path, text: str, *overrides: str) -> Benchmark:
    return load_suite([write(folder, text)], overrides).benchmarks[0]


def told(folder: Path, text: str, *overrides: str) -> list[tuple[int | None, str]]:
    with pytest.raises(SpecError) as raised:
        load_suite([write(folder, text)], overrides)
    return [(problem.line, problem.message) for problem in raised.value.problems]


def test_a_dataset_may_have_candidates_of_its_own_or_none(tmp_path: Path) -> None:
    found = benchmark(
        tmp_path,
        """\
task: classification
datasets:
  - digits
  - {name: streets, recipe: {epochs: 3, tune: [{lr: 0.1}, {lr: 0.2, augment.flip: true}, {}]}}
  - {name: x_or_not, recipe: {tune: null}}
models: [linear]
recipe: {lr: 0.5, tune: {lr: [1e-3, 1e-2]}}
""",
    )
    assert [found.candidates_on(dataset) for dataset in found.datasets] == [
        ({"lr": 0.001}, {"lr": 0.01}),
        ({"lr": 0.1}, {"lr": 0.2, "augment.flip": True}, {}),
        (),
    ]
    runs = plan(load_suite([tmp_path / "mine.yaml"]))
    recipes = [(run.recipe.lr, run.recipe.epochs, run.recipe.augment.flip) for run in runs]
    assert [(run.dataset.name, run.candidate, *recipe) for run, recipe in zip(runs, recipes, strict=True)] == [
        ("digits", "lr 0.001", 0.001, 10, False),
        ("digits", "lr 0.01", 0.01, 10, False),
        ("streets", "lr 0.1", 0.1, 3, False),
        ("streets", "lr 0.2, augment.flip true", 0.2, 3, True),
        ("streets", "as written", 0.5, 3, False),
        ("x_or_not", "", 0.5, 10, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["recipe.tune.lr=[1, 2]"], [{"lr": 1}, {"lr": 2}]),
        (["recipe.tune=[{lr: 1}, {lr: 2}]", "recipe.tune.1.epochs=3"], [{"lr": 1}, {"lr": 2, "epochs": 3}]),
        (["recipe.tune={lr: [1, 2]}", "recipe.tune.gamma=[0.5]"], [{"lr": 1, "gamma": 0.5}, {"lr": 2, "gamma": 0.5}]),
        (["recipe.tune.augment.flip=[false, true]"], [{"augment.flip": False}, {"augment.flip": True}]),
        (
            ["recipe.tune={augment.shift: [1, 2]}", "recipe.tune.augment.shift=[3, 4]"],
            [{"augment.shift": 3}, {"augment.shift": 4}],
        ),
        (["recipe.tune.lr=[1, 2]", "recipe.tune=null"], []),
    ],
)
def test_overrides_reach_into_it(tmp_path: Path, overrides: list[str], expected: list[dict[str, Any]]) -> None:
    found = benchmark(tmp_path, TOP + "{epochs: 1}\n", *overrides)
    assert list(found.candidates_on(found.datasets[0])) == expected


def test_mistakes_of_overrides_are_the_command_lines(tmp_path: Path) -> None:
    text = TOP + "{tune: [{lr: 1}, {lr: 2}]}\n"
    assert told(tmp_path, text, "recipe.tune.lr=[1]") == [
        (None, "recipe.tune.lr=[1]: recipe.tune is a list: go by index, or replace it (recipe.tune=…)")
    ]
    assert told(tmp_path, text, "recipe.tune.1.lr=-1") == [
        (None, "recipe.tune.1.lr=-1: recipe.tune.1.lr: Expected a number greater than 0, but got -1")
    ]


MANY = """\
task: classification
datasets:
  - digits
  - name: streets
    recipe:
      tune:
        lr: [1e-3, 0.001]
models:
  - linear
  - name: mlp
    recipe:
      lr: 0.1
      tune: {lr: [1, 2]}
recipe:
  tune:
    lr:
      - 1e-3
      - -1
    augment.flipp: [true, false]
    augment.shift: [1.5]
    flip: [true]
    wight_decay: [1]
"""


def test_every_mistake_at_once_in_its_line(tmp_path: Path) -> None:
    assert told(tmp_path, MANY) == [
        (6, "datasets.1.recipe.tune: candidates 1 and 2 are the same recipe (lr 0.001); remove one"),
        (12, "models.1.recipe.lr: `datasets.1.recipe.tune` chooses this for every model; remove one of the two"),
        (13, "models.1.recipe.tune: all models try the same candidates, else it is no comparison; put them under the "
             "benchmark's `recipe`"),
        (18, "recipe.tune.lr: Expected a number greater than 0, but got -1"),
        (19, "unknown key 'recipe.tune.augment.flipp'; did you mean 'flip'?"),
        (20, "recipe.tune.augment.shift: Expected an integer, but got 1.5"),
        (21, "unknown key 'recipe.tune.flip'; it belongs under `augment`"),
        (22, "unknown key 'recipe.tune.wight_decay'; did you mean 'weight_decay'?"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TOP + "{tune: {}}", (4, "recipe.tune: Expected at least 2 candidates, but got none; ")),
        (TOP + "{tune: []}", (4, "recipe.tune: Expected at least 2 candidates, but got none; ")),
        (TOP + "{tune: [{lr: 1}]}", (4, "recipe.tune: Expected at least 2 candidates, but got one, ")),
        (TOP + "\n  tune:\n    lr: 0.1\n", (6, "recipe.tune.lr: Expected a list of values to try, but got 0.1")),
        (TOP + "\n  tune:\n    - {lr: 1}\n    - 3\n", (7, "recipe.tune.1: Expected a mapping of keys of the recipe, ")),
        (TOP + f"{{tune: {{lr: {list(range(1, 66))}}}}}", (4, "recipe.tune: Expected at most 64 candidates, ")),
        (
            TOP + "\n  tune:\n    - {epochs: 10}\n    - {}\n",
            (7, "recipe.tune: candidates 1 and 2 are the same recipe (as written); remove one"),
        ),
        (
            TOP + "\n  tune:\n    - {epochs: 1}\n    - {epochs: 1, steps: 2}\n",
            (7, "recipe.tune.1: Expected `epochs` or `steps`, but got both; remove one (candidate epochs 1, steps 2)"),
        ),
        (
            TOP.replace("mlp", "{name: mlp, recipe: {steps: 5}}") + "{tune: {epochs: [1, 2]}}",
            (3, "models.1.recipe.steps: `recipe.tune` chooses this for every model; remove one of the two"),
        ),
        (
            TOP.replace("mlp", "{name: mlp, recipe: {augment: {flip: true}}}")
            + "{tune: {augment.flip: [true, false]}}",
            (3, "models.1.recipe.augment: `recipe.tune` chooses this for every model; remove one of the two"),
        ),
        (
            TOP.replace("mlp", "{name: mlp, recipe: {nesterov: true, optimiser: sgd}}")
            + "\n  tune: {momentum: [0.9, 0]}\n",
            (5, "recipe.tune: Expected optimiser sgd and a momentum above 0 with `nesterov`, but got "),
        ),
        (
            "task: classification\nmode: evaluate\ndatasets: [digits]\nmodels: [{name: 'torchvision/resnet18', "
            "weights: DEFAULT}]\nrecipe: {tune: {lr: [1, 2]}}",
            (5, "tune: mode is evaluate: nothing is trained, so there is nothing to choose; remove it"),
        ),
        (
            "task: classification\ndatasets: [digits]\nmodels: [linear]\ntune: {lr: [1, 2]}\n",
            (4, "unknown key 'tune'; it belongs under `recipe`"),
        ),
        (
            "task: classification\ndatasets:\n  - {name: digits, recipe: {tune: 3}}\nmodels: [linear]\n",
            (3, "datasets.0.recipe.tune: Expected a list of values for each key, or a list of candidates, but got 3"),
        ),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, text: str, expected: tuple[int, str]) -> None:
    ((line, message),) = told(tmp_path, text)
    assert line == expected[0]
    assert message.startswith(expected[1])


def test_what_goes_beside_it_is_no_mistake(tmp_path: Path) -> None:
    """The recipe's own value is what is tried where nothing is tuned; other keys of `augment` are others'."""
    text = TOP.replace("mlp", "{name: mlp, recipe: {augment: {shift: 2}}}") + (
        "{lr: 1e-3, augment: {flip: true}, tune: {lr: [1e-3, 1e-2], augment.flip: [true, false]}}"
    )
    runs = plan(load_suite([write(tmp_path, text)]))
    assert [(run.recipe.augment.flip, run.recipe.augment.shift) for run in runs[4:]] == [(True, 2), (False, 2)] * 2
    off = plan(load_suite([tmp_path / "mine.yaml"], ["recipe.tune=null"]))
    assert [(run.recipe.lr, run.recipe.augment.flip, run.candidate) for run in off] == [(1e-3, True, "")] * 2


def test_no_mistake_is_ever_a_traceback(tmp_path: Path) -> None:
    wordless = []
    wrong: tuple[Any, ...] = (
        None,
        3,
        -1.5,
        True,
        "x",
        "",
        [],
        [[]],
        [None],
        {},
        {"": {}},
        {"augment": 3},
        {"lr.x": [1]},
    )
    values = [
        *wrong,
        *({"lr": one} for one in wrong),
        *({"augment": one} for one in wrong),
        *([one, {}] for one in wrong),
    ]
    values += [{"augment": [one, {}]} for one in wrong] + [{"augment.flip": [True], "augment": [one]} for one in wrong]
    for tune in values:
        for place in ("recipe", "datasets", "models"):
            data: dict[str, Any] = {
                "task": "classification",
                "datasets": [{"name": "digits"}],
                "models": [{"name": "mlp"}],
            }
            here = data if place == "recipe" else data[place][0]
            here["recipe"] = {"tune": tune}
            try:
                plan(load_suite([write(tmp_path, json.dumps(data))]))
            except SpecError as error:
                wordless += [(place, tune) for one in error.problems if not (one.line and one.message)]
    assert wordless == []

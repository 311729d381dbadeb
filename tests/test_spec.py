"""`RunSpec`: what a run's id depends on and what not; recipes and how they are changed."""

from __future__ import annotations

import hashlib
import json
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from cvbench.spec import Augment, Benchmark, DatasetRef, ModelEntry, ModelRef, Recipe, RunSpec, Weights

# The canonical JSON of `run()`, written by hand. Changing what is hashed makes every finished run of everybody missing:
# if this test fails, say so in the CHANGELOG, or give the new key a default of None.
CANONICAL = (
    '{"dataset":{"name":"camvid","options":{"classes":11,"layout":null},"version":1},'
    '"mode":"train",'
    '"model":{"name":"unet","options":{"width":32},"version":2,"weights":{"sha256":"ab12"}},'
    '"primary":"miou",'
    '"recipe":{"augment":{"colour":0.0,"crop_scale":[0.5,1.0],"flip":true,"rotate":0.0,"shift":0},"batch_size":32,'
    '"channels_last":true,"class_weights":"none","crop_fraction":0.875,"epochs":3,"gamma":0.1,"label_smoothing":0.0,'
    '"lr":0.001,"milestones":[0.5,0.75],"momentum":0.9,"nesterov":false,"optimiser":"adamw","power":0.9,'
    '"precision":"32-true","resize":"stretch","schedule":"cosine","val_every":1,"weight_decay":0.0},'
    '"seed":7,"task":"segmentation","task_version":1}'
)
RUN_ID, GROUP_ID = "6d39632f431b", "8cc428eccd04"


def run(**changes: Any) -> RunSpec:
    fields: dict[str, Any] = {
        "task": "segmentation",
        "mode": "train",
        "primary": "miou",
        "dataset": DatasetRef(name="camvid", options={"classes": 11, "layout": None}, version=1),
        "model": ModelRef(
            name="unet", options={"width": 32}, version=2, weights=Weights(source="/a/unet.pt", sha256="ab12")
        ),
        "recipe": Recipe(epochs=3, augment=Augment(flip=True, crop_scale=(0.5, 1.0))),
        "seed": 7,
        "task_version": 1,
        "suite": "driving",
        "benchmark": "camvid",
        "label": "unet",
    }
    return RunSpec(**fields | changes)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def test_the_id_is_the_hash_of_the_canonical_json_and_never_changes() -> None:
    assert sha(CANONICAL) == RUN_ID
    assert run().run_id == RUN_ID
    assert sha(CANONICAL.replace('"seed":7,', "")) == GROUP_ID
    assert run().group_id == GROUP_ID


@pytest.mark.parametrize(
    "changes",
    [
        {"suite": "other"},
        {"benchmark": "other"},
        {"label": "other"},
        {"overrides": ("lr",)},
        {"dataset": DatasetRef(name="camvid", options={"layout": None, "classes": 11}, version=1)},
        {
            "model": ModelRef(
                name="unet", options={"width": 32}, version=2, weights=Weights(source="/moved.pt", sha256="ab12")
            )
        },
        {"recipe": Recipe(augment=Augment(crop_scale=(0.5, 1.0), flip=True), epochs=3, lr=1e-3, warmup=None)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_names_places_and_order_do_not_change_the_id(changes: dict[str, Any]) -> None:
    assert run(**changes).run_id == run().run_id
    assert run(**changes).group_id == run().group_id


DATASET, MODEL = run().dataset, run().model
CHANGES = [
    {"task": "classification"},
    {"task_version": 2},
    {"mode": "evaluate"},
    {"primary": "pixel_accuracy"},
    {"dataset": DATASET.model_copy(update={"name": "voc_seg"})},
    {"dataset": DATASET.model_copy(update={"version": 2})},
    {"dataset": DATASET.model_copy(update={"options": {"classes": 12, "layout": None}})},
    {"dataset": DATASET.model_copy(update={"options": {"classes": 11, "layout": "segnet"}})},
    {"dataset": DATASET.model_copy(update={"options": {"classes": 11}})},
    {"model": MODEL.model_copy(update={"name": "segnet"})},
    {"model": MODEL.model_copy(update={"version": 3})},
    {"model": MODEL.model_copy(update={"options": {"width": 64}})},
    {"model": MODEL.model_copy(update={"weights": None})},
    {"model": MODEL.model_copy(update={"weights": Weights(source="/a/unet.pt", sha256="cd34")})},
    {"model": MODEL.model_copy(update={"weights": Weights(source="IMAGENET1K_V1")})},
    {"model": MODEL.model_copy(update={"weights": Weights(source="IMAGENET1K_V2")})},
    {"model": MODEL.model_copy(update={"backbone_weights": Weights(source="/a/lite.pth", sha256="ab12")})},
    {"model": MODEL.model_copy(update={"backbone_weights": Weights(source="/a/lite.pth", sha256="cd34")})},
    {"model": MODEL.model_copy(update={"weights": None, "backbone_weights": MODEL.weights})},
]


def test_a_backbones_file_counts_by_content_wherever_it_lies() -> None:
    here, there = (
        MODEL.model_copy(update={"backbone_weights": Weights(source=place, sha256="ab12")}) for place in "ab"
    )
    assert run(model=here).run_id == run(model=there).run_id


def test_everything_that_changes_numbers_changes_the_id() -> None:
    specs = [run(), *(run(**changes) for changes in CHANGES)]
    assert len({spec.run_id for spec in specs}) == len(specs)
    assert len({spec.group_id for spec in specs}) == len(specs)


OTHER_VALUES = {
    "epochs": 4, "steps": 100, "batch_size": 16, "optimiser": "sgd", "lr": 0.01, "momentum": 0.8, "nesterov": True,
    "weight_decay": 0.1, "schedule": "poly", "warmup": 0.1, "milestones": [0.5], "gamma": 0.2, "power": 1.0,
    "label_smoothing": 0.1, "class_weights": "median_frequency", "input_size": [64, 64], "resize": "crop",
    "crop_fraction": 1.0, "gradient_clip": 1.0, "precision": "bf16-mixed", "channels_last": False, "val_every": 2,
    "augment": {"flip": False}, "sync_batch_norm": True,
}  # fmt: skip
OTHER_AUGMENT = {
    "flip": False,
    "shift": 2,
    "crop_scale": [0.4, 1.0],
    "crop_ratio": [0.9, 1.1],
    "rotate": 5,
    "colour": 0.1,
}


@pytest.mark.parametrize("key", Recipe.model_fields)
def test_every_key_of_the_recipe_changes_the_id(key: str) -> None:
    more = {"optimiser": "sgd"} if key == "nesterov" else {}
    before, after = run().recipe.changed(more), run().recipe.changed(more | {key: OTHER_VALUES[key]})
    assert run(recipe=before).run_id != run(recipe=after).run_id


def test_keys_that_came_later_leave_old_ids_as_they_are() -> None:
    before = json.loads(CANONICAL)["recipe"]
    assert "sync_batch_norm" not in before
    assert run(recipe=Recipe.model_validate_json(json.dumps(before))).run_id == RUN_ID
    assert run(recipe=run().recipe.changed({"sync_batch_norm": False})).run_id == RUN_ID


@pytest.mark.parametrize("key", Augment.model_fields)
def test_every_key_of_the_augmentation_changes_the_id(key: str) -> None:
    assert run(recipe=run().recipe.changed({"augment": {key: OTHER_AUGMENT[key]}})).run_id != RUN_ID


def test_seeds_share_a_group_and_nothing_else() -> None:
    runs = [run(seed=seed) for seed in range(5)]
    assert len({one.run_id for one in runs}) == 5
    assert {one.group_id for one in runs} == {GROUP_ID}


def test_a_whole_number_is_the_same_number() -> None:
    assert run(recipe=run().recipe.changed({"lr": 1})).run_id == run(recipe=run().recipe.changed({"lr": 1.0})).run_id


def test_a_changed_copy_has_an_id_of_its_own() -> None:
    first = run()
    assert first.run_id == RUN_ID  # cached from here on
    assert first.group_id == GROUP_ID
    copy = first.model_copy(update={"seed": 8})
    assert copy.run_id == run(seed=8).run_id != RUN_ID
    assert first.model_copy(update={"mode": "evaluate"}).group_id != GROUP_ID
    assert first.model_copy().run_id == RUN_ID


def test_json_and_pickle_give_the_same_run_back() -> None:
    first = run()
    assert RunSpec.model_validate_json(first.model_dump_json()).run_id == RUN_ID
    assert pickle.loads(pickle.dumps(first)).run_id == RUN_ID
    with pytest.raises(ValidationError, match="frozen"):
        first.seed = 8  # type: ignore[misc]


def test_recipes_change_key_by_key() -> None:
    recipe = Recipe(epochs=3, augment=Augment(flip=True))
    assert recipe.changed({"augment": {"shift": 2}}).augment == Augment(flip=True, shift=2)
    assert recipe.changed({"lr": 0.1}, {"lr": 0.2}).lr == 0.2
    stepped = recipe.changed({"steps": 10})
    assert (stepped.epochs, stepped.steps) == (None, 10)
    again = stepped.changed({"epochs": 2})
    assert (again.epochs, again.steps) == (2, None)
    assert recipe.changed() == recipe


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"epochs": 1, "steps": 1}, "Expected `epochs` or `steps`, but got both"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"lr": 0.0}, "greater than 0"),
        ({"lr": "0.1"}, "valid number"),
        ({"lr": True}, "valid number"),
        ({"batch_size": 2.5}, "valid integer"),
        ({"batch_size": True}, "valid integer"),
        ({"optimiser": "SGD"}, "'sgd', 'adam' or 'adamw'"),
        ({"precision": "16"}, "'32-true', 'tf32', 'bf16-mixed' or '16-mixed'"),
        ({"nesterov": True}, "Expected optimiser sgd and a momentum above 0"),
        ({"nesterov": True, "optimiser": "sgd", "momentum": 0.0}, "Expected optimiser sgd and a momentum above 0"),
        ({"input_size": [64]}, "Field required"),
        ({"input_size": [64, 0]}, "greater than or equal to 1"),
        ({"augment": {"crop_scale": [1.0, 0.5]}}, r"Expected \[low, high\] with low <= high"),
        ({"augment": {"flop": True}}, "Extra inputs"),
        ({"epoch": 1}, "Extra inputs"),
    ],
)
def test_recipes_that_make_no_sense(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Recipe().changed(given)


def test_repeated_seeds_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"Expected different seeds, but got \[0, 1, 0\]"):
        Benchmark.model_validate_json(
            '{"name": "x", "task": "t", "datasets": [{"name": "d"}], "models": [{"name": "m"}], "seeds": [0, 1, 0],'
            '"file": "x.yaml"}'
        )
    with pytest.raises(ValidationError, match="at least 1"):
        ModelEntry(name="")

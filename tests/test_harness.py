"""One run from spec to record: real digits, real processes, and what must stop a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from cvbench.arrays import load_arrays
from cvbench.devices import check_precision
from cvbench.harness import run
from cvbench.machine import Machine
from cvbench.plan import plan
from cvbench.record import Record, read_record
from cvbench.spec import Recipe, RunSpec
from cvbench.suite import load_suite
from cvbench.tasks.losses import LossIsNotFiniteError
from cvbench.trained import load_model, load_task
from cvbench.trainer import training_length

TELLER = {"embedding": 16, "hidden": 24, "attention": 8, "encoder_width": 4}
RCNN = {"backbone": "small", "width": 4, "source": "regions", "proposals": 40, "crop_size": 48}
RECIPE = {"epochs": 2, "batch_size": 64, "lr": 3e-3}


def specs(folder: Path, **changes: Any) -> list[RunSpec]:
    """The plan of a small benchmark on scikit-learn's digits, with keys changed."""
    benchmark = {"task": "classification", "datasets": ["digits"], "models": ["mlp"], "recipe": RECIPE} | changes
    file = folder / "small.yaml"
    file.write_text(json.dumps(benchmark))
    return plan(load_suite([file]))


def machine(tmp_path: Path, **changes: Any) -> Machine:
    return Machine(**{"accelerator": "cpu", "threads": 1, "cache": tmp_path / "cache", "data_root": tmp_path} | changes)


def finish(spec: RunSpec, folder: Path, on: Machine) -> Record:
    record = run(spec, on, folder)
    assert record is not None
    return record


def test_scores_equal_scikit_learns_from_the_saved_model(tmp_path: Path) -> None:
    (spec,) = specs(tmp_path)
    folder = tmp_path / "digits" / "mlp" / spec.run_id
    record = finish(spec, folder, machine(tmp_path))
    from cvbench.data_here import load_dataset

    split = load_dataset(spec.task, spec.dataset, tmp_path).splits["test"]
    images = torch.from_numpy(np.stack([sample.image for sample in split])).permute(0, 3, 1, 2).float() / 255
    labels = [split.target(index) for index in range(len(split))]
    with torch.inference_mode():
        probabilities = load_model(folder).eval()(images).double().softmax(dim=1).numpy()
    assert record.metrics["test/top1"] == accuracy_score(labels, probabilities.argmax(axis=1))
    assert record.metrics["test/nll"] == pytest.approx(log_loss(labels, probabilities), rel=1e-5)
    assert record.metrics["test/top1"] > 0.9
    assert record.samples == {"test": len(split)}


def test_everything_that_the_store_promises_is_there(tmp_path: Path) -> None:
    (spec,) = specs(tmp_path)
    folder = tmp_path / "digits" / "mlp" / spec.run_id
    record = finish(spec, folder, machine(tmp_path))
    assert read_record(folder / "record.json") == record
    promised = {"record.json", "evidence.npz", "curves.csv", "confusion.csv", "samples.png", "log.txt", "model.pt"}
    assert promised <= {path.name for path in folder.iterdir()}
    table = [row.split(",") for row in (folder / "confusion.csv").read_text().splitlines()]
    right = sum(int(row[place + 1]) for place, row in enumerate(table[1:]))
    assert right == round(record.metrics["test/top1"] * record.samples["test"])
    with np.load(folder / "evidence.npz", allow_pickle=False) as evidence:
        assert len(set(evidence["ids"])) == record.samples["test"]
    with np.load(folder / "truth.npz", allow_pickle=False) as arrays:
        assert arrays["labels"].shape == (record.samples["test"],)
    # 784-like layer: 8x8 pixels -> 800 -> 10, by hand
    assert record.costs.parameters == 64 * 800 + 800 + 800 * 10 + 10
    assert record.costs.macs == 64 * 800 + 800 * 10
    assert record.selection.rule == "highest val/top1"
    assert record.metrics["val/top1"] == record.selection.value
    assert record.execution.threads == 1


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection", "captioning"])
def test_same_spec_gives_the_same_bits_in_a_used_and_in_a_fresh_process(tmp_path: Path, task: str) -> None:
    streets = {"name": "streets", "options": {"height": 48, "width": 64, "train": 24, "val": 8, "test": 9}}
    augment = {"flip": True, "crop_scale": [0.5, 1.2], "rotate": 10.0, "colour": 0.3}
    changes = {
        "classification": {
            "recipe": RECIPE | {"augment": {"shift": 1}},
            "models": [{"name": "mlp", "options": {"dropout": 0.2}}],
        },
        "segmentation": {
            "task": "segmentation",
            "datasets": [streets],
            "models": [{"name": "segnet", "options": {"width": 4, "depth": 2}}],
            "recipe": RECIPE | {"batch_size": 8, "augment": augment},
        },
        # Trained by gradient descent, then fitted once more: support vector machines and ridge regressions.
        "detection": {
            "task": "detection",
            "datasets": [streets],
            "models": [{"name": "rcnn", "options": RCNN}],
            "recipe": RECIPE | {"batch_size": 8, "augment": augment},
        },
        "captioning": {
            "task": "captioning",
            "datasets": [streets],
            "models": [{"name": "show_attend_tell", "options": TELLER}],
            "recipe": RECIPE | {"batch_size": 8, "augment": augment},
        },
    }
    (spec,) = specs(tmp_path, **changes[task])
    on = machine(tmp_path)
    first = finish(spec, tmp_path / "a" / "b" / "first", on)
    used = finish(spec, tmp_path / "a" / "b" / "used", on)
    job = {"spec": spec.model_dump(mode="json"), "machine": on.model_dump(mode="json")}
    fresh_folder = tmp_path / "a" / "b" / "fresh"
    (tmp_path / "job.json").write_text(json.dumps(job | {"folder": str(fresh_folder)}))
    subprocess.run([sys.executable, "-m", "cvbench.harness", str(tmp_path / "job.json")], check=True, timeout=300)
    fresh = read_record(fresh_folder / "record.json")
    assert first.metrics == used.metrics == fresh.metrics
    folders = [tmp_path / "a" / "b" / name for name in ("first", "used", "fresh")]
    weights = [torch.load(folder / "model.pt", weights_only=True) for folder in folders]
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name])
        assert torch.equal(tensor, weights[2][name])
    evidence = [load_arrays(folder / "evidence.npz") for folder in folders]
    for name, values in evidence[0].items():
        assert np.array_equal(values, evidence[1][name])
        assert np.array_equal(values, evidence[2][name])


def test_the_last_epoch_is_validated_whatever_val_every_is(tmp_path: Path) -> None:
    (spec,) = specs(tmp_path, recipe=RECIPE | {"epochs": 5, "val_every": 3})
    folder = tmp_path / "a" / "b" / "c"
    finish(spec, folder, machine(tmp_path))
    rows = (folder / "curves.csv").read_text().splitlines()
    column = rows[0].split(",").index("val/top1")
    assert [row.split(",")[0] for row in rows[1:] if row.split(",")[column]] == ["3", "5"]


def test_another_seed_gives_another_model(tmp_path: Path) -> None:
    a, b = specs(tmp_path, seeds=[0, 1])
    assert a.group_id == b.group_id
    on = machine(tmp_path)
    nll = [finish(spec, tmp_path / "a" / "b" / str(spec.seed), on).metrics["test/nll"] for spec in (a, b)]
    assert nll[0] != nll[1]


def test_a_loss_that_turns_nan_stops_the_run_and_names_the_step(tmp_path: Path) -> None:
    (spec,) = specs(tmp_path, recipe=RECIPE | {"lr": 1e30, "optimiser": "sgd", "schedule": "constant"})
    with pytest.raises(LossIsNotFiniteError, match=r"the loss is (nan|inf) at step 2 \(epoch 1\); lower recipe.lr"):
        run(spec, machine(tmp_path), tmp_path / "a" / "b" / "c")
    assert not (tmp_path / "a" / "b" / "c" / "record.json").exists()


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3, 3)}, tmp_path / "other.pt")
    (spec,) = specs(tmp_path, models=[{"name": "mlp", "weights": "other.pt"}])
    with pytest.raises(ValueError, match="another architecture"):
        run(spec, machine(tmp_path), tmp_path / "a" / "b" / "c")


def test_evaluate_mode_scores_given_weights(tmp_path: Path) -> None:
    (spec,) = specs(tmp_path)
    trained = finish(spec, tmp_path / "a" / "b" / "c", machine(tmp_path))
    weights = [{"name": "mlp", "weights": "a/b/c/model.pt"}]
    (again,) = specs(tmp_path, models=weights, mode="evaluate")
    record = finish(again, tmp_path / "a" / "b" / "d", machine(tmp_path))
    tested = {name: value for name, value in trained.metrics.items() if name.startswith("test/")}
    assert record.metrics == tested
    assert record.costs.train_seconds is None
    assert record.selection.rule == "the given weights"


def test_a_batch_that_devices_cannot_share_is_refused(tmp_path: Path) -> None:
    (spec,) = specs(tmp_path, recipe=RECIPE | {"batch_size": 63})
    with pytest.raises(ValueError, match="multiple of 2 devices, but got 63"):
        run(spec, machine(tmp_path, devices=2), tmp_path / "a" / "b" / "c")


def test_a_precision_that_the_device_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"recipe.precision='16-mixed': float16 autocast needs CUDA; use 32-true"):
        check_precision("16-mixed", "cpu")


@pytest.mark.parametrize(
    ("recipe", "size", "epochs", "steps"),
    [
        ({"epochs": 3, "batch_size": 10}, 35, 3, 9),  # the last 5 of each epoch are dropped
        ({"epochs": 3, "batch_size": 64}, 35, 3, 3),  # fewer samples than a batch: one short batch
        ({"steps": 7, "batch_size": 10}, 100, 1, 7),  # less than an epoch
        ({"steps": 25, "batch_size": 10}, 100, 3, 27),  # three epochs of equal length
    ],
)
def test_length_of_a_training(recipe: dict[str, Any], size: int, epochs: int, steps: int) -> None:
    length = training_length(Recipe(**recipe), size)
    assert (length.epochs, length.steps) == (epochs, steps)


def test_a_finished_run_loads_as_a_task(tmp_path: Path) -> None:
    (spec,) = specs(tmp_path)
    folder = tmp_path / "a" / "b" / "c"
    finish(spec, folder, machine(tmp_path))
    task, record = load_task(folder)
    assert not task.training
    assert record.run_id == spec.run_id
    with pytest.raises(ValueError, match="folder of a finished run"):
        load_task(tmp_path / "a")

"""Runs killed in mid-training, really, that end with the same bits as if they had not been."""

from __future__ import annotations

import random
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cvbench import randomness, results
from cvbench.checkpoints import Best, clear
from cvbench.data_here import load_dataset
from cvbench.harness import run as run_here
from cvbench.machine import Machine
from cvbench.resuming import conditions, look
from cvbench.spec import RunSpec
from cvbench.store import Store
from cvbench.working import CHECKPOINT
from tests.killing import differences, left_by, tried
from tests.test_harness import RCNN, TELLER, machine, specs

EVERY_STEP = 1e-9
DIGITS = {"epochs": 3, "batch_size": 256, "lr": 3e-3, "augment": {"shift": 1}}
STREETS = {"name": "streets", "options": {"height": 48, "width": 64, "train": 24, "val": 8, "test": 9}}
SCENES = {"epochs": 3, "batch_size": 8, "lr": 3e-3, "augment": {"flip": True, "rotate": 10.0, "colour": 0.3}}
SUITES: dict[str, dict[str, Any]] = {
    "classification": {"recipe": DIGITS, "models": [{"name": "mlp", "options": {"dropout": 0.2}}]},
    "segmentation": {  # has batch norm
        "task": "segmentation",
        "datasets": [STREETS],
        "models": [{"name": "segnet", "options": {"width": 4, "depth": 2}}],
        "recipe": SCENES,
    },
    "detection": {  # fits support vector machines after training
        "task": "detection",
        "datasets": [STREETS],
        "models": [{"name": "rcnn", "options": RCNN}],
        "recipe": SCENES,
    },
    "captioning": {
        "task": "captioning",
        "datasets": [STREETS],
        "models": [{"name": "show_attend_tell", "options": TELLER}],
        "recipe": SCENES,
    },
}


def one(folder: Path, task: str = "classification", **recipe: Any) -> RunSpec:
    changes = SUITES[task]
    (spec,) = specs(folder, **changes | {"recipe": changes["recipe"] | recipe})
    return spec


def checkpoint(run: RunSpec, store: Path) -> Path:
    return Store(store).folder(run) / ".new" / CHECKPOINT


@pytest.mark.parametrize(
    ("task", "recipe", "kills"),
    [
        # Moments are training steps, their checkpoints, validation steps: a kill in each of several epochs.
        ("classification", {"optimiser": "adam", "schedule": "one_cycle"}, [6, 3, 9]),
        ("segmentation", {"optimiser": "sgd", "schedule": "poly", "val_every": 2}, [5, 7, 6]),
        pytest.param("detection", {"steps": 7, "epochs": None}, [5, 6], marks=pytest.mark.slow),
        pytest.param("captioning", {"gradient_clip": 1.0, "warmup": 0.4}, [4, 8], marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(
    tmp_path: Path, task: str, recipe: dict[str, Any], kills: list[int]
) -> None:
    run, on = one(tmp_path, task, **recipe), machine(tmp_path, checkpoint_every=EVERY_STEP)
    assert tried(run, machine(tmp_path), tmp_path / "whole")
    for kill_at in kills:
        assert not tried(run, on, tmp_path / "killed", kill_at)
    assert tried(run, on, tmp_path / "killed")
    assert differences(run, tmp_path / "whole", tmp_path / "killed") == []
    (whole, _), (killed, _) = left_by(run, tmp_path / "whole"), left_by(run, tmp_path / "killed")
    assert whole.execution.resumed == 0
    assert killed.execution.resumed == len(kills)
    assert killed.started_at < whole.started_at or killed.costs.train_seconds  # from the first try on
    left = {path.name for path in Store(tmp_path / "killed").folder(run).iterdir()}
    assert left == {path.name for path in Store(tmp_path / "whole").folder(run).iterdir()}


def draws(seed: int) -> dict[str, Any]:
    """A run drawn at random, and the moments at which it is killed."""
    die = random.Random(seed)
    task = die.choice(sorted(SUITES))
    optimiser = die.choice(["sgd", "adam", "adamw"])
    recipe: dict[str, Any] = {
        "optimiser": optimiser,
        "nesterov": optimiser == "sgd",
        "schedule": die.choice(["constant", "cosine", "step", "poly", "one_cycle"]),
        "val_every": die.choice([1, 2, 3]),
        "gradient_clip": die.choice([None, 1.0]),
        "weight_decay": die.choice([0.0, 0.01]),
        "lr": 1e-3,
    }
    recipe |= die.choice([{"epochs": 4, "steps": None}, {"epochs": None, "steps": die.randrange(5, 14)}])
    if die.random() < 0.3:
        recipe["batch_size"] = {"classification": 1100}.get(task, 24)  # an epoch is one step
    kills = [die.randrange(2, 16) for _ in range(die.randrange(1, 5))]
    every = die.choice([EVERY_STEP, 0.05, 0.3])
    return {"task": task, "recipe": recipe, "kills": kills, "every": every, "accumulate": die.choice([1, 1, 2])}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_random_runs_killed_at_random_moments(tmp_path: Path, seed: int) -> None:
    drawn = draws(seed)
    run = one(tmp_path, drawn["task"], **drawn["recipe"])
    on = machine(tmp_path, checkpoint_every=drawn["every"], accumulate=drawn["accumulate"])
    assert tried(run, on.model_copy(update={"checkpoint_every": 0.0}), tmp_path / "whole")
    finished = any(tried(run, on, tmp_path / "killed", kill_at) for kill_at in drawn["kills"])
    assert finished or tried(run, on, tmp_path / "killed")
    assert differences(run, tmp_path / "whole", tmp_path / "killed") == [], drawn


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, Path]:
    """A run killed at the second step of its second epoch, and its folder with `killed`, and `whole` undisturbed."""
    folder = tmp_path_factory.mktemp("killed")
    run = one(folder)
    assert tried(run, machine(folder), folder / "whole")
    assert not tried(run, machine(folder, checkpoint_every=EVERY_STEP), folder / "killed", 12)
    return run, folder


def go_on(run: RunSpec, folder: Path, store: Path, **changes: Any) -> list[str]:
    """What the run says, taken up in this process in a copy of the killed store."""
    said: list[str] = []
    shutil.copytree(folder / "killed", store)
    held = Store(store)
    working = held.begin(run)
    on = machine(folder, **changes)
    run_here(run, on, working, on_event=lambda event: said.append(event.message) if event.message else None)
    held.finish(run)
    return said


def test_a_store_may_be_moved_before_the_run_goes_on(killed: tuple[RunSpec, Path], tmp_path: Path) -> None:
    run, folder = killed
    assert go_on(run, folder, tmp_path / "elsewhere") == ["goes on from its last checkpoint, step 5 of 12"]
    assert differences(run, folder / "whole", tmp_path / "elsewhere") == []


def test_until_the_record_is_written_there_is_something_to_go_on_from(
    killed: tuple[RunSpec, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = killed

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "write_record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go_on(run, folder, tmp_path / "runs")
    assert checkpoint(run, tmp_path / "runs").is_file()


def test_a_damaged_checkpoint_is_set_aside_and_the_run_begins_anew(
    killed: tuple[RunSpec, Path], tmp_path: Path
) -> None:
    run, folder = killed
    shutil.copytree(folder / "killed", tmp_path / "killed")
    file = checkpoint(run, tmp_path / "killed")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of some weight or moment
    file.write_bytes(content)
    (said,) = go_on(run, tmp_path, tmp_path / "flipped")
    assert said.startswith("begins anew and not where it was killed: its checkpoint is damaged")
    assert differences(run, folder / "whole", tmp_path / "flipped") == []
    assert not list((tmp_path / "flipped").rglob("*.damaged"))  # nobody has a use for it now
    file.write_bytes(content[:-100])
    assert look(file.parent, {}).damaged
    file.write_bytes(b"")
    assert look(file.parent, {}).damaged


def test_a_checkpoint_that_does_not_fit_the_model_fails_one_try_only(
    killed: tuple[RunSpec, Path], tmp_path: Path
) -> None:
    run, folder = killed
    shutil.copytree(folder / "killed", tmp_path / "killed")
    file = checkpoint(run, tmp_path / "killed")
    saved = torch.load(file, weights_only=True)
    saved["state_dict"]["model.of_another"] = torch.zeros(1)
    torch.save(saved, file)
    with pytest.raises(RuntimeError, match="of_another"):
        go_on(run, tmp_path, tmp_path / "runs")
    working = checkpoint(run, tmp_path / "runs").parent
    assert not (working / CHECKPOINT).exists()
    assert (working / f"{CHECKPOINT}.damaged").exists()


def test_a_run_begins_anew_where_its_numbers_would_differ(killed: tuple[RunSpec, Path], tmp_path: Path) -> None:
    run, folder = killed
    (said,) = go_on(run, folder, tmp_path / "runs", accumulate=2)
    rule = "the number of parts of a batch is another one: 1 before, 2 now"
    assert said == f"begins anew and not where it was killed: {rule}"
    record, _ = left_by(run, tmp_path / "runs")
    assert record.execution.resumed == 0


def test_what_must_be_as_it_was(killed: tuple[RunSpec, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, folder = killed
    where = checkpoint(run, folder / "killed").parent
    info = load_dataset(run.task, run.dataset, folder).info
    on = machine(folder)
    now = conditions(run, on, "cpu", 1, info)
    found = look(where, now)
    assert (found.step, found.epoch, found.problem) == (5, 1, None)
    for other in (
        conditions(run, on, "cpu", 2, info),
        conditions(run, on.model_copy(update={"devices": 2}), "cpu", 1, info),
        conditions(run.model_copy(update={"seed": 9}), on, "cpu", 1, info),
        conditions(run, on, "cpu", 1, replace(info, revision="b" * 12)),
        now | {"the version of torch": "1.0"},
        now | {"the code of mine:build": "f" * 64},
    ):
        told = look(where, other)
        assert told.file is None
        assert told.problem is not None
        assert "is another one" in told.problem


def test_short_runs_write_no_checkpoint_and_zero_writes_none(tmp_path: Path) -> None:
    run = one(tmp_path)
    for every in (Machine().checkpoint_every, 0.0):
        assert not tried(run, machine(tmp_path, checkpoint_every=every), tmp_path / str(every), 10)
        assert not checkpoint(run, tmp_path / str(every)).exists()


def test_a_checkpoint_holds_no_pickled_code(killed: tuple[RunSpec, Path]) -> None:
    """Whatever is in the archive's pickle, names of our code or of numpy are not."""
    run, folder = killed
    with zipfile.ZipFile(checkpoint(run, folder / "killed")) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
        content = archive.read(name)
    assert b"cnumpy" not in content
    assert b"ccvbench" not in content


def test_the_best_score_goes_on_in_a_folder_that_was_moved(tmp_path: Path) -> None:
    before, after = (Best(dirpath=tmp_path / name, filename="best", monitor="val/top1") for name in ("old", "new"))
    path = str(tmp_path / "old" / "best.ckpt")
    score = torch.tensor(0.5)
    before.best_model_path, before.best_model_score, before.best_k_models = path, score, {path: score}
    before.kth_best_model_path, before.kth_value = path, score
    after.load_state_dict(before.state_dict())
    assert after.best_model_path == str(tmp_path / "new" / "best.ckpt")
    assert after.best_k_models == {after.best_model_path: score}
    assert (after.best_model_score, after.kth_value) == (score, score)


def test_clearing_leaves_what_is_not_for_going_on(tmp_path: Path) -> None:
    for name in (CHECKPOINT, f"{CHECKPOINT}.new", "best.ckpt", "best-at-7.ckpt", "log.txt"):
        (tmp_path / name).touch()
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]
    (tmp_path / CHECKPOINT).touch()
    clear(tmp_path, keep_damaged=True)
    clear(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"log.txt", f"{CHECKPOINT}.damaged"}


def test_random_generators_go_on_where_they_were() -> None:
    before = randomness.state()
    try:
        random.gauss(0.0, 1.0)  # leaves a second number for later
        np.random.standard_normal()
        saved = randomness.state()
        drawn = [random.gauss(0.0, 1.0), random.random(), float(np.random.standard_normal()), float(torch.rand(()))]
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        randomness.restore(saved)
        again = [random.gauss(0.0, 1.0), random.random(), float(np.random.standard_normal()), float(torch.rand(()))]
        assert drawn == again
    finally:
        randomness.restore(before)

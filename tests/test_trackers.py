"""Trackers in real runs: wandb offline without a key or a network, TensorBoard, and one that fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cvbench.harness import run
from cvbench.trackers import Forgiving, build_tracker
from tests.test_harness import finish, machine, specs


def test_tensorboard_holds_the_validation_scores(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (spec,) = specs(tmp_path)
    folder = tmp_path / "a" / "b" / "c"
    record = finish(spec, folder, machine(tmp_path, tracker="tensorboard"))
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    scores = [event.value for event in events.Scalars("val/top1")]
    assert len(scores) == 2
    assert max(scores) == pytest.approx(record.metrics["val/top1"])
    assert len(events.Scalars("train/loss")) == 2


def test_wandb_runs_offline_in_its_own_process(tmp_path: Path) -> None:
    """In a subprocess, because wandb starts a service and changes signal handlers."""
    specs(tmp_path)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    command = [sys.executable, "-m", "cvbench", "run", str(tmp_path / "small.yaml"), "--tracker", "wandb"]
    command += ["--store", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache"), "--threads", "1", "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    (binary,) = (tmp_path / "runs").glob("digits/mlp/*/wandb/offline-run-*/run-*.wandb")
    content = binary.read_bytes()
    assert b"val/top1" in content
    assert b"train/loss" in content


class _Breaks:
    """A tracker that fails at the `nth` call, as a lost network would."""

    def __init__(self) -> None:
        self.calls = 0

    def log_metrics(self, *_: Any) -> None:
        self.calls += 1
        raise ConnectionError("no route to host")

    def log_hyperparams(self, *_: Any) -> None:
        self.calls += 1


def test_a_tracker_that_fails_is_switched_off_and_never_fails_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = _Breaks()
    monkeypatch.setattr("cvbench.trackers._tensorboard", lambda folder: broken)
    (spec,) = specs(tmp_path)
    folder = tmp_path / "a" / "b" / "c"
    record = run(spec, machine(tmp_path, tracker="tensorboard"), folder)
    assert record is not None
    assert broken.calls == 2  # the hyperparameters, then the first metrics, then never again
    log = (folder / "log.txt").read_text()
    assert "tracker tensorboard failed and is switched off for this run: ConnectionError: no route to host" in log


def test_a_tracker_that_cannot_start_is_no_reason_to_stop() -> None:
    def cannot() -> Any:
        raise ImportError("no such package")

    tracker = Forgiving(cannot, "wandb")
    tracker.log_metrics({"a": 1.0}, 0)
    tracker.finalize("success")


def test_no_tracker_is_imported_unless_asked(tmp_path: Path) -> None:
    (spec,) = specs(tmp_path)
    assert build_tracker("none", spec, tmp_path) is None

"""A tuned benchmark through the real command line: killed between its stages, gone on with, published, checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cvbench.board import frozen, read_board
from cvbench.cli import main
from cvbench.plan import plan
from cvbench.recomputing import differences
from cvbench.record import load_records
from cvbench.spec import RunSpec
from cvbench.store import Store
from cvbench.suite import load_suite

BENCHMARK = """\
task: classification
datasets: [digits]
models: [linear]
seeds: [0, 1]
recipe: {epochs: 1, batch_size: 256, tune: {lr: [1e-5, 1e-2]}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CVBENCH_DATA", raising=False)
    Path("bench.yaml").write_text(BENCHMARK)
    return tmp_path


def killed_when(done: list[RunSpec], store: Store) -> None:
    """Starts the suite and kills the process, not asking, once these runs are finished."""
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-m", "cvbench", "run", "bench.yaml", "--jobs", "1", "--threads", "1"]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": root}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 600
    while not all(store.record(run) for run in done) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)  # the next worker imports torch first, which takes longer than this by far
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL


def call(capfd: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capfd.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def test_killed_between_its_stages_and_gone_on(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    suite, store = load_suite(["bench.yaml"]), Store("runs")
    candidates = plan(suite)
    assert [run.name for run in candidates] == ["digits/linear (lr 1e-05) seed 0", "digits/linear (lr 0.01) seed 0"]
    killed_when(candidates, store)
    written = {run.run_id: (store.folder(run) / "record.json").stat().st_mtime_ns for run in candidates}
    assert len(load_records("runs")) == 2

    shown = call(capfd, "plan", "bench.yaml")
    assert [(run["candidate"], run["seed"], run["state"]) for run in shown["runs"]] == [
        ("lr 1e-05", 0, "done"), ("lr 0.01", 0, "done"), (None, 1, "missing")
    ]  # fmt: skip
    assert shown["tuning"][0].startswith("chosen: digits/linear: lr 0.01, of 2 candidates, val/top1 0.")

    found = call(capfd, "run", "bench.yaml", "--jobs", "1", "--threads", "1")
    assert [run["name"] for run in found["done"]] == ["digits/linear seed 1"]
    assert [run["name"] for run in found["skipped"]] == [run.name for run in candidates]
    assert {run.run_id: (store.folder(run) / "record.json").stat().st_mtime_ns for run in candidates} == written
    assert len(load_records("runs")) == 3  # the winner's run is the final one of its seed

    (board,) = found["leaderboard"]["boards"]
    (row,) = board["rows"]
    assert [(run["run_id"], run["state"]) for run in row["runs"]] == [
        (candidates[1].run_id, "done"), (found["done"][0]["run_id"], "done")
    ]  # fmt: skip
    val = {one.run_id: one.metrics["val/top1"] for one in load_records("runs")}
    assert [one["val"] for one in row["tuned"]["candidates"]] == [round(val[run.run_id], 6) for run in candidates]
    assert row["tuned"]["chosen"] == 1

    again = call(capfd, "run", "bench.yaml", "--jobs", "1")
    assert (again["done"], len(again["skipped"])) == ([], 3)
    rescored = call(capfd, "rescore", "bench.yaml", "--all", "--dry-run")
    assert len(rescored["runs"]) == 3

    # by its name, a model is what was chosen for it; a candidate that was not is there by its id
    (compared,) = call(capfd, "compare", "linear", candidates[0].run_id)["compared"]
    assert (compared["a"]["n"], compared["b"]["n"]) == (2, 1)

    assert main(["leaderboard", "bench.yaml", "--out", "boards"]) == 0
    assert main(["leaderboard", "--check", "--out", "boards", "--store", "runs"]) == 0

    honest = read_board(Path("boards/bench/board.json"))
    for key, value in (("val", 0.99), ("values", {"lr": 2e-05})):
        data = json.loads(frozen(honest))
        data["boards"][0]["rows"][0]["tuned"]["candidates"][0][key] = value
        (problem,) = differences(type(honest).model_validate(data), store)
        assert problem.startswith("bench, digits, linear: Expected tuned ")

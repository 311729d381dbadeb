"""A store under stress: several suites at once, full and read-only disks, files that a power failure cut off."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvbench.arrays import digest, save_arrays
from cvbench.cli import main
from cvbench.data.files import sha256
from cvbench.data_here import load_dataset
from cvbench.events import Event
from cvbench.evidence import RunEvidence
from cvbench.executors.execute import execute
from cvbench.executors.worker import Worker
from cvbench.index import Index
from cvbench.machine import Machine
from cvbench.metrics import classification
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.plan import plan
from cvbench.record import EvidenceFile, load_records, write_record
from cvbench.spec import RunSpec
from cvbench.store import Failure, Store
from cvbench.suite import load_suite
from tests.records import facts, record
from tests.test_harness import machine as one_machine

REPOSITORY = Path(__file__).resolve().parents[2]
BENCHMARK = "task: classification\ndatasets: [digits]\nmodels: [linear]\nrecipe: {epochs: 1, lr: 1e-2}\n"


def write_run(run: RunSpec, folder: Path) -> None:
    """What a run leaves, without the training: three right answers and a wrong one."""
    labels = np.array([0, 1, 2, 3])
    ids = np.array(["a", "b", "c", "d"])
    truth = {"ids": ids, "labels": labels, "classes": np.array([str(digit) for digit in range(10)])}
    said = np.array([0, 1, 2, 4])
    evidence = {
        "ids": ids,
        "top": np.stack([(said + shift) % 10 for shift in range(5)], axis=1),
        "probabilities": np.tile(np.array([0.6, 0.1, 0.1, 0.1, 0.05]), (4, 1)),
        "true_probability": np.array([0.6, 0.6, 0.6, 0.05]),
        "true_rank": np.array([0, 0, 0, 6]),
    }
    save_arrays(folder / "evidence.npz", evidence)
    save_arrays(folder / "truth.npz", truth)
    scores = classification.score(evidence, truth)
    file = folder / "evidence.npz"
    info = load_dataset(run.task, run.dataset, folder).info
    made = record(
        run,
        scores["top1"],
        others={name: value for name, value in scores.items() if name != "top1"},
        dataset=facts(revision=info.revision, classes=info.classes),
        evaluator_version=EVALUATOR_VERSION,
        per_class={},
        evidence=EvidenceFile(sha256=sha256(file), size_bytes=file.stat().st_size, truth=digest(truth)),
    )
    write_record(made, folder / "record.json")


def made_up(_: Worker, run: RunSpec, machine: Machine, folder: Path, tell: Callable[[Event], None]) -> Failure | None:
    write_run(run, folder)
    return None


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are made up in the place of a worker's training."""
    monkeypatch.setattr(Worker, "run", made_up)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with bench.yaml in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CVBENCH_DATA", raising=False)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "bench.yaml").write_text(BENCHMARK)
    return tmp_path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB; skips where it cannot be had."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a disk of its own needs Linux, root and `mount`")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no disk of its own can be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """A file that takes all room but `leave` bytes."""
    filler = disk / "filler"
    left = shutil.disk_usage(disk).free - leave
    filler.write_bytes(b"\0" * left)
    return filler


def runs_of(folder: Path, seeds: range, name: str = "bench") -> list[RunSpec]:
    file = folder / f"{name}.yaml"
    file.write_text(BENCHMARK + f"seeds: {list(seeds)}\n")
    return plan(load_suite([file]))


SUITE = """
import json, sys, time
from pathlib import Path
from cvbench.executors.execute import execute
from cvbench.executors.worker import Worker
from cvbench.machine import Machine
from tests.executors.test_stress import runs_of, write_run

folder, name, first, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

def slowly(self, run, machine, working, tell):
    with (folder / "begun.txt").open("a") as file:
        file.write(run.run_id + "\\n")
    time.sleep(0.05)
    write_run(run, working)

Worker.run = slowly
runs = runs_of(folder, range(first, last), name)
print("ready", flush=True)
sys.stdin.readline()
outcomes = execute(runs, folder / "runs", Machine(accelerator="cpu", jobs=3, threads=1, data_root=folder))
print(json.dumps({key: [run.run_id for run in getattr(outcomes, key)] for key in ("done", "skipped")}
                 | {"failed": [failure.message for _, failure in outcomes.failed]}))
"""


def test_suites_at_once_do_each_run_once(tmp_path: Path) -> None:
    """Two processes of three jobs each, whose plans overlap; only the training is left out."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    suites = []
    for name, first, last in (("a", 0, 8), ("b", 4, 12)):
        command = [sys.executable, "-c", SUITE, str(tmp_path), name, str(first), str(last)]
        suites.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        )
    for suite in suites:
        assert suite.stdout is not None
        assert suite.stdout.readline() == "ready\n"
    told = []
    for suite in suites:
        assert suite.stdin is not None
        suite.stdin.write("go\n")
        suite.stdin.flush()
    for suite in suites:
        out, _ = suite.communicate(timeout=240)
        told.append(json.loads(out))
    every = {run.run_id for run in runs_of(tmp_path, range(12))}
    _each_once(tmp_path / "runs", told, every)
    begun = (tmp_path / "begun.txt").read_text().split()
    assert sorted(begun) == sorted(every)
    assert [len(one["done"]) + len(one["skipped"]) for one in told] == [8, 8]


def _each_once(store: Path, told: list[dict[str, Any]], every: set[str]) -> None:
    done = [run for one in told for run in one["done"]]
    assert [one["failed"] for one in told] == [[], []]
    assert sorted(done) == sorted(every)
    records = load_records(store)
    assert {one.run_id for one in records} == every
    with Index(None) as index:
        evidence = RunEvidence(Store(store), index)
        for one in records:
            evidence.proof(one, "top1")  # whole, and what the record says
    assert not list(store.glob("*/*/*/.new"))
    assert len(list(store.glob("*/truth-*.npz"))) == 1


@pytest.mark.slow
def test_twenty_real_runs_by_two_suites(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    suites = []
    for name, seeds in (("a", range(20)), ("b", range(20))):
        runs_of(tmp_path, seeds, name)
        command = [sys.executable, "-m", "cvbench", "run", f"{name}.yaml", "--json", "--quiet", "--jobs", "2"]
        command += ["--threads", "1", "--accelerator", "cpu"]
        suites.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path))
    told = [json.loads(suite.communicate(timeout=1200)[0]) for suite in suites]
    assert [suite.returncode for suite in suites] == [0, 0]
    told = [one | {"done": [run["run_id"] for run in one["done"]]} for one in told]
    _each_once(tmp_path / "runs", told, {run.run_id for run in runs_of(tmp_path, range(20))})


def test_a_full_disk_costs_the_run_and_more_room_completes_it(tmp_path: Path, small_disk: Path) -> None:
    runs = runs_of(tmp_path, range(1))
    store = Store(small_disk / "runs")
    filler = fill(small_disk, 40 << 10)
    outcomes = execute(runs, store, one_machine(tmp_path, jobs=1))
    ((_, failure),) = outcomes.failed
    assert failure.kind == "OSError"
    assert "disk is full; make room" in failure.message
    assert str(small_disk) in failure.message
    assert store.record(runs[0]) is None
    filler.unlink()
    outcomes = execute(runs, store, one_machine(tmp_path, jobs=1))
    assert outcomes.done == runs
    kept = store.record(runs[0])
    assert kept is not None
    with Index(None) as index:
        RunEvidence(store, index).proof(kept, "top1")
    assert store.failure(runs[0]) is None


def test_a_disk_without_any_room_is_told_before_training(
    here: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Worker, "run", lambda *_: pytest.fail("trained"))
    fill(small_disk, 0)
    assert main(["run", "bench.yaml", "--quiet", "--store", str(small_disk)]) == 2
    assert "the store cannot be written (No space left on device); make room" in capsys.readouterr().err


@pytest.mark.usefixtures("no_training")
def test_a_read_only_store_is_told_before_training_and_can_be_read(
    here: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = small_disk / "runs"
    assert main(["run", "bench.yaml", "--quiet", "--store", str(store)]) == 0
    read_only(small_disk)
    monkeypatch.setattr(Worker, "run", lambda *_: pytest.fail("trained"))
    capsys.readouterr()
    assert main(["run", "bench.yaml", "seeds=[1]", "--quiet", "--store", str(store)]) == 2
    assert f"{store}: the store cannot be written (Read-only file system)" in capsys.readouterr().err
    assert main(["plan", "bench.yaml", "--store", str(store)]) == 0
    assert "1 done" in capsys.readouterr().out
    assert main(["leaderboard", "bench.yaml", "--store", str(store)]) == 0
    assert "75.00" in capsys.readouterr().out  # three of four are right
    assert main(["run", "bench.yaml", "--quiet", "--store", str(store)]) == 2  # done, and its board cannot be written
    assert "Read-only file system" in capsys.readouterr().err


def test_a_read_only_cache_costs_speed_and_is_told_in_the_log(tmp_path: Path, small_disk: Path) -> None:
    """Nothing that a run needs: the data are read anew in every epoch, with the same pixels."""
    from cvbench.harness import run as run_in_harness

    file = tmp_path / "streets.yaml"
    streets = {"name": "streets", "options": {"height": 32, "width": 32, "train": 4, "val": 2, "test": 2}}
    recipe = {"epochs": 1, "batch_size": 2}
    model = {"name": "segnet", "options": {"width": 4, "depth": 2}}
    benchmark = {"task": "segmentation", "datasets": [streets], "models": [model], "recipe": recipe}
    file.write_text(json.dumps(benchmark))
    (run,) = plan(load_suite([file]))
    read_only(small_disk)
    made = [
        run_in_harness(run, one_machine(tmp_path, cache=cache), tmp_path / name)
        for name, cache in (("without", small_disk), ("with", tmp_path / "cache"))
    ]
    assert made[0] is not None
    assert made[1] is not None
    assert made[0].metrics == made[1].metrics
    assert (
        "the cache cannot be used: [Errno 30] Read-only file system" in (tmp_path / "without" / "log.txt").read_text()
    )


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("left", [0, 200])
def test_a_record_that_was_cut_off_is_named_set_aside_and_run_again(
    left: int, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "bench.yaml", "--quiet"]) == 0
    (path,) = Path("runs").glob("*/*/*/record.json")
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    capsys.readouterr()
    assert main(["plan", "bench.yaml"]) == 0
    out = capsys.readouterr().out
    assert "1 failed" in out
    assert f"failed: digits/linear seed 0: {path}: not a readable record" in out
    assert main(["plan", "bench.yaml", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    assert listed["state"] == "failed"
    assert listed["reason"].startswith(f"{path}: not a readable record")
    assert main(["leaderboard", "bench.yaml", "--json"]) == 0
    board = capsys.readouterr().out
    assert json.loads(board)["leaderboard"]["boards"][0]["rows"][0]["state"] == "0 of 1, 1 failed"
    assert "not a readable record" in board
    assert main(["run", "bench.yaml", "--quiet"]) == 0
    assert path.read_bytes() == whole
    assert path.with_name("record.json.damaged").read_bytes() == whole[:left]


@pytest.mark.usefixtures("no_training")
def test_evidence_that_was_cut_off_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "bench.yaml", "--quiet"]) == 0
    (path,) = Path("runs").glob("*/*/*/evidence.npz")
    path.write_bytes(path.read_bytes()[:-20])
    capsys.readouterr()
    assert main(["leaderboard", "bench.yaml", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["leaderboard"]["boards"][0]["rows"]
    assert (row["state"], row["mean"]) == ("0 of 1, 1 failed", None)
    assert "evidence.npz: not the evidence that its record names" in row["runs"][0]["reason"]
    assert main(["rescore", "--all"]) == 1
    assert "evidence.npz: not the evidence that its record names" in capsys.readouterr().err


@pytest.mark.usefixtures("no_training")
def test_a_damaged_note_of_a_failure_is_a_failure(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = plan(load_suite(["bench.yaml"]))
    store = Store("runs")
    store.fail(run, Failure.of(run, ValueError("no")))
    (store.folder(run) / "failure.json").write_bytes(b'{"run_id": "6e3')
    assert main(["plan", "bench.yaml"]) == 0
    assert "failed: digits/linear seed 0: unreadable: " in capsys.readouterr().out
    assert main(["run", "bench.yaml", "--quiet"]) == 0
    assert store.state(run, None) == "done"
    assert store.failure(run) is None


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    (run,) = runs_of(tmp_path, range(1))
    code = (
        "import sys, time; from pathlib import Path; from cvbench.store import Store\n"
        "from tests.executors.test_stress import runs_of\n"
        "folder = Path(sys.argv[1]); (run,) = runs_of(folder, range(1))\n"
        "with Store(folder / 'runs').lock(run): print('held', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    signal.alarm(60)  # waiting for ever would end the tests by SIGALRM
    try:
        with Store(tmp_path / "runs").lock(run) as folder:
            assert (folder / ".lock").is_file()
    finally:
        signal.alarm(0)

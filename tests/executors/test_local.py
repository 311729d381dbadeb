"""Suites on real worker processes: failures that cost one run only, killed workers, two processes, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cvbench.arrays import load_arrays
from cvbench.events import Event
from cvbench.executors.execute import execute
from cvbench.store import Store
from tests.alive import gone, within, workers
from tests.executors.suites import RECIPE, machine, suite

TELLER = {"embedding": 16, "hidden": 24, "attention": 8, "encoder_width": 4}
SEGNET = {"name": "segnet", "options": {"width": 4, "depth": 2}}

PLUGIN = '''
"""Models that misbehave."""
import os, signal
from torch import nn

def raises(info):
    raise ArithmeticError("this model cannot be built <b>at all</b>")

class Dies(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Linear(1, 1)
    def forward(self, images):
        os.kill(os.getpid(), signal.SIGKILL)

def dies(info):
    return Dies()
'''


def photos(folder: Path) -> None:
    """A generated class folder: two classes of 8x8 pictures in train, val and test."""
    draws = np.random.default_rng(0)
    for role, count in {"train": 12, "val": 4, "test": 5}.items():
        for name, base in {"dark": 40, "light": 200}.items():
            (folder / role / name).mkdir(parents=True)
            for index in range(count):
                pixels = draws.integers(base - 30, base + 30, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / role / name / f"{index}.png")


def test_failing_runs_cost_themselves_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that raises, a process that is killed, a truncated image: the others finish, in the same suite."""
    (tmp_path / "misbehaving.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    photos(tmp_path / "photos")
    photos(tmp_path / "damaged")
    damaged = tmp_path / "damaged" / "test" / "dark" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    runs = suite(
        tmp_path,
        datasets=[{"name": "folder", "options": {"path": path}} for path in ("photos", "damaged")],
        models=["misbehaving:raises", "misbehaving:dies", "linear"],
        recipe=RECIPE | {"input_size": [8, 8]},
    )  # fmt: skip
    events: list[Event] = []
    store = Store(tmp_path / "runs")
    outcomes = execute(runs, store, machine(tmp_path), on_event=events.append)
    assert [run.model.name for run in outcomes.done] == ["linear"]
    reasons = {
        (run.dataset.options["path"], run.model.name): (failure.kind, failure.message)
        for run, failure in outcomes.failed
    }
    assert reasons["photos", "misbehaving:raises"] == ("ArithmeticError", "this model cannot be built <b>at all</b>")
    assert reasons["photos", "misbehaving:dies"][0] == "killed"
    assert "signal 9" in reasons["photos", "misbehaving:dies"][1]
    kind, message = reasons["damaged", "linear"]
    assert kind == "DataError"
    assert "3.png" in message
    assert {event.kind for event in events} >= {"start", "done", "failed"}
    for run, _ in outcomes.failed:
        assert store.failure(run) is not None
        assert store.record(run) is None

    again = execute(runs, store, machine(tmp_path), rerun="failed")
    assert len(again.failed) == 5
    assert len(again.skipped) == 1


def test_no_two_workers_see_the_same_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs, as far as CUDA_VISIBLE_DEVICES says: two workers, each with its own."""
    (tmp_path / "telling.py").write_text(
        "import os, pathlib\n"
        "from cvbench.models.classification.linear import build as linear\n"
        "def build(info, **options):\n"
        "    seen = f\"{os.getpid()} {os.environ['CUDA_VISIBLE_DEVICES']}\\n\"\n"
        "    pathlib.Path(__file__).with_suffix('.seen').open('a').write(seen)\n"
        "    return linear(info)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,4")
    runs = suite(tmp_path, models=["telling:build"], seeds=[0, 1, 2, 3, 4, 5])
    auto = machine(tmp_path, accelerator="auto", jobs=None)  # torch finds no GPU here, and takes the CPU
    assert len(execute(runs, tmp_path / "runs", auto).done) == 6
    seen = {tuple(line.split()) for line in (tmp_path / "telling.seen").read_text().splitlines()}
    assert sorted(gpu for _, gpu in seen) == ["4", "6"]  # two processes, one GPU each, all the time
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "6,4"


def test_what_is_done_is_not_repeated(tmp_path: Path) -> None:
    runs = suite(tmp_path)
    store = Store(tmp_path / "runs")
    assert len(execute(runs, store, machine(tmp_path)).done) == 1
    record = store.folder(runs[0]) / "record.json"
    before = record.read_bytes()
    assert execute(runs, store, machine(tmp_path)).skipped == runs
    assert record.read_bytes() == before
    assert len(execute(runs, store, machine(tmp_path), rerun="all").done) == 1
    assert record.read_bytes() != before  # another start time at least


@pytest.mark.parametrize(
    ("task", "model", "arrays"),
    [
        ("segmentation", SEGNET, "intersection truth prediction confusion"),
        ("detection", {"name": "fcos", "options": {"width": 4}}, "counts boxes_xywh scores labels"),
        ("captioning", {"name": "show_attend_tell", "options": TELLER}, "captions"),
    ],
)
def test_evaluation_on_two_processes_equals_one(tmp_path: Path, task: str, model: Any, arrays: str) -> None:
    """One checkpoint, an uneven test split of 7 scenes, 1 and 2 real processes: the same evidence and scores."""
    streets = {"name": "streets", "options": {"height": 48, "width": 64, "train": 16, "val": 5, "test": 7}}
    store = Store(tmp_path / "runs")
    (trained,) = suite(tmp_path, task=task, datasets=[streets], models=[model], recipe=RECIPE | {"batch_size": 4})
    # Trained on two processes, too: one writer, one whole record.
    assert execute([trained], store, machine(tmp_path, devices=2)).failed == []
    weights = str(store.folder(trained) / "model.pt")
    (spec,) = suite(
        tmp_path,
        task=task,
        mode="evaluate",
        datasets=[streets],
        models=[model | {"weights": weights}],
        recipe={"batch_size": 4},
    )
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    assert len(execute([spec], one, machine(tmp_path)).done) == 1
    outcomes = execute([spec], two, machine(tmp_path, devices=2))
    assert outcomes.failed == []
    first, second = one.record(spec), two.record(spec)
    assert first is not None
    assert second is not None
    assert second.execution.devices == 2
    assert first.samples == second.samples == {"test": 7}
    assert first.metrics == second.metrics
    for name in ("ids", *arrays.split()):
        a, b = (load_arrays(store.folder(spec) / "evidence.npz") for store in (one, two))
        assert np.array_equal(a[name], b[name])


def test_a_process_that_breaks_down_after_its_run_is_written_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As once in some hundred runs, when a thread of libtorch outlived what it needed: SIGABRT at the very end."""
    (tmp_path / "breaking.py").write_text(
        "import atexit, os\n"
        "from cvbench.models.classification.linear import build as linear\n"
        "def build(info):\n"
        "    atexit.register(os.abort)\n"
        "    return linear(info)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    (spec,) = suite(tmp_path, models=["breaking:build"])
    outcomes = execute([spec], Store(tmp_path / "runs"), machine(tmp_path, devices=2))
    assert outcomes.failed == []


def test_a_distributed_run_that_fails_says_why(tmp_path: Path) -> None:
    (spec,) = suite(tmp_path, models=["mlp"], recipe=RECIPE | {"lr": 1e30, "optimiser": "sgd", "schedule": "constant"})
    outcomes = execute([spec], Store(tmp_path / "runs"), machine(tmp_path, devices=2))
    ((_, failure),) = outcomes.failed
    assert failure.kind == "LossIsNotFiniteError"
    assert "at step" in failure.message


@pytest.mark.parametrize(
    "executor", ["local", pytest.param("ray", marks=pytest.mark.slow), pytest.param("slurm", marks=pytest.mark.slow)]
)
def test_ctrl_c_ends_with_130_and_keeps_what_is_finished(tmp_path: Path, executor: str) -> None:
    (tmp_path / "machine.yaml").write_text(f"executor: {executor}\naccelerator: cpu\nslurm: {{cluster: local}}\n")
    models = [{"name": "linear"}, {"name": "mlp", "recipe": {"epochs": 100_000}}]
    runs = suite(tmp_path, models=models)
    store = Store(tmp_path / "runs")
    command = [sys.executable, "-m", "cvbench", "run", str(tmp_path / "small.yaml"), "--store", str(store.root),
               "--data-root", str(tmp_path), "--cache", str(tmp_path / "cache"), "--jobs", "1", "--threads", "1",
               "--machine", str(tmp_path / "machine.yaml")]  # fmt: skip
    # Whoever starts the tests in the background has told them to ignore Ctrl-C; the command must not inherit that.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               preexec_fn=_heed_ctrl_c)  # fmt: skip
    deadline = time.monotonic() + 300
    under_way = store.folder(runs[1]) / ".new" / "log.txt"
    while not (store.record(runs[0]) and under_way.exists()) and time.monotonic() < deadline:
        time.sleep(0.2)
    (worker,) = workers(process.pid)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert store.record(runs[0]) is not None
    assert store.record(runs[1]) is None
    assert store.state(runs[1], None) == "missing"
    assert within(10, lambda: gone(worker))
    written = under_way.read_bytes()
    time.sleep(1)
    assert under_way.read_bytes() == written  # whoever wrote it has ended as well
    with store.lock(runs[1]):  # and holds it no longer
        pass


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    """A worker that does not heed its end is not waited for."""
    (tmp_path / "stubborn.py").write_text(
        "import signal, time\n"
        "from pathlib import Path\n"
        "def build(info, *, mark):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    Path(mark).touch()\n"
        "    while True:\n"
        "        time.sleep(1)\n"
    )
    mark = tmp_path / "here"
    suite(tmp_path, models=[{"name": "stubborn:build", "options": {"mark": str(mark)}}])
    command = [sys.executable, "-c", STUBBORN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, preexec_fn=_heed_ctrl_c) as process:
        while not mark.exists() and process.poll() is None:
            time.sleep(0.1)
        (worker,) = workers(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "ending\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "at once\n"
    assert process.returncode == 130
    assert gone(worker)


# Instead of two seconds, which a test could not tell from a slow machine, the first Ctrl-C waits an hour here.
STUBBORN = """
import sys
sys.path.insert(0, sys.argv[1])
from multiprocessing.process import BaseProcess
from pathlib import Path
from cvbench.cli import INTERRUPTED
from cvbench.executors.execute import execute
from cvbench.machine import Machine
from cvbench.plan import plan
from cvbench.suite import load_suite

def join(process, timeout=None, first=BaseProcess.join):
    if timeout == 2:
        print("ending", flush=True)
        timeout = 3600
    first(process, timeout)

if __name__ == "__main__":
    BaseProcess.join = join
    folder = Path(sys.argv[1])
    machine = Machine(accelerator="cpu", jobs=1, threads=1, cache=folder / "cache", data_root=folder)
    try:
        execute(plan(load_suite([folder / "small.yaml"])), folder / "runs", machine)
    except KeyboardInterrupt:
        print("at once", flush=True)
        sys.exit(INTERRUPTED)
"""


def test_suites_share_what_both_ask_for(tmp_path: Path) -> None:
    """One store, two benchmarks of other names: the run that they have in common is done once, for both."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = suite(tmp_path / "first")
    second = suite(
        tmp_path / "second", models=["linear", {"name": "linear", "label": "slower", "recipe": {"lr": 1e-4}}]
    )
    store = Store(tmp_path / "runs")
    assert execute(first, store, machine(tmp_path)).done == first
    outcomes = execute(second, store, machine(tmp_path))
    assert ([run.label for run in outcomes.skipped], [run.label for run in outcomes.done]) == (["linear"], ["slower"])
    assert store.record(first[0]) == store.record(second[0])


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

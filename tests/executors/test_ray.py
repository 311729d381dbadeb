"""Suites on real Ray clusters of this machine: a killed worker, GPUs that Ray believes in, somebody's own cluster."""

from __future__ import annotations

import gc
import os
import time
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cvbench.events import Event
from cvbench.executors.execute import execute
from cvbench.executors.ray import RayExecutor
from cvbench.placement import placement
from cvbench.store import Store
from tests.executors.suites import PLUGIN, assert_same_bits, machine, suite

ray = pytest.importorskip("ray")

TELLING = """
import os, pathlib
from cvbench.models.classification.linear import build as linear

def build(info):
    with pathlib.Path(__file__).with_suffix(".seen").open("a") as seen:
        seen.write(f"{os.getppid()} {os.environ['CUDA_VISIBLE_DEVICES']}\\n")
    return linear(info)
"""


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """A cluster may take minutes where tests share a machine; Ray gives it 30 s, and cannot be told otherwise."""
    from ray._private import services

    ask = services.get_node

    def asked_again(*given: Any) -> Any:
        deadline = time.monotonic() + 60
        while True:
            try:
                return ask(*given)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(services, "get_node", asked_again)
        yield


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    yield
    _sweep()


def _sweep() -> None:
    """What Ray leaves to the garbage collector, handles of processes that it has ended, goes without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_eight_runs_of_which_one_worker_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "killed_on_ray.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)  # Ray's workers must be told of it
    runs = suite(tmp_path, models=["linear", "killed_on_ray:loses_its_job_once"], seeds=[0, 1, 2, 3])
    store, events = Store(tmp_path / "runs"), list[Event]()
    outcomes = execute(runs, store, machine(tmp_path, executor="ray", jobs=2), on_event=events.append)
    assert outcomes.failed == []
    assert {run.run_id for run in outcomes.done} == {run.run_id for run in runs}
    assert all(store.record(run) is not None for run in runs)
    assert sum(event.kind == "start" for event in events) == 9  # one of them twice
    assert not ray.is_initialized()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert_same_bits(runs[0], store, tmp_path)


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path) -> None:
    on = machine(tmp_path, executor="ray", ray={"address": "auto"})
    with pytest.raises(ValueError, match=r"no Ray cluster at auto: .*machine\.yaml"):
        execute(suite(tmp_path), tmp_path / "runs", on)


@pytest.mark.slow
def test_a_run_on_two_devices_is_started_as_on_this_machine(tmp_path: Path) -> None:
    (run,) = suite(tmp_path)
    here, there = Store(tmp_path / "runs_here"), Store(tmp_path / "runs_there")
    assert execute([run], here, machine(tmp_path, devices=2)).failed == []
    assert execute([run], there, machine(tmp_path, executor="ray", devices=2)).failed == []
    first, second = here.record(run), there.record(run)
    assert first is not None
    assert second is not None
    assert second.execution.devices == 2
    assert first.metrics == second.metrics


@pytest.fixture(scope="module")
def fake_gpus(patience: None) -> Iterator[None]:
    """Somebody's own cluster of 4 CPUs and 2 GPUs, as far as Ray knows."""
    ray.init(num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    _sweep()


def _taken() -> tuple[str, float, float]:
    begun = time.monotonic()
    time.sleep(0.5)
    return os.environ["CUDA_VISIBLE_DEVICES"], begun, time.monotonic()


def test_no_two_runs_share_a_gpu(tmp_path: Path, fake_gpus: None) -> None:
    on = machine(tmp_path, executor="ray", accelerator="cuda", threads=2, ray={"address": "auto", "retries": 0})
    requests = RayExecutor(on, placement(on, 8)).requests()
    assert requests == {"num_cpus": 2, "num_gpus": 1, "max_calls": 1, "max_retries": 0, "retry_exceptions": False}
    # A class of this test would be unknown to workers; a function travels by value.
    taken: Any = ray.remote(**requests)(_by_value(_taken))
    found = sorted(ray.get([taken.remote() for _ in range(6)]), key=lambda one: one[1])
    assert {gpu for gpu, _, _ in found} == {"0", "1"}
    for gpu in "01":
        ours = [one for one in found if one[0] == gpu]
        assert all(before[2] <= after[1] for before, after in pairwise(ours))

    # The whole way: a run that is given a GPU, and finds that there is none. The cluster is not ours to end.
    runs = suite(tmp_path)
    outcomes = execute(runs, tmp_path / "runs", on)
    ((_, failure),) = outcomes.failed
    assert "Expected 1 cuda device(s), but this machine has 0" in failure.message
    assert ray.is_initialized()


class _Somebody:
    """Another user of the cluster."""

    def gpu(self) -> str:
        return os.environ["CUDA_VISIBLE_DEVICES"]


def test_a_run_uses_the_gpu_that_ray_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_gpus: None) -> None:
    """The first run's GPU is somebody else's when the second one comes."""
    (tmp_path / "telling_gpu.py").write_text(TELLING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    first, second = suite(tmp_path, models=["telling_gpu:build"], seeds=[0, 1])
    on = machine(tmp_path, executor="ray", accelerator="auto")  # torch finds no GPU there, and takes the CPU
    assert execute([first], tmp_path / "runs", on).done == [first]
    somebody = ray.remote(num_gpus=1)(_by_value(_Somebody)).remote()
    theirs = ray.get(somebody.gpu.remote())
    assert execute([second], tmp_path / "runs", on).done == [second]
    (one, _), (other, ours) = (line.split() for line in (tmp_path / "telling_gpu.seen").read_text().splitlines())
    assert {ours, theirs} == {"0", "1"}
    assert one != other  # a worker that waits for its next run would hold the first one's memory
    ray.kill(somebody)


def _by_value(function: Any) -> Any:
    """The function without a module to look it up in, which workers do not have."""
    function.__module__ = "__main__"
    return function


def test_a_worker_that_is_lost_every_time_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_gpus: None
) -> None:
    (tmp_path / "killed_for_good.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    (run,) = suite(tmp_path, models=["killed_for_good:loses_its_job"])
    on = machine(tmp_path, executor="ray", ray={"retries": 0})
    ((_, failure),) = execute([run], tmp_path / "runs", on).failed
    assert failure.kind == "killed"
    assert failure.message.startswith("the worker of this run died, and Ray gave it up: ")
    noted = Store(tmp_path / "runs").failure(run)
    assert noted is not None
    assert noted.message == failure.message

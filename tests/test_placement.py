"""Where runs go: GPUs that no two runs share, found without torch, and what clusters are asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cvbench import placement as module
from cvbench.cli import main
from cvbench.machine import Machine
from cvbench.placement import gpus_here, placement, resources


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev with three of NVIDIA's GPUs, and what else its driver puts there."""
    for name in ("nvidia0", "nvidia3", "nvidia11", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    monkeypatch.setattr(module, "DEVICE_FILES", tmp_path)
    monkeypatch.setattr(module, "AMD_TOPOLOGY", tmp_path / "kfd")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def test_gpus_are_counted_by_their_device_files(devices: Path) -> None:
    assert gpus_here(Machine()) == ("0", "1", "2")
    assert gpus_here(Machine(accelerator="cpu")) == ()
    for file in devices.glob("nvidia*"):
        file.unlink()
    assert gpus_here(Machine()) == ()


def test_amds_gpus_are_nodes_with_an_id(devices: Path) -> None:
    for file in devices.glob("nvidia*"):
        file.unlink()
    for node, gpu_id in enumerate((0, 0, 54321, 12345)):  # two processors, two GPUs
        (devices / "kfd" / str(node)).mkdir(parents=True)
        (devices / "kfd" / str(node) / "gpu_id").write_text(f"{gpu_id}\n")
    assert gpus_here(Machine()) == ("0", "1")


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("2,0", ("2", "0")),
        ("GPU-8932f937,MIG-1", ("GPU-8932f937", "MIG-1")),
        ("", ()),
        ("-1", ()),
        ("1,-1,2", ("1",)),  # as CUDA's guide says: what follows an invalid index is not seen
    ],
)
def test_what_cuda_is_told_to_see_counts(
    devices: Path, monkeypatch: pytest.MonkeyPatch, given: str, seen: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus_here(Machine()) == seen


def test_each_slot_has_gpus_of_its_own(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert placement(Machine(), 10).slots == (("0",), ("1",), ("2",))
    assert placement(Machine(), 2).jobs == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5,3,1,0")
    two_each = placement(Machine(devices=2), 10)
    assert (two_each.jobs, two_each.gpus) == (2, 2)
    assert two_each.slots == (("7", "5"), ("3", "1"))
    with pytest.raises(ValueError, match=r"Expected jobs \* devices to be at most 5 GPUs, but got 3 \* 2"):
        placement(Machine(devices=2, jobs=3), 10)
    assert placement(Machine(accelerator="cpu", jobs=6), 10).slots == ((),) * 6


def test_resources_follow_from_the_plan_alone() -> None:
    cores = len(os.sched_getaffinity(0))
    assert resources(Machine(accelerator="cpu"), 1) == (1, cores)
    assert resources(Machine(accelerator="cpu"), 100) == (min(cores, 8), cores // min(cores, 8))
    assert resources(Machine(accelerator="cpu", jobs=2, threads=3), 10) == (2, 3)


def test_clusters_are_asked_for_processors_of_all_processes() -> None:
    ray = {"address": "10.0.0.1:6379"}
    on_ray = placement(Machine(executor="ray", accelerator="cuda", devices=2, threads=3, workers=1, ray=ray), 10)
    assert (on_ray.cpus, on_ray.gpus, on_ray.jobs) == (8, 2, None)
    at_once = "as many runs at once as there is room for"
    assert str(on_ray) == f"the Ray cluster at 10.0.0.1:6379: {at_once}, each with 8 CPUs, 3 threads, 2 GPUs"
    slurm = {"partition": "gpu", "memory": "32GiB", "time": "4:00:00"}
    on_slurm = placement(Machine(executor="slurm", accelerator="cpu", jobs=4, slurm=slurm), 10)
    assert (on_slurm.threads, on_slurm.gpus, on_slurm.minutes) == (1, 0, 240)
    assert str(on_slurm) == (
        "SLURM (partition gpu, 32 GiB a run): 4 runs at once, each with 1 CPU, 1 thread, at most 240 minutes"
    )


def test_a_try_that_is_longer_than_its_job_is_refused() -> None:
    slurm = {"time": "1:00:00"}
    assert placement(Machine(executor="slurm", accelerator="cpu", slurm=slurm, time_limit="1h"), 1).minutes == 60
    with pytest.raises(ValueError, match=r"time_limit.* at most slurm\.time.* 61 minutes and 60"):
        placement(Machine(executor="slurm", accelerator="cpu", slurm=slurm, time_limit="61min"), 1)


def test_a_cluster_must_be_told_its_accelerator() -> None:
    with pytest.raises(ValueError, match="Expected accelerator cpu or cuda with executor slurm, but got 'auto'"):
        placement(Machine(executor="slurm"), 1)
    with pytest.raises(ValueError, match="Expected accelerator cpu or cuda with executor ray"):
        placement(Machine(executor="ray", ray={"address": "auto"}), 1)


def test_plan_refuses_what_run_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = "recipe: {epochs: 1, batch_size: 64}\n"
    Path("bench.yaml").write_text("task: classification\ndatasets: [digits]\nmodels: [linear]\n" + recipe)
    assert main(["plan", "bench.yaml", "--devices", "2", "--accelerator", "cpu"]) == 0
    assert main(["plan", "bench.yaml", "--devices", "3", "--accelerator", "cpu"]) == 2
    assert "Expected recipe.batch_size to be a multiple of 3 devices, but got 64" in capsys.readouterr().err

"""`cvbench doctor`: what it says of packages, devices, disks, data and programs that are made to be there or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from cvbench.cli import main
from cvbench.clusters import Ray, Slurm
from cvbench.diagnosis import disks as disks_file
from cvbench.diagnosis.devices import Probe, devices
from cvbench.diagnosis.disks import disks
from cvbench.diagnosis.finding import Finding
from cvbench.diagnosis.installation import installation
from cvbench.diagnosis.packs import packs
from cvbench.diagnosis.programs import programs
from cvbench.machine import Machine

REPOSITORY = Path(__file__).resolve().parents[2]
NOTHING: dict[str, Any] = {"torch": "2.15.0", "cuda": [], "mps": False, "refused": {"cpu": {}}}


def said(findings: Iterable[Finding]) -> dict[str, tuple[str, str]]:
    return {one.subject: (one.level, f"{one.message}; {one.remedy}") for one in findings}


def pretend(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> None:
    """An installation of a package that asks for these, with these versions there."""
    asked = ["torch>=2.6", "lightning>=2.6.4,<3", 'wandb>=0.18; extra == "wandb"', 'ray>=2; extra == "ray"',
             'pytest>=8; extra == "dev"']  # fmt: skip
    about = Message()
    about["Requires-Python"] = ">=3.11"
    for extra in ("wandb", "ray", "dev"):
        about["Provides-Extra"] = extra

    def version(name: str) -> str:
        from importlib.metadata import PackageNotFoundError

        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr("importlib.metadata.requires", lambda name: asked)
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: about)
    monkeypatch.setattr("importlib.metadata.version", version)


def test_packages_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"torch": "2.15.0+cu130", "lightning": "2.6.6", "wandb": "0.19"})
    found = said(installation())
    assert found["packages"] == ("ok", "2 required ones fit; ")
    assert found["extra wandb"] == ("ok", "installed; ")
    assert found["extra ray"] == ("ok", "not installed (ray); if you need it: pip install 'cvbench[ray]'")
    assert "extra dev" not in found
    assert {level for level, _ in found.values()} == {"ok"}


def test_packages_that_are_missing_old_or_malicious(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"lightning": "2.6.3", "wandb": "0.17"})
    found = list(installation())
    problems = [str(one) for one in found if one.level == "problem"]
    assert any("2.6.3 is a malicious release (GHSA-w37p-236h-pfx3)" in one for one in problems)
    assert any("lightning: 2.6.3 is installed, which does not fit <3,>=2.6.4" in one for one in problems)
    assert any("torch: not installed; pip install 'torch>=2.6'" in one for one in problems)
    assert said(found)["extra wandb"][0] == "warning"


def test_devices_that_are_asked_for_and_not_there() -> None:
    assert {one.level for one in devices(NOTHING, Machine())} == {"ok"}
    assert said(devices(NOTHING, Machine(accelerator="cuda")))["accelerator"][0] == "problem"
    two = NOTHING | {"cuda": ["A100", "A100"], "refused": {"cpu": {}, "cuda": {}}}
    found = said(devices(two, Machine(accelerator="cuda", devices=4)))
    assert found["devices"] == ("problem", "4 are asked for, and there are 2; use fewer --devices")
    assert said(devices(two, Machine(devices=4)))["devices"][0] == "problem"
    assert {one.level for one in devices(two, Machine(accelerator="cpu", devices=4))} == {"ok"}
    for cluster in (Machine(executor="slurm", accelerator="cuda"),
                    Machine(executor="ray", ray=Ray(address="auto"), accelerator="cuda", devices=8)):  # fmt: skip
        assert {one.level for one in devices(NOTHING, cluster)} == {"ok"}
    assert said(devices(NOTHING, Machine(executor="ray", accelerator="cuda")))["accelerator"][0] == "problem"
    why = "Expected a precision that the device has, but got recipe.precision='16-mixed': no CUDA; use 32-true"
    refusing = NOTHING | {"refused": {"cpu": {"16-mixed": why}}}
    shown = said(devices(refusing, Machine()))["precision on cpu"]
    assert shown == ("ok", "16-mixed would be refused: no CUDA; use 32-true; ")


def test_a_probe_that_fails_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe.__new__(Probe)
    code = "raise ImportError('libcudart.so.12: cannot open')"
    probe.process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    (found,) = probe.findings(Machine())
    probe.close()
    assert (found.level, found.subject) == ("problem", "torch")
    assert "libcudart.so.12: cannot open" in found.message


def test_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(cache=tmp_path / "cache", data_root=tmp_path / "nowhere", cache_limit_bytes=1 << 30)
    store = tmp_path / "not" / "yet" / "there"
    monkeypatch.setattr(disks_file, "_room", lambda path: 5 << 30)
    found = said(disks(store, machine))
    assert {name: level for name, (level, _) in found.items()} == {
        "store": "ok",
        "locks": "ok",
        "cache": "ok",
        "data root": "warning",
    }
    assert list(tmp_path.iterdir()) == []  # looking makes nothing
    monkeypatch.setattr(disks_file, "_room", lambda path: 1 << 20)
    found = said(disks(store, machine))
    assert found["store"][0] == "problem"
    assert "no more than 1 MiB free" in found["store"][1]
    assert found["cache"][0] == "warning"


def test_a_store_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    remedy = "name another with --store"
    found = said(disks(tmp_path / "runs", Machine(cache=tmp_path, data_root=tmp_path)))
    assert found["store"] == (
        "problem",
        f"{tmp_path} cannot be written: Read-only file system; {remedy}",
    )
    assert found["locks"][0] == "problem"
    assert found["cache"][0] == "warning"


def test_locks_that_everybody_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", lambda file, how: None)
    level, text = said(disks(tmp_path, Machine(cache=tmp_path, data_root=tmp_path)))["locks"]
    assert level == "problem"
    assert "two takers hold one lock" in text


def test_data_that_are_whole_in_part_or_not_here(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(b"")
    found = said(packs(tmp_path))
    assert {"digits", "streets"} <= set(found["data here"][1].rstrip("; ").split(", "))
    assert found["data mnist"][0] == "warning"
    assert "cvbench data verify mnist" in found["data mnist"][1]
    away = found["data not here"][1].partition(";")[0].split(", ")
    assert "imagenet" in away
    assert "folder" not in away  # somebody's own images are missing nowhere


def test_programs_that_are_there_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("WANDB_API_KEY", "swordfish-7781")
    found = said(programs(Machine()))
    assert found["SLURM"][0] == "ok"
    assert "sbatch, squeue, scancel" in found["SLURM"][1]
    assert said(programs(Machine(executor="slurm")))["SLURM"][0] == "problem"
    assert said(programs(Machine(executor="slurm", slurm=Slurm(cluster="local"))))["SLURM"][0] == "ok"
    assert found["METEOR"][0] == "warning"
    assert found["tracker wandb"] == ("ok", "installed; ")
    monkeypatch.delenv("WANDB_API_KEY")
    assert "offline" in said(programs(Machine()))["tracker wandb"][1]
    monkeypatch.setattr("cvbench.diagnosis.programs.find_spec", lambda name: None)
    remedy = "pip install 'cvbench[tensorboard]'"
    found = said(programs(Machine(tracker="tensorboard")))
    assert found["tracker tensorboard"] == (
        "warning",
        f"asked for, but not installed; {remedy}",
    )
    assert found["tracker wandb"][0] == "ok"
    assert "pip install 'cvbench[slurm]'" in found["executor slurm"][1]
    assert "swordfish" not in str(found)
    assert found["executor slurm"][0] == found["executor ray"][0] == "ok"
    assert said(programs(Machine(executor="ray")))["executor ray"][0] == "problem"
    assert said(programs(Machine(executor="slurm")))["executor slurm"][0] == "problem"


def test_the_verb_asks_a_child_for_torch_and_exits_by_its_problems(tmp_path: Path) -> None:
    """As a program: torch is not imported into it, and what it says is JSON."""
    code = (
        "import sys; from cvbench.cli import main; code = main(sys.argv[1:]); "
        "assert not {'torch', 'lightning'} & set(sys.modules); sys.exit(code)"
    )
    for accelerator, expected in (("cpu", 0), ("mps", 1)):
        command = [sys.executable, "-c", code, "doctor", "--json", "--accelerator", accelerator]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == expected, done.stderr
        told = json.loads(done.stdout)
        assert told["ok"] is (expected == 0)
        levels = {one["subject"]: one["level"] for one in told["findings"]}
        assert levels["store"] == "ok"
        assert levels.get("accelerator") == (None if expected == 0 else "problem")


def test_lines_for_people(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(Probe, "findings", lambda self, machine: iter(devices(NOTHING, machine)))
    assert main(["doctor"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert all(line.startswith(("ok       ", "warning  ")) for line in lines[:-1])
    assert lines[-1].endswith(" 0 problems")

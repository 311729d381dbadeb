"""Energy counters of made-up devices: RAPL's files as the kernel lays them out, NVML by a module of its names."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cvbench.energy import Energy


def package(root: Path, name: str, microjoules: int, limit: int = 262_143_328_850) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{limit}\n")
    return folder / "energy_uj"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def test_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    first, second = package(tmp_path, "intel-rapl:0", 5_000_000), package(tmp_path, "intel-rapl:1", 1_000_000)
    part = package(tmp_path, "intel-rapl:0:0", 0)
    energy = Energy(tmp_path)
    energy.start()
    first.write_text("7500000\n")
    second.write_text("2000000\n")
    part.write_text("900000000\n")
    assert energy.stop() == pytest.approx(2.5 + 1.0)
    assert energy.stop() is None


def test_a_counter_that_began_anew(tmp_path: Path) -> None:
    file = package(tmp_path, "intel-rapl:0", 9_000_000, limit=10_000_000)
    energy = Energy(tmp_path)
    energy.start()
    file.write_text("500000\n")
    assert energy.stop() == pytest.approx(1.5)


def test_nothing_is_told_where_no_device_tells(tmp_path: Path) -> None:
    energy = Energy(tmp_path)
    energy.start()
    assert energy.stop() is None
    file = package(tmp_path, "intel-rapl:0", 1)
    gone = Energy(tmp_path)
    gone.start()
    file.unlink()
    assert gone.stop() is None
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("not a number")
    unread = Energy(tmp_path)
    unread.start()
    assert unread.stop() is None


def test_gpus_tell_millijoules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {0: 1000, 1: 50}
    monkeypatch.setitem(
        sys.modules,
        "pynvml",
        SimpleNamespace(
            NVMLError=RuntimeError,
            nvmlInit=lambda: None,
            nvmlDeviceGetCount=lambda: 2,
            nvmlDeviceGetHandleByIndex=lambda index: index,
            nvmlDeviceGetTotalEnergyConsumption=drawn.__getitem__,
        ),
    )
    energy = Energy(tmp_path)
    energy.start()
    drawn.update({0: 4000, 1: 550})
    assert energy.stop() == pytest.approx(3.5)

"""Devices: what is picked, and which precisions are refused and why. No GPU is needed: torch's answers are faked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cvbench import devices
from cvbench.devices import check_precision, cpu_has_bfloat16, device_name, pick_accelerator, set_tf32
from cvbench.machine import Machine


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the function that sets how many GPUs there are, and whether there is MPS."""

    def be(cuda: int = 0, *, mps: bool = False, bf16: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation
        )
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    be()
    return be


def cpu_flags(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    def read_text(self: Path, encoding: str | None = None) -> str:
        if text is None:
            raise FileNotFoundError(self)
        return text

    monkeypatch.setattr(devices.Path, "read_text", read_text)


@pytest.mark.parametrize(
    ("cuda", "mps", "asked", "count", "picked"),
    [
        (0, False, "auto", 1, "cpu"),
        (0, False, "auto", 4, "cpu"),
        (2, False, "auto", 2, "cuda"),
        (0, True, "auto", 1, "mps"),
        (1, False, "cpu", 2, "cpu"),
    ],
)
def test_auto_takes_the_gpu_where_there_is_one(
    there: Any, cuda: int, mps: bool, asked: Any, count: int, picked: str
) -> None:
    there(cuda, mps=mps)
    assert pick_accelerator(Machine(accelerator=asked, devices=count)) == picked


@pytest.mark.parametrize(
    ("cuda", "mps", "asked", "count", "told"),
    [
        (0, False, "cuda", 1, r"Expected 1 cuda device\(s\), but this machine has 0"),
        (1, False, "auto", 2, r"Expected 2 cuda device\(s\), but this machine has 1"),
        (0, True, "auto", 2, r"Expected 2 mps device\(s\), but this machine has 1"),
        (1, False, "mps", 1, r"Expected 1 mps device\(s\), but this machine has 0"),
    ],
)
def test_too_few_devices_are_refused(there: Any, cuda: int, mps: bool, asked: Any, count: int, told: str) -> None:
    there(cuda, mps=mps)
    with pytest.raises(ValueError, match=told + "; use --accelerator cpu, or fewer --devices"):
        pick_accelerator(Machine(accelerator=asked, devices=count))


INTEL_NEW = (
    "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16\n"
)
INTEL_OLD = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\nflags\t\t: fpu sse2 avx2 avx512f\n"
ARM_NEW = "processor\t: 0\nFeatures\t: fp asimd sve i8mm bf16\n"
ARM_OLD = "processor\t: 0\nFeatures\t: fp asimd crc32\n"


@pytest.mark.parametrize(
    ("text", "has"), [(INTEL_NEW, True), (INTEL_OLD, False), (ARM_NEW, True), (ARM_OLD, False), (None, False)]
)
def test_bfloat16_units_by_the_processors_flags(monkeypatch: pytest.MonkeyPatch, text: str | None, has: bool) -> None:
    cpu_flags(monkeypatch, text)
    assert cpu_has_bfloat16() is has


def test_emulated_bfloat16_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_flags(monkeypatch, INTEL_OLD)
    with pytest.raises(
        ValueError, match=r"recipe\.precision='bf16-mixed': this CPU has no bfloat16 units.*use 32-true"
    ):
        check_precision("bf16-mixed", "cpu")
    cpu_flags(monkeypatch, INTEL_NEW)
    check_precision("bf16-mixed", "cpu")


def test_a_gpu_without_bfloat16_units_is_named(there: Any) -> None:
    there(1, bf16=False)
    with pytest.raises(ValueError, match="Tesla T4 has no bfloat16 units"):
        check_precision("bf16-mixed", "cuda")
    there(1, bf16=True)
    check_precision("bf16-mixed", "cuda")


def test_bfloat16_on_apples_gpu_needs_a_newer_system(there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Before, torch switches autocast off with only a warning.
    there(mps=True)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: (major, minor) <= (13, 3))
    with pytest.raises(ValueError, match="bfloat16 on Apple's GPUs needs macOS 14; use 32-true"):
        check_precision("bf16-mixed", "mps")
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: (major, minor) <= (15, 0))
    check_precision("bf16-mixed", "mps")


@pytest.mark.parametrize(
    ("accelerator", "capability", "hip", "told"),
    [
        ("cuda", (8, 0), None, None),  # Ampere, the first to have it
        ("cuda", (9, 0), None, None),
        ("cuda", (7, 5), None, "Tesla T4 has no TF32 units"),
        ("cuda", (9, 4), "6.2", "TF32 needs an NVIDIA GPU"),
        ("cpu", (8, 0), None, "TF32 needs an NVIDIA GPU"),
        ("mps", (8, 0), None, "TF32 needs an NVIDIA GPU"),
    ],
)
def test_tf32_where_there_are_units_for_it(
    there: Any,
    monkeypatch: pytest.MonkeyPatch,
    accelerator: Any,
    capability: tuple[int, int],
    hip: str | None,
    told: str | None,
) -> None:
    there(1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.version, "hip", hip)
    if told is None:
        check_precision("tf32", accelerator)
        return
    with pytest.raises(ValueError, match=rf"recipe\.precision='tf32': {told}; use 32-true"):
        check_precision("tf32", accelerator)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_tf32_only_where_it_is_asked_for(precision: Any) -> None:
    # cuDNN's own default is to use it.
    def used() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        set_tf32("tf32")
        assert used() == (True, True)
        set_tf32(precision)
        assert used() == (False, False)
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize("accelerator", ["cpu", "mps"])
def test_float16_without_cuda_is_refused(accelerator: Any) -> None:
    # Lightning would train in bfloat16 instead, with only a warning.
    with pytest.raises(ValueError, match=r"recipe\.precision='16-mixed': float16 autocast needs CUDA; use 32-true"):
        check_precision("16-mixed", accelerator)


@pytest.mark.parametrize("accelerator", ["cpu", "cuda", "mps"])
def test_float32_is_everywhere(accelerator: Any) -> None:
    check_precision("32-true", accelerator)


def test_names_of_devices(there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there(1)
    assert device_name("cuda") == "Tesla T4"
    cpu_flags(monkeypatch, INTEL_OLD)
    assert device_name("cpu") == "Intel(R) Xeon(R) CPU @ 2.20GHz"
    for text in (ARM_OLD, None):  # no model name to be read: at least the architecture
        cpu_flags(monkeypatch, text)
        assert device_name("cpu")

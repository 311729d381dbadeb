"""Which device a run gets, what it is called, and which precisions it really has."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Literal

import torch

from cvbench.machine import Machine
from cvbench.spec import Precision

Accelerator = Literal["cpu", "cuda", "mps"]


def pick_accelerator(machine: Machine) -> Accelerator:
    """The accelerator of `machine`, `auto` resolved. Raises ValueError where it, or enough devices of it, are not there."""
    there: dict[Accelerator, int] = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": machine.devices,
    }
    if machine.accelerator == "auto":
        return next(name for name, count in there.items() if count)
    if there[machine.accelerator] < machine.devices:
        raise ValueError(
            f"Expected {machine.devices} {machine.accelerator} device(s), but this machine has {there[machine.accelerator]}; "
            "use --accelerator cpu, or fewer --devices"
        )
    return machine.accelerator


def check_precision(precision: Precision, accelerator: Accelerator) -> None:
    """Refuses a precision that the device lacks, before Lightning replaces it or the emulation crawls. Raises ValueError."""
    reason = None
    if precision == "16-mixed" and accelerator != "cuda":
        reason = "float16 autocast needs CUDA"
    elif (
        precision == "bf16-mixed"
        and accelerator == "cuda"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        reason = f"{torch.cuda.get_device_name()} has no bfloat16 units"
    elif precision == "bf16-mixed" and accelerator == "cpu" and not cpu_has_bfloat16():
        reason = (
            "this CPU has no bfloat16 units (avx512_bf16 or amx_bf16); emulated it runs 5-10 times slower than float32"
        )
    if reason:
        raise ValueError(
            f"Expected a precision that the device has, but got recipe.precision={precision!r}: {reason}; use 32-true"
        )


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself, by its published flags."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux: Apple's processors are reached by mps, others are taken not to have it
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16 "))


def device_name(accelerator: Accelerator) -> str:
    """What people call the device: `NVIDIA A100-SXM4-80GB`, `AMD EPYC 7B13`."""
    if accelerator == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

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
    """The accelerator of `machine`, `auto` resolved. Raises ValueError where it, or enough of it, is not there."""
    there: dict[Accelerator, int] = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": machine.devices,  # processes, as many as are asked for
    }
    auto = next(name for name, count in there.items() if count)
    picked = auto if machine.accelerator == "auto" else machine.accelerator
    if there[picked] < machine.devices:
        raise ValueError(
            f"Expected {machine.devices} {picked} device(s), but this machine has {there[picked]}; "
            "use --accelerator cpu, or fewer --devices"
        )
    return picked


def check_precision(precision: Precision, accelerator: Accelerator) -> None:
    """Refuses a precision that the device lacks, before torch or Lightning replace it or its emulation crawls.

    Raises:
        ValueError: with the reason.
    """
    why_not = {"tf32": _no_tf32, "bf16-mixed": _no_bfloat16, "16-mixed": _no_float16}.get(precision)
    reason = why_not(accelerator) if why_not is not None else None
    if reason:
        raise ValueError(
            f"Expected a precision that the device has, but got recipe.precision={precision!r}: {reason}; use 32-true"
        )


def _no_tf32(accelerator: Accelerator) -> str | None:
    if accelerator != "cuda" or torch.version.hip is not None:
        return "TF32 needs an NVIDIA GPU"
    if torch.cuda.get_device_capability() < (8, 0):
        return f"{torch.cuda.get_device_name()} has no TF32 units"
    return None


def _no_float16(accelerator: Accelerator) -> str | None:
    # On other devices Lightning would train in bfloat16 instead, with only a warning.
    return None if accelerator == "cuda" else "float16 autocast needs CUDA"


def _no_bfloat16(accelerator: Accelerator) -> str | None:
    if accelerator == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return f"{torch.cuda.get_device_name()} has no bfloat16 units"
    if accelerator == "mps" and not torch.backends.mps.is_macos_or_newer(14, 0):
        return "bfloat16 on Apple's GPUs needs macOS 14"  # torch would switch autocast off, with only a warning
    if accelerator == "cpu" and not cpu_has_bfloat16():
        return (
            "this CPU has no bfloat16 units (avx512_bf16 or amx_bf16); emulated it runs 5-10 times slower than float32"
        )
    return None


def set_tf32(precision: Precision) -> None:
    """Lets matrix products and convolutions of float32 use TF32 where the recipe says so, and else not.

    Not left to the defaults: torch's let cuDNN's convolutions use TF32 and matrix products not.
    """
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself, by its published flags."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux: Apple's processors are reached by mps, others are taken not to have it
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags.split())  # the last one is ARM's


def synchronise() -> None:
    """Waits until the device has done all it was given, so that a clock read now tells the truth."""
    if torch.cuda.is_available() and torch.cuda.memory_reserved():  # else this process has left the GPU alone
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


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

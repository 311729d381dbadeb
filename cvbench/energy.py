"""What the devices say they draw: Intel's and AMD's RAPL counters of the processor, NVML's of NVIDIA's GPUs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

RAPL = Path("/sys/class/powercap")

# The counter's reading in joules, and where it begins anew (None: never).
Counter = tuple[Callable[[], float], float | None]


class Energy:
    """Joules between `start` and `stop`, over all counters that this process may read: one a processor package and GPU.

    They count what the whole device draws, other processes included. Counters of packages begin anew after some 60 kJ;
    one wrap between two readings is seen, more are not.
    """

    def __init__(self, rapl: Path = RAPL) -> None:
        self._counters = [*_packages(rapl), *_gpus()]
        self._begun: list[float] | None = None

    def start(self) -> None:
        self._begun = self._read()

    def stop(self) -> float | None:
        """Joules since `start`; None where no device tells, or it was not started."""
        begun, self._begun = self._begun, None
        now = self._read()
        if not begun or now is None:
            return None
        drawn = 0.0
        for first, last, (_, limit) in zip(begun, now, self._counters, strict=True):
            drawn += last - first if last >= first or limit is None else last - first + limit
        return drawn

    def _read(self) -> list[float] | None:
        try:
            return [read() for read, _ in self._counters]
        except (OSError, ValueError, RuntimeError):  # a counter that was there and is no more
            return None


def _packages(rapl: Path) -> Iterator[Counter]:
    # `intel-rapl:0` is a package; `intel-rapl:0:1` is a part of it, counted there already.
    for folder in sorted(rapl.glob("*-rapl:?")):
        with contextlib.suppress(OSError, ValueError):  # most systems let root alone read them
            limit = int((folder / "max_energy_range_uj").read_text())
            read = partial(_joules, folder / "energy_uj")
            read()
            yield read, limit / 1e6


def _joules(file: Path) -> float:
    return int(file.read_text()) / 1e6


def _gpus() -> Iterator[Counter]:
    try:
        import pynvml
    except ImportError:
        return
    try:
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            device = pynvml.nvmlDeviceGetHandleByIndex(index)
            read = partial(_millijoules, pynvml.nvmlDeviceGetTotalEnergyConsumption, device)
            read()
            yield read, None
    except pynvml.NVMLError:  # no driver, or a GPU older than Volta
        return


def _millijoules(ask: Callable[[Any], int], device: Any) -> float:
    return ask(device) / 1e3

"""What a model costs: parameters, multiply-accumulates, latency, memory."""

from __future__ import annotations

import contextlib
import copy
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cvbench.devices import synchronise


def parameters(model: nn.Module) -> int:
    """Number of parameters of the model as it predicts: heads that only training uses are left out."""
    unused = tuple(f"network.{prefix}" for prefix in getattr(model, "training_only", ()))
    return sum(p.numel() for name, p in model.named_parameters() if not (unused and name.startswith(unused)))


def macs(model: nn.Module, image: Tensor) -> int | None:
    """Multiply-accumulates of one forward pass of `image` (1, C, H, W) in eval mode; None where it cannot be counted.

    Counted by torch's `FlopCounterMode` (2 operations a MAC; convolutions and matrix products), on the meta device,
    where no arithmetic is done. Where the size of what is computed depends on what is seen, as with the proposals of a
    detector, in a real pass: then the number is that image's.
    """
    for device in ("meta", image.device):
        network = copy.deepcopy(model).to(device).eval()  # a copy: the model stays as it is
        try:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                network(image.to(device))
        except (NotImplementedError, RuntimeError, AssertionError):  # the last: a view of a parameter is returned
            continue
        return int(counter.get_total_flops()) // 2
    return None


def latency(
    model: nn.Module, image: Tensor, *, autocast: torch.autocast, most: int = 50, seconds: float = 1.0
) -> tuple[float, float]:
    """(p50, p95) seconds of a forward pass at batch 1; at most `most` passes, or `seconds` of them but at least 3.

    One pass first warms up and is not counted. Leaves the model in eval mode.
    """
    times: list[float] = []
    model.eval()
    with torch.inference_mode(), autocast:
        model(image)
        begun = time.perf_counter()
        while len(times) < most and (len(times) < 3 or time.perf_counter() - begun < seconds):
            synchronise()
            start = time.perf_counter()
            model(image)
            synchronise()
            times.append(time.perf_counter() - start)
    p50, p95 = np.percentile(times, [50, 95])
    return float(p50), float(p95)


class PeakMemory:
    """The most memory that a run used: of the GPU's allocator where there is one, else of the process."""

    def __init__(self) -> None:
        #: bytes that earlier tries of the run used at most
        self.earlier = 0
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        # Linux forgets the process's high-water mark when asked so: a warm worker has had other runs before.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def read(self) -> int:
        """Bytes since this object was made, or `earlier`; on systems that cannot forget, since the process began."""
        return max(self.earlier, self._now())

    def _now(self) -> int:
        if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
            return int(torch.cuda.max_memory_allocated())
        try:
            status = Path("/proc/self/status").read_text(encoding="ascii")
            line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        except (OSError, StopIteration):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return peak if sys.platform == "darwin" else peak * 1024

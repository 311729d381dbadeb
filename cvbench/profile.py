"""What models cost, without training them: parameters, MACs, latency, images a second, memory; a row a model.

Each model is measured in a process of its own, so that one that crashes, or needs more memory than there is, costs its
own row only, and none is charged for what another left behind.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cvbench.apart import apart, environment_of_processes

if TYPE_CHECKING:
    from cvbench.data.base import DatasetInfo
    from cvbench.spec import ModelRef
    from cvbench.tasks.base import Task


@dataclass(frozen=True)
class Settings:
    """How to measure. input_size: (H, W); classes: for captioners, words; batch_size: of the images a second.

    None: what is usual for the model's task; threads: PyTorch's own choice.
    """

    input_size: tuple[int, int] | None = None
    classes: int | None = None
    batch_size: int | None = None
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class Asked:
    """A model to measure. label: what its row is called."""

    label: str
    model: ModelRef
    task: str


@dataclass(frozen=True)
class Profile:
    """One row; inference in float32.

    macs: multiply-accumulates of one image, None where they cannot be counted. latency: of one image, p50 and p95.
    images_per_second: of batches of batch_size. peak_memory_bytes: the most that building
    the model and predicting with it took, at that batch size: of the GPU's allocator, else what the process grew by.
    """

    model: str
    task: str
    input_size: tuple[int, int]
    classes: int
    parameters: int
    macs: int | None
    latency_p50_seconds: float
    latency_p95_seconds: float
    batch_size: int
    images_per_second: float
    peak_memory_bytes: int
    accelerator: str
    device: str
    threads: int
    torch: str


@dataclass(frozen=True)
class Unmeasured:
    """The row of a model that failed, and why."""

    model: str
    task: str
    error: str


def profile(models: Sequence[Asked], settings: Settings) -> Iterator[Profile | Unmeasured]:
    """The rows, each as soon as it is measured, from the smallest model to the largest; what cannot be built last."""
    with environment_of_processes({} if settings.threads is None else {"OMP_NUM_THREADS": str(settings.threads)}):
        sizes = {place: apart(_parameters, asked, settings) for place, asked in enumerate(models)}
        order = sorted(sizes, key=lambda place: sizes[place] if isinstance(sizes[place], int) else math.inf)
        for place in order:
            asked = models[place]
            found = apart(measure, asked, settings)
            yield found if isinstance(found, Profile) else Unmeasured(asked.label, asked.task, str(found))


def measure(asked: Asked, settings: Settings) -> Profile:
    """One model's row, measured in this process. Raises what keeps it from being built or run."""
    import torch

    from cvbench import costs
    from cvbench.contracts.subject import contract_of
    from cvbench.devices import device_name, pick_accelerator
    from cvbench.machine import Machine

    accelerator = pick_accelerator(Machine(accelerator=settings.accelerator))
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    memory = costs.PeakMemory()
    before = 0 if accelerator == "cuda" else memory.read()
    info, count = _info(asked, settings)
    assert info.input_size is not None
    task = _task(asked, info).to(accelerator)
    images = _scene(info.input_size).to(accelerator)
    off = torch.autocast(accelerator, enabled=False)
    p50, p95 = costs.latency(task, images, autocast=off)
    batch_size = settings.batch_size or contract_of(asked.task).batch_size
    speed = _images_per_second(task, images.expand(batch_size, -1, -1, -1).contiguous())
    peak = memory.read() - before
    return Profile(
        model=asked.label,
        task=asked.task,
        input_size=info.input_size,
        classes=count,
        parameters=costs.parameters(task.model),
        macs=costs.macs(task.predictor(), images),
        latency_p50_seconds=p50,
        latency_p95_seconds=p95,
        batch_size=batch_size,
        images_per_second=speed,
        peak_memory_bytes=max(0, peak),
        accelerator=accelerator,
        device=device_name(accelerator),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def _images_per_second(task: Task, batch: Any, seconds: float = 2.0, most: int = 20) -> float:
    """Over passes of at most `seconds` in all, warmed up; one pass that takes longer is the measure itself."""
    import torch

    from cvbench.devices import synchronise

    def timed(passes: int) -> float:
        synchronise()
        begun = time.perf_counter()
        for _ in range(passes):
            task(batch)
        synchronise()
        return time.perf_counter() - begun

    with torch.inference_mode():
        first = timed(1)
        passes = min(most, int(seconds / first))
        return len(batch) * passes / timed(passes) if passes else len(batch) / first


def _info(asked: Asked, settings: Settings) -> tuple[DatasetInfo, int]:
    from cvbench.contracts.subject import contract_of

    contract = contract_of(asked.task)
    count = settings.classes or contract.count
    return contract.info(asked.task, settings.input_size or contract.size, count), count


def _task(asked: Asked, info: DatasetInfo) -> Task:
    from cvbench.finalising import seed_everything
    from cvbench.harness import build_model, task_class
    from cvbench.spec import Recipe

    seed_everything(0)
    model, _ = build_model(asked.model, info, asked.task, strict_weights=False)
    use_cache: Callable[[None], None] | None = getattr(model, "use_cache", None)
    if use_cache is not None:
        use_cache(None)  # every image as if it were never seen
    return task_class(asked.task)(model, info, Recipe(input_size=info.input_size), total_steps=1).eval()


def _parameters(asked: Asked, settings: Settings) -> int:
    """How many the model has, built without arithmetic where it can be."""
    import torch

    from cvbench.costs import parameters

    info, _ = _info(asked, settings)
    try:
        with torch.device("meta"):
            return parameters(_task(asked, info).model)
    except Exception:  # a constructor may look at numbers
        return parameters(_task(asked, info).model)


def _scene(size: tuple[int, int]) -> Any:
    """A picture with things in it, float32 (1, 3, H, W): how long a detector takes depends on what it sees."""
    import torch
    from torch.nn import functional as F

    from cvbench.data.streets import SMALLEST, scene

    height, width = size
    drawn = torch.from_numpy(scene(0, 0, max(height, SMALLEST), max(width, SMALLEST)).image)
    return F.interpolate(drawn.permute(2, 0, 1)[None].float().div(255), size=size, mode="bilinear")

"""`cvbench profile`: the cost table of models, without training."""

from __future__ import annotations

import dataclasses
import json as jsonlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cvbench.commands.options import Json

if TYPE_CHECKING:
    from cvbench.profile import Profile, Unmeasured

# Head and width of the columns behind the model's name; all are numbers but the first two.
COLUMNS = {"task": -14, "size": -9, "classes": 7, "parameters M": 12, "GMACs": 9, "p50 ms": 9, "p95 ms": 9,
           "batch": 5, "images/s": 9, "memory MB": 9}  # fmt: skip


def profile(
    *models: Annotated[
        str, Parameter(name="MODEL", help="Models as benchmarks name them, each followed by its options: key=value.")
    ],
    task: Annotated[str | None, Parameter(help="Of what they are models [default: what each serves].")] = None,
    input_size: Annotated[
        tuple[int, int] | None, Parameter(help="Height and width of the images [default: usual for the task].")
    ] = None,
    classes: Annotated[
        int | None, Parameter(help="How many; of captioners, words [default: usual for the task].")
    ] = None,
    batch_size: Annotated[
        int | None, Parameter(help="Of the images per second and of the memory [default: usual for the task].")
    ] = None,
    accelerator: Annotated[Literal["auto", "cpu", "cuda", "mps"], Parameter(help="Kind of device.")] = "auto",
    threads: Annotated[int | None, Parameter(help="Threads on the CPU [default: PyTorch's choice].")] = None,
    json: Json = False,
) -> int:
    """Measure what models cost: parameters, MACs, latency at batch 1, images per second, peak memory.

    A row a model, the smallest first, each as soon as it is measured. Nothing is trained, nothing downloaded.
    """
    from cvbench.commands.model_names import checked_size, named_models
    from cvbench.profile import Asked, Settings
    from cvbench.profile import profile as measured

    for option, value in {"--classes": classes, "--batch-size": batch_size, "--threads": threads}.items():
        if value is not None and value < 1:
            raise ValueError(f"{option}: Expected a number above 0, but got {value}")
    asked = [Asked(one.label, one.ref, one.task) for one in named_models(models, task)]
    if not asked:
        raise ValueError("name at least one model; `cvbench list models` shows them")
    settings = Settings(checked_size(input_size), classes, batch_size, accelerator, threads)
    rows = measured(asked, settings)
    failed = _as_json(rows) if json else _as_text(rows, max(len(one.label) for one in asked))
    return 1 if failed else 0


def _as_json(rows: Iterator[Profile | Unmeasured]) -> int:
    """One list, a row a line as it comes; whole also after Ctrl-C. How many rows failed."""
    failed, before = 0, "[\n"
    try:
        for row in rows:
            told = dataclasses.asdict(row)
            failed += "error" in told
            print(before + jsonlib.dumps(told, ensure_ascii=False), end="", flush=True)
            before = ",\n"
    finally:
        print("[]" if before == "[\n" else "\n]", flush=True)
    return failed


def _as_text(rows: Iterator[Profile | Unmeasured], width: int) -> int:
    """A table that grows, and below it what it was measured on. How many rows failed."""
    from cvbench.profile import Profile

    failed, place = 0, ""
    _line("model", width, list(COLUMNS))
    for row in rows:
        if isinstance(row, Profile):
            place = f"{row.device}, {row.threads} threads, torch {row.torch}, float32"
            _line(row.model, width, _cells(row))
        else:
            failed += 1
            print(f"{row.model:<{width}}  failed: {row.error}", flush=True)
    if place:
        print(place)
    return failed


def _cells(row: Profile) -> list[str]:
    return [
        row.task,
        f"{row.input_size[0]}x{row.input_size[1]}",
        str(row.classes),
        f"{row.parameters / 1e6:.3f}",
        "" if row.macs is None else f"{row.macs / 1e9:.3f}",
        f"{row.latency_p50_seconds * 1e3:.2f}",
        f"{row.latency_p95_seconds * 1e3:.2f}",
        str(row.batch_size),
        f"{row.images_per_second:.1f}",
        f"{row.peak_memory_bytes / 1e6:.0f}",
    ]


def _line(model: str, width: int, cells: list[str]) -> None:
    aligned = (f"{cell:<{-size}}" if size < 0 else f"{cell:>{size}}"
               for cell, size in zip(cells, COLUMNS.values(), strict=True))  # fmt: skip
    print("  ".join([f"{model:<{width}}", *aligned]).rstrip(), flush=True)

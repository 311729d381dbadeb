"""Made-up plans and records: what the tests of tables and boards are held against by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cvbench import assemble as assembling
from cvbench.board import Leaderboard
from cvbench.plan import Line
from cvbench.record import Costs, DatasetFacts, Execution, Record, Selection
from cvbench.spec import Benchmark, DatasetEntry, DatasetRef, ModelEntry, ModelRef, Recipe, RunSpec, Suite
from cvbench.store import Store
from cvbench.table import row_key
from cvbench.tuning import Tuned

ENVIRONMENT = {"git_commit": "0123abc", "os": "Linux", "python": "3.11.9", "packages": {"torch": "2.15.0"}}


def spec(name: str = "lenet", seed: int = 0, **changes: Any) -> RunSpec:
    """A planned run on `digits`; changes are fields of RunSpec."""
    fields: dict[str, Any] = {
        "task": "classification",
        "mode": "train",
        "primary": "top1",
        "dataset": DatasetRef(name="digits", options={}, version=1),
        "model": ModelRef(name=name, options={"width": 32}, version=1),
        "recipe": Recipe(epochs=2),
        "seed": seed,
        "task_version": 1,
        "suite": "quick",
        "benchmark": "classification",
        "label": name,
    }
    return RunSpec(**fields | changes)


def plan(models: Sequence[str] = ("lenet",), seeds: Sequence[int] = (0, 1, 2), **changes: Any) -> list[RunSpec]:
    return [spec(model, seed, **changes) for model in models for seed in seeds]


def facts(**changes: Any) -> DatasetFacts:
    fields: dict[str, Any] = {
        "protocol": {"classes": 2, "scoring_size": "native", "roles": {"train": "fixed share", "test": "the rest"}},
        "revision": "aaaaaaaaaaaa",
        "classes": ("zero", "one"),
        "split_sizes": {"train": 1200, "val": 100, "test": 400},
        "licence": "CC BY 4.0",
        "redistributable": True,
    }
    return DatasetFacts(**fields | changes)


def record(run: RunSpec, value: float, *, others: dict[str, float] | None = None, **changes: Any) -> Record:
    """The record of `run` with `value` as its primary test metric; changes are fields of Record."""
    metrics = {"val/" + run.primary: 0.5, "test/" + run.primary: value} | {
        f"test/{name}": number for name, number in (others or {}).items()
    }
    fields: dict[str, Any] = {
        "run_id": run.run_id,
        "group_id": run.group_id,
        "spec": run,
        "dataset": facts(),
        "metrics": metrics,
        "directions": {key: "min" if key.endswith(("nll", "ece")) else "max" for key in metrics},
        "per_class": {run.primary: {"zero": value, "one": None}},
        "costs": Costs(parameters=61706, macs=416520, train_seconds=10.0 + run.seed, test_images_per_second=5000.0),
        "samples": {"test": 400},
        "selection": Selection(rule="best val/" + run.primary, epoch=1),
        "execution": Execution(
            accelerator="cpu", devices=1, device_name="a CPU", threads=1, batch_per_device=32, accumulate=1
        ),
        "environment": ENVIRONMENT,
        "evaluator_version": 1,
        "started_at": datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=run.seed),
    }
    return Record(**fields | changes)


def suite(names: Sequence[str] = ("classification",), name: str = "quick") -> Suite:
    return Suite(
        name=name,
        benchmarks=tuple(
            Benchmark(
                name=benchmark,
                task="classification",
                datasets=(DatasetEntry(name="digits"),),
                models=(ModelEntry(name="lenet"),),
                file=Path(f"/home/someone/secret/benchmarks/quick/{benchmark}.yaml"),
            )
            for benchmark in names
        ),
    )


def assembled(planned: Sequence[RunSpec], store: Store, of: Suite | None = None, **changes: Any) -> Leaderboard:
    """The leaderboard of made-up runs, which no file plans and nothing tunes; changes are arguments of `assemble`."""
    rows: dict[tuple[str, ...], list[RunSpec]] = {}
    for run in planned:
        rows.setdefault(row_key(run), []).append(run)
    lines = [Line((runs[0],), (), tuple(run.seed for run in runs)) for runs in rows.values()]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(assembling, "tuned_in", lambda *_, **__: Tuned(tuple((line, None) for line in lines)))
        return assembling.assemble(of or suite(), store, Path("/nowhere"), **changes)

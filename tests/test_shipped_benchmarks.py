"""Every benchmark that is shipped can be planned: its names, options and weights are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvbench.plan import plan
from cvbench.suite import load_suite

FILES = sorted((Path(__file__).resolve().parents[1] / "benchmarks").glob("**/*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_shipped_benchmark_can_be_planned(file: Path) -> None:
    suite = load_suite([file])
    (benchmark,) = suite.benchmarks
    a_model = [len(benchmark.candidates_on(dataset)) or len(benchmark.seeds) for dataset in benchmark.datasets]
    assert len(plan(suite)) == len(benchmark.models) * sum(a_model)

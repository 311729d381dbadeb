"""A board from 10,000 records: 20 data sets, 100 models, 5 seeds, 200 images each; CPU seconds against limits.

From files: records and curves are read and evidence is held against them, its statistics kept from before. From the
index: nothing changed since the last board. The resamples themselves are measured in `statistics`.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np

from cvbench.assemble import assemble
from cvbench.board import Leaderboard
from cvbench.index import FILE
from cvbench.spec import DatasetRef, ModelRef, RunSpec
from cvbench.store import Store
from tests import records
from tests.speed.timing import Row
from tests.stores import keep, settle

DATASETS, MODELS, SEEDS, IMAGES = 20, 100, 5, 200
LIMITS = {"from files": 5.0, "from its index": 1.0}  # CPU seconds
TRIES = 3
# what is kept of files and whole boards, but not of statistics
FORGET = ("DELETE FROM files", "DELETE FROM computed WHERE key LIKE 'board %'")


def planned() -> list[RunSpec]:
    datasets = [DatasetRef(name="photos", options={"part": part}, version=1) for part in range(DATASETS)]
    models = [ModelRef(name=f"model{model}", options={"width": model}, version=1) for model in range(MODELS)]
    return [
        records.spec(model.name, seed, dataset=dataset, model=model)
        for dataset in datasets
        for model in models
        for seed in range(SEEDS)
    ]


def fill(store: Store, runs: list[RunSpec]) -> None:
    """Models that are right of 0.7 to 0.9 of the images."""
    rng = np.random.default_rng(0)
    for run in runs:
        keep(store, run, rng.random(IMAGES) < 0.7 + 0.002 * int(run.label.removeprefix("model")))
    settle(store.root)


def forget(root: Path) -> None:
    database = sqlite3.connect(root / FILE)
    with database:
        for statement in FORGET:
            database.execute(statement)
    database.close()


def timed(work: Callable[[], Leaderboard]) -> tuple[float, Leaderboard]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        store, runs, suite = Store(folder), planned(), records.suite()
        fill(store, runs)

        def board() -> Leaderboard:
            # what is planned is made up too: planning is measured in `startup`
            standing = SimpleNamespace(runs=runs, candidates=[], tunings=[])
            with mock.patch("cvbench.assemble.tuned_in", return_value=standing):
                return assemble(suite, store, store.root / "no data here")

        first = board()
        assert [len(one.rows) for one in first.boards] == [MODELS] * DATASETS
        assert all(row.n == SEEDS and row.standing is not None for one in first.boards for row in one.rows)
        seconds: dict[str, float] = {}
        for _ in range(TRIES):
            forget(store.root)
            for name in LIMITS:
                cost, found = timed(board)
                assert found == first
                seconds[name] = min(cost, seconds.get(name, cost))
    return [
        Row(f"board of {len(runs):,} records {name} (limit {limit:.0f} s)", seconds[name], limit,
            limit / seconds[name], 1.0)
        for name, limit in LIMITS.items()
    ]  # fmt: skip

"""The data of runs as they lie here now: the dataset that a run names, its revision, or what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cvbench import catalog
from cvbench.spec import DatasetRef, RunSpec

if TYPE_CHECKING:
    from cvbench.data.base import Dataset  # brings numpy, which `cvbench plan` can do without


def load_dataset(task: str, ref: DatasetRef, data_root: Path) -> Dataset:
    """Builds a dataset as a run names it; lists files, reads no pixels, needs no torch. Raises DataError."""
    entry = catalog.find("datasets", ref.name, task)
    given = {"task": task} if entry.takes_task else {}
    # Absolute: datasets name files below their own folder, and a relative one could be taken for a folder in it.
    return entry.build()(data_root.absolute(), **given, **_as_arguments(ref.options))  # type: ignore[no-any-return]


def _as_arguments(options: dict[str, object]) -> dict[str, object]:
    # JSON knows no tuples; `build` signatures do.
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


class DataState(NamedTuple):
    """How a run's data lie here now. revision: None where they do not; problem: why not, one line, else None.

    split_sizes: images of each split; None where they are not known here.
    """

    revision: str | None
    problem: str | None = None
    split_sizes: Mapping[str, int] | None = None


def revisions(runs: Sequence[RunSpec], data_root: Path, *, plugins: bool = False) -> dict[str, str | None]:
    """run_id -> revision of its data as they lie here now; None where they are not here or not whole.

    plugins: also of somebody's own datasets, which runs their code; without, theirs is None.
    """
    return {run: state.revision for run, state in data_states(runs, data_root, plugins=plugins).items()}


def data_states(runs: Sequence[RunSpec], data_root: Path, *, plugins: bool = False) -> dict[str, DataState]:
    """run_id -> `DataState`; builds each dataset once. Without `plugins` nothing is known of somebody's own."""
    known: dict[str, DataState] = {}
    found: dict[str, DataState] = {}
    for run in runs:
        key = json.dumps([run.task, run.dataset.model_dump(mode="json")], sort_keys=True)
        if key not in known:
            known[key] = _data_state(run, data_root) if plugins or ":" not in run.dataset.name else DataState(None)
        found[run.run_id] = known[key]
    return found


def _data_state(run: RunSpec, data_root: Path) -> DataState:
    try:
        info = load_dataset(run.task, run.dataset, data_root).info
        return DataState(info.revision, split_sizes=info.split_sizes)
    except (
        Exception
    ) as error:  # whatever is wrong with the data or a plug-in, the run itself fails of; the suite goes on
        return DataState(None, (str(error).strip().splitlines() or [type(error).__name__])[0])

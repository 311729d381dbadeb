"""A finished run's evidence and truth, in the files that others score: no model, no data set, no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cvbench.arrays import load_arrays
from cvbench.record import Record, read_record, write_atomically
from cvbench.store import truth_name


def export(folder: Path | str, out: Path | str) -> list[Path]:
    """Writes a run's evidence and truth into `out`, in the files of its task; returns their paths.

    folder: of one run (`runs/<dataset>/<model>/<run_id>`). What is written is up to `export_files(evidence, truth,
    protocol)` in `cvbench/scoring/<task>.py`, the files' names and their JSON content; `cvbench score` of them gives
    the run's own numbers.

    Raises:
        ValueError: no finished run, a task that has no such function, evidence or truth that is not there.
    """
    folder = Path(folder)
    if not (folder / "record.json").is_file():
        raise ValueError(f"{folder}: Expected the folder of a finished run (with record.json), but it is none")
    record = read_record(folder / "record.json")
    export_files = _exporter(record.spec.task)
    if export_files is None:
        rule = "Expected a run of a task whose evidence has a file format of its own, such as detection"
        raise ValueError(f"{folder}: {rule}, but got {record.spec.task}; its evidence.npz opens with numpy.load")
    evidence, truth = load_arrays(folder / "evidence.npz"), load_arrays(_truth_file(folder, record))
    contents = export_files(evidence, truth, record.dataset.protocol)
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        # allow_nan: what is no JSON never leaves here
        write_atomically(Path(out) / name, json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
    return [Path(out) / name for name in contents]


def _exporter(task: str) -> Callable[..., dict[str, Any]] | None:
    """`export_files` of `cvbench/scoring/<task>.py`, where there is one."""
    name = f"cvbench.scoring.{task}"
    known = task.isidentifier() and find_spec(name) is not None
    return getattr(import_module(name), "export_files", None) if known else None


def _truth_file(folder: Path, record: Record) -> Path:
    """Beside the models, as the store keeps it; in the run's own folder where no store has taken it over."""
    own = folder / "truth.npz"
    if own.is_file():
        return own
    return folder.resolve().parents[1] / truth_name(record)

"""Whether a record can be reproduced here: its code, its data, its weights, its plug-ins. Trains nothing, never torch.

What cannot be had (a plug-in, a weights file, data) raises; what has moved on is listed, for the numbers would be
others.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cvbench import catalog
from cvbench.data.base import DatasetInfo
from cvbench.data.files import sha256
from cvbench.data_here import load_dataset
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Record
from cvbench.spec import RunSpec, Weights


def find_record(named: str, store: Path) -> Path:
    """The record.json that is meant: the file itself, its folder, or the beginning of a run_id in `store`.

    Raises ValueError where there is none, or several.
    """
    path = Path(named)
    if path.is_file():
        return path
    if (path / "record.json").is_file():
        return path / "record.json"
    found = sorted(store.glob(f"*/*/{named}*/record.json")) if named.isalnum() else []
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{named}: Expected one run, but got {', '.join(one.parent.name for one in found[:6])}")
    where = f"a run's folder, a record.json or a run_id in the store {store}"
    raise ValueError(f"{named}: Expected {where}, but there is none; name the store with --store")


def check_trained_here(record: Record) -> None:
    """Raises ValueError for a record that no training gave, or whose spec is not the one that it is named after."""
    if record.spec.mode not in ("train", "evaluate") or getattr(record, "submission", None) is not None:
        raise ValueError(
            f"record {record.run_id}: its result was made elsewhere and handed in as predictions: there is nothing to "
            "train. `cvbench score` scores the same predictions again"
        )
    if record.run_id != record.spec.run_id:
        raise ValueError(
            f"record {record.run_id}: Expected the spec of that run, but its spec hashes to {record.spec.run_id}: it "
            "was edited, or a newer cvbench wrote it; restore the file"
        )


def moved_on(record: Record) -> list[str]:
    """What of this code is no longer what made the record, a sentence each: VERSIONs, options, the evaluator.

    Raises ValueError where a task, dataset or model is not here at all, a plug-in that cannot be imported included.
    """
    spec = record.spec
    dataset, model = catalog.find("datasets", spec.dataset.name, spec.task), _entry(spec)
    of = [
        ("task", spec.task, spec.task_version, catalog.find("tasks", spec.task).version),
        ("dataset", dataset.name, spec.dataset.version, dataset.version),
        ("model", model.name, spec.model.version, model.version),
    ]
    said = [
        f"{kind} {name}: the record is of VERSION {then}, here is VERSION {now}"
        for kind, name, then, now in of
        if then != now
    ]
    for entry, options in ((dataset, spec.dataset.options), (model, spec.model.options)):
        said += catalog.complete(entry, options)[1].values()
    if record.evaluator_version != EVALUATOR_VERSION:
        rule = f"the record was scored by evaluator {record.evaluator_version}, this is {EVALUATOR_VERSION}"
        said.append(f"{rule}; `cvbench rescore` mends the record without training")
    return said


def _entry(spec: RunSpec) -> catalog.Entry:
    for kind, name in (("dataset", spec.dataset.name), ("model", spec.model.name)):
        module, colon, _ = name.partition(":")
        if colon and not _importable(module):
            raise ValueError(
                f"{kind} {name}: there is no module {module!r} here; go to its folder, or put that into PYTHONPATH"
            )
    return catalog.find("models", spec.model.name, spec.task)


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):  # its package is not there, or fails as it is imported
        return False


def data_differences(record: Record, data_root: Path) -> list[str]:
    """How the data here differ from the record's, a sentence each. Raises ValueError where they are not here."""
    info = _info(record.spec, data_root)
    said = []
    if info.revision != record.dataset.revision:
        said.append(f"data revision: the record's is {record.dataset.revision}, here is {info.revision}")
    for key in sorted(dict(info.protocol).keys() | record.dataset.protocol.keys()):
        then, now = record.dataset.protocol.get(key), _plain(info.protocol.get(key))
        if then != now:
            said.append(f"protocol: {key}: the record's is {then!r}, here is {now!r}")
    return said


def _info(spec: RunSpec, data_root: Path) -> DatasetInfo:
    try:
        return load_dataset(spec.task, spec.dataset, data_root).info
    except ValueError:
        raise
    except Exception as error:  # whatever a plug-in raises
        raise ValueError(f"dataset {spec.dataset.name}: {type(error).__name__}: {error}") from error


def _plain(value: Any) -> Any:
    """As JSON has it, which records are: it knows no tuples."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {str(key): _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def with_weights(spec: RunSpec, given: Sequence[Path]) -> RunSpec:
    """The same run with its weights files where they lie now: where the record says, else one of `given`, by content.

    Raises ValueError that names the file and its SHA-256 where there is none.
    """
    ref = spec.model.model_copy(
        update={
            name: weights.model_copy(update={"source": source})
            for name in ("weights", "backbone_weights")
            if (weights := getattr(spec.model, name)) is not None
            and weights.sha256 is not None
            and (source := _found(weights, given))
        }
    )
    found = spec.model_copy(update={"model": ref})
    assert found.run_id == spec.run_id  # weights count by content
    return found


def _found(weights: Weights, given: Iterable[Path]) -> str:
    for file in (Path(weights.source), *given):
        if file.is_file() and sha256(file) == weights.sha256:
            return str(file.resolve())
    state = "is another file now" if Path(weights.source).is_file() else "is gone"
    raise ValueError(
        f"{weights.source}: these weights, which the run started from, {state}; give a file of SHA-256 "
        f"{weights.sha256} with --weights"
    )

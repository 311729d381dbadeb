"""Results that somebody else made: predictions to a record like that of a run, and which of these a board shows.

Nothing here imports torch, or anybody's plug-in.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cvbench import catalog
from cvbench.data_here import load_dataset
from cvbench.environment import environment
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import (
    Costs,
    DatasetFacts,
    EvidenceFile,
    Record,
    Selection,
    Submission,
    read_record,
    write_record,
)
from cvbench.spec import SUBMITTED, DatasetRef, ModelRef, Recipe, RunSpec
from cvbench.store import Store, slug

if TYPE_CHECKING:
    from cvbench.arrays import Arrays
    from cvbench.data.base import Dataset
    from cvbench.scored import Scored

EVIDENCE, RECORD = "evidence.npz", "record.json"


@dataclass(frozen=True)
class Offer:
    """What the author says. evidence_url: where evidence.npz will lie. parameters, macs: of the model, as told."""

    predictions: Path
    name: str
    url: str
    evidence_url: str | None = None
    parameters: int | None = None
    macs: int | None = None


def submit(offer: Offer, task: str, dataset: str, options: Mapping[str, Any], data_root: Path, store: Store) -> Record:
    """Scores predictions on a data set's test split as a run is scored, into `<store>/<dataset>/<name>/<run_id>/`.

    The format of the predictions and how they name samples is that of `read_evidence` in `cvbench/scoring/<task>.py`.
    The run_id depends on the name and on what is predicted, in whatever order that was written.

    Raises:
        ValueError: an unknown task, data set or option (with the nearest), data that are not here (DataError), a name
            or URL that cannot stand on a board, predictions that do not keep to the format. Then nothing is written.
    """
    from cvbench.scored import scored
    from cvbench.scoring.by_name import scoring_of

    scoring = scoring_of(task)
    ref = dataset_ref(task, dataset, options)
    # what is cheap to find wrong first
    submission = _submission(offer)
    data = load_dataset(task, ref, data_root)
    truth = scoring.split_truth(data)
    evidence = scoring.read_evidence(offer.predictions, data, truth)
    spec = _spec(task, ref, offer.name, evidence)
    found = scored(task, evidence, truth)
    if spec.primary not in found.metrics:
        raise ValueError(
            f"{dataset}: Expected something in the test split that {spec.primary} is defined by, but got none"
        )
    with store.lock(spec):
        working = store.begin(spec)
        try:
            kept = _kept(working, evidence, truth, offer.evidence_url)
            record = _record(spec, submission, offer, data, found, kept)
            write_record(record, working / "record.json")
            store.finish(spec)
        except BaseException:
            store.discard(spec)
            raise
    return record


def submitted(
    root: Path,
    task: str,
    ref: DatasetRef,
    protocol: Mapping[str, Any],
    revision: str,
    *,
    beside: Callable[[Path], Sequence[Path]] | None = None,
    read: Callable[[Path], Record] = read_record,
) -> list[Record]:
    """The submissions below `root` that belong on the board of this task, data set, protocol and data revision.

    root: a store, or a repository's `submissions/<dataset>/<name>/record.json`. Of a run_id that is there twice, the
    latest; sorted by name and run_id. Those of another evaluator version are among them: `EVALUATOR_VERSION` tells them
    from what can be compared. beside: `folders_beside`, from a caller who knows which runs are none. Raises ValueError
    for a submission that cannot be read.
    """
    found: dict[str, Record] = {}
    for record in _submissions((beside or folders_beside)(root / slug(ref.name)), read):
        on_board = (record.spec.task, record.spec.dataset, record.dataset.protocol, record.dataset.revision)
        if on_board != (task, ref, dict(protocol), revision):
            continue
        if record.run_id not in found or found[record.run_id].started_at < record.started_at:
            found[record.run_id] = record
    return sorted(found.values(), key=lambda record: (record.spec.model.name, record.run_id))


def folders_beside(dataset: Path, runs: Collection[str] = ()) -> list[Path]:
    """Folders of a store's data set that hold a record, other than those of these runs; by their paths, sorted."""
    models = _folders(dataset)
    inner = [path for model in models for path in _folders(model) if os.path.basename(path) not in runs]
    return sorted(Path(path) for path in [*models, *inner] if os.path.isfile(f"{path}/{RECORD}"))


def _folders(of: Path | str) -> list[str]:
    """Those that are not hidden; as strings, since there may be ten thousand."""
    try:
        with os.scandir(of) as entries:
            return [entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []


def _submissions(folders: Sequence[Path], read: Callable[[Path], Record]) -> Iterator[Record]:
    for folder in folders:
        path = folder / RECORD
        try:
            record = read(path)
        except ValueError:
            # A run whose record is damaged is told by its state, and is nothing to a board of submissions.
            if b'"submitted"' in path.read_bytes():
                raise
            continue
        if record.submission is not None:
            yield record


def dataset_ref(task: str, name: str, options: Mapping[str, Any]) -> DatasetRef:
    """A data set with its options completed, as a run names it. Raises ValueError for what the catalog has not."""
    if ":" in name:
        rule = f"Expected a data set of cvbench, but got {name!r}"
        raise ValueError(
            f"{rule}: scoring submissions runs nobody's own code; its test split as files, `cvbench score`"
        )
    entry = catalog.find("datasets", name, task)
    values, wrong = catalog.complete(entry, options)
    if wrong:
        raise ValueError("\n".join(wrong.values()))
    return DatasetRef(name=name, options=values, version=entry.version)


def _spec(task: str, ref: DatasetRef, name: str, evidence: Arrays) -> RunSpec:
    primary, _ = catalog.metrics(task)
    version = catalog.find("tasks", task).version
    assert version is not None, f"tasks/{task}.py has no literal VERSION"
    from cvbench.arrays import digest

    model = ModelRef(name=name, options={"evidence": digest(evidence)})
    return RunSpec(task=task, mode=SUBMITTED, primary=primary, dataset=ref, model=model, recipe=Recipe(), seed=0,
                   task_version=version, label=name)  # fmt: skip


def _submission(offer: Offer) -> Submission:
    """Checked as it stands in the record. Raises ValueError that names the option."""
    from cvbench.public_words import checked_url

    for option in ("parameters", "macs"):
        value = getattr(offer, option)
        if value is not None and value < 0:
            raise ValueError(f"--{option}: Expected a number >= 0, but got {value}")
    if offer.evidence_url is not None:
        try:
            checked_url(offer.evidence_url)
        except ValueError as error:
            raise ValueError(f"--evidence-url: {error}") from None
    try:
        return Submission(name=offer.name, url=offer.url, predictions=_sha256(offer.predictions))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"--{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None


def _sha256(path: Path) -> str:
    """Of a file; of a folder, of the paths and SHA-256 of all files in it, hidden ones left out."""
    from cvbench.data.files import sha256

    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        raise ValueError(f"{path}: no such file or folder of predictions; correct the path")
    names = {file.relative_to(path).as_posix(): file for file in path.rglob("[!.]*") if file.is_file()}
    listed = json.dumps([[name, sha256(file)] for name, file in sorted(names.items())])
    return hashlib.sha256(listed.encode()).hexdigest()


def _kept(working: Path, evidence: Arrays, truth: Arrays, url: str | None) -> EvidenceFile:
    """Evidence and truth, written into the working folder."""
    from cvbench.arrays import digest, save_arrays
    from cvbench.data.files import sha256

    file = working / EVIDENCE
    save_arrays(file, evidence)
    save_arrays(working / "truth.npz", truth)
    return EvidenceFile(sha256=sha256(file), size_bytes=file.stat().st_size, truth=digest(truth), url=url)


def _record(
    spec: RunSpec, submission: Submission, offer: Offer, data: Dataset, found: Scored, evidence: EvidenceFile
) -> Record:
    from cvbench.scored import on_test

    return Record(
        run_id=spec.run_id,
        group_id=spec.group_id,
        spec=spec,
        dataset=DatasetFacts.of(data.info),
        metrics=on_test(found.metrics),
        directions=on_test(found.directions),
        absent_metrics=found.absent_metrics,
        per_class=found.per_class,
        absent_classes=found.absent_classes,
        costs=Costs(parameters=offer.parameters, macs=offer.macs),
        samples={"test": len(data.splits["test"])},
        evidence=evidence,
        selection=Selection(rule="made elsewhere: what its author selected"),
        execution=None,
        environment=environment(),
        evaluator_version=EVALUATOR_VERSION,
        started_at=datetime.now(UTC),
        submission=submission,
    )

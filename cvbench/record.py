"""`Record`: the frozen, typed result of one run, one JSON file, and the only source of every table."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from cvbench.public_words import checked_name, checked_url
from cvbench.spec import SUBMITTED, RunSpec

SCHEMA_VERSION = 1
# Of one record: three metrics for each of 20,000 classes take some 5 MiB.
MOST_BYTES = 64 << 20


class _Part(BaseModel):
    # Unknown keys are kept out silently: a newer minor version may add some, and old code must still load it.
    # JSON has no NaN: a number that is none stops the run that made it, not everybody who reads its record.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)


class Costs(_Part):
    """What the run took; None where that is not known.

    macs: multiply-accumulates of one forward pass of one image at the input size.
    train_seconds: all that training took without validating, finalise_seconds included; those are of what a model fits
    once after gradient descent, such as R-CNN's support vector machines. train_energy_joules: what the devices say they
    drew meanwhile (`cvbench.energy`); None where they do not say, or other runs were beside this one.
    """

    parameters: int | None = None
    macs: int | None = None
    train_seconds: float | None = None
    finalise_seconds: float | None = None
    train_images_per_second: float | None = None
    test_seconds: float | None = None
    test_images_per_second: float | None = None
    latency_p50_seconds: float | None = None
    latency_p95_seconds: float | None = None
    peak_memory_bytes: int | None = None
    train_energy_joules: float | None = None


class Selection(_Part):
    """Which checkpoint was tested and why."""

    rule: str
    epoch: int | None = None
    step: int | None = None
    value: float | None = None


class Execution(_Part):
    """How the recipe was carried out on this machine; never part of the hash.

    devices: of each node. batch_per_device: images that a device sees at once; that times devices, nodes and accumulate
    is the recipe's batch size. jobs: how many runs went at once, which costs were measured under; None where the run
    was started alone. strategy: how several processes shared the training (`ddp`, `fsdp`); None for one process.
    accumulate: backward passes whose gradients were added up for one optimiser step. batch_norm_batch: images that
    batch normalisation saw at once, where the model learned with it: less than the recipe's batch size on several
    devices without `sync_batch_norm`, and with accumulation. None: no such layer, or a record from before it was noted.
    resumed: how often the run was killed and went on from a checkpoint; its costs are of all tries' work that counted.
    """

    accelerator: str
    devices: int
    nodes: int = 1
    strategy: str | None = None
    device_name: str
    threads: int
    batch_per_device: int
    accumulate: int = 1
    batch_norm_batch: int | None = None
    jobs: int | None = None
    resumed: int = 0


class DatasetFacts(_Part):
    """The `DatasetInfo` of the run: what the board shows of the data, and what rebuilding the model needs.

    A vocabulary, which may have ten thousand words, is a file of its own beside the record.
    """

    protocol: dict[str, Any]
    revision: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...] | None = None
    split_sizes: dict[str, int]
    licence: str
    redistributable: bool
    ignore_index: int | None = None
    channels: int = 3
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    input_size: tuple[int, int] | None = None

    @classmethod
    def of(cls, info: Any) -> Self:
        """Those of a `DatasetInfo`."""
        return cls.model_validate({name: getattr(info, name) for name in cls.model_fields})


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Url = Annotated[str, AfterValidator(checked_url)]


class EvidenceFile(_Part):
    """What the scores follow from: evidence.npz by its content. truth: `arrays.digest` of what it is scored against.

    url: where others can get the file, of results that were made elsewhere.
    """

    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]
    truth: Sha256
    url: Url | None = None


class Submission(_Part):
    """Where a result comes from that was made elsewhere.

    name: what boards call it. url: of the paper, code or model. predictions: SHA-256 of them as they were given; of a
    folder, of the paths and SHA-256 of its files.
    """

    name: Annotated[str, AfterValidator(checked_name)]
    url: Url
    predictions: Sha256


class Record(_Part):
    """One finished run. Metrics are `split/name` -> fraction in [0, 1] unless the metric says otherwise.

    absent_metrics: those that the task has and this run could not measure -> why.
    per_class: metric -> class -> value; None where the class appears in neither truth nor prediction.
    samples: split -> number of distinct samples that were scored. evidence: None in records from before it was noted.
    submission: of a result that was made elsewhere, whose costs are what its author says, and whose `execution` nobody
    here knows.
    """

    schema_version: int = SCHEMA_VERSION
    run_id: str
    group_id: str
    spec: RunSpec
    dataset: DatasetFacts
    metrics: dict[str, float]
    directions: dict[str, str]
    absent_metrics: dict[str, str] = {}
    per_class: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    absent_classes: tuple[str, ...] = ()
    costs: Costs
    samples: dict[str, int]
    evidence: EvidenceFile | None = None
    selection: Selection
    execution: Execution | None
    environment: dict[str, Any]
    evaluator_version: int
    started_at: datetime
    submission: Submission | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        made_elsewhere = self.spec.mode == SUBMITTED
        if made_elsewhere != (self.submission is not None):
            raise ValueError(f"Expected `submission` exactly where spec.mode is {SUBMITTED}, but got {self.spec.mode}")
        if not made_elsewhere and (self.execution is None or self.costs.parameters is None):
            raise ValueError("Expected `execution` and costs.parameters of a run, but got none")
        if self.submission is not None and self.submission.name != self.spec.model.name:
            raise ValueError(f"Expected submission.name to be spec.model.name, but got {self.submission.name!r}")
        return self


def write_atomically(path: Path, text: str) -> None:
    """Writes `text` so that `path` either has all of it or does not change, also after a power failure."""
    # A name of its own for each writer: threads share the process id, and hosts on one disk may have equal ones.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name, not only the content
    finally:
        os.close(folder)


class NewerSchemaError(ValueError):
    """A record that a newer cvbench wrote."""


def write_record(record: Record, path: Path) -> None:
    """Writes the record last and atomically: its presence means that the run succeeded."""
    write_atomically(path, record.model_dump_json(indent=1) + "\n")


def read_record(path: Path) -> Record:
    """Reads one record. Raises ValueError that names the file when it is cut off, edited into nonsense or too new."""
    with path.open("rb") as file:
        return parse_record(file.read(MOST_BYTES + 1), path)


def parse_record(text: bytes, path: Path) -> Record:
    """The record that a file's text is; `path` is for the message. Raises as `read_record`."""
    if len(text) > MOST_BYTES:
        raise ValueError(
            f"{path}: not a readable record (more than {MOST_BYTES >> 20} MiB); move it away and run again"
        )
    try:
        record = Record.model_validate_json(text)
        version = record.schema_version
    except ValueError as error:
        version = _schema_version(text)
        if version <= SCHEMA_VERSION:
            reason = _reason(error)
            raise ValueError(f"{path}: not a readable record ({reason}); move it away and run again") from error
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"{path}: Expected schema_version <= {SCHEMA_VERSION}, but got {version}; upgrade cvbench"
        )
    return record


def _schema_version(text: bytes) -> int:
    """Of a record that does not load: a newer one need not look like ours."""
    try:
        version = json.loads(text)["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return version if isinstance(version, int) else 0


def load_records(root: Path | str) -> list[Record]:
    """All records below `root`, sorted by path. Raises ValueError that names all that are unreadable, or no folder."""
    if not Path(root).is_dir():
        raise ValueError(f"Expected a folder of runs, but there is no folder {str(root)!r}")
    records, unreadable = [], []
    for path in sorted(Path(root).glob("*/*/*/record.json")):
        try:
            records.append(read_record(path))
        except ValueError as error:
            unreadable.append(str(error))
    if unreadable:
        raise ValueError("\n".join(unreadable))
    return records


def metric(record: Record, name: str, split: str = "test") -> float | None:
    """The value of one metric of one split, or None where the record does not have it."""
    return record.metrics.get(f"{split}/{name}")


def _reason(error: ValueError) -> str:
    """The first thing that is wrong, in one line."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    said = first["msg"].removeprefix("Value error, ")
    return ": ".join(part for part in (".".join(map(str, first["loc"])), said) if part)

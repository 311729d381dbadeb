"""`Store`: the folder of runs, `<store>/<dataset>/<model>/<run_id>/`; one lock a run, the record written last."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from cvbench import catalog
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Record, read_record, write_atomically
from cvbench.spec import DatasetRef, RunSpec

if TYPE_CHECKING:
    from cvbench.data.base import Dataset  # brings numpy, which `cvbench plan` can do without

State = Literal["done", "missing", "failed", "outdated", "stale"]


class Failure(BaseModel):
    """Why a run has no record. kind: the exception's name, or `killed`, `interrupted`."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    run_id: str
    kind: str
    message: str
    traceback: str = ""
    failed_at: datetime


def slug(name: str) -> str:
    """A path part that no file system minds: ASCII letters, digits, `_.-`; never empty, hidden, `.` or `..`.

    >>> slug("torchvision/resnet18"), slug("../../etc"), slug("été")
    ('torchvision-resnet18', 'etc', 't')
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")[:80].rstrip(".-") or "unnamed"


class Store:
    """Where records, evidence and checkpoints of runs lie."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def folder(self, run: RunSpec) -> Path:
        return self.root / slug(run.dataset.name) / slug(run.model.name) / run.run_id

    def record(self, run: RunSpec) -> Record | None:
        """The run's record, or None. Raises ValueError when the file cannot be read, or is another run's."""
        path = self.folder(run) / "record.json"
        if not path.is_file():
            return None
        record = read_record(path)
        if record.run_id != run.run_id:
            rule = f"Expected the record of run {run.run_id}, but got {record.run_id}"
            raise ValueError(f"{path}: {rule}; move it away and run again")
        return record

    def failure(self, run: RunSpec) -> Failure | None:
        """Why the run failed, or None where no failure is noted."""
        path = self.folder(run) / "failure.json"
        try:
            return Failure.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            never = datetime.min.replace(tzinfo=UTC)
            return Failure(run_id=run.run_id, kind="unreadable", message=f"{path} is damaged", failed_at=never)

    def state(self, run: RunSpec, revision: str | None) -> State:
        """Where the run stands. `revision`: of the data as they lie here now; None where they are not here."""
        try:
            record = self.record(run)
        except ValueError:
            return "failed"
        if record is None:
            return "missing" if self.failure(run) is None else "failed"
        if revision is not None and record.dataset.revision != revision:
            return "outdated"
        return "done" if record.evaluator_version == EVALUATOR_VERSION else "stale"

    @contextlib.contextmanager
    def lock(self, run: RunSpec) -> Iterator[Path]:
        """Holds the run's folder against other writers, on this machine or a shared disk with locks; waits for it.

        Raises ValueError where the folder cannot be: a file is in its way, or a link that leads out of the store.
        """
        folder = self.folder(run)
        if folder.is_symlink():
            raise ValueError(
                f"{folder}: Expected a folder, but got a symbolic link; a run's folder is emptied: remove it"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(f"{error.filename}: Expected a folder of the store, but got a file") from error
        with (folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield folder

    def clear(self, run: RunSpec) -> None:
        """Takes away what an earlier try left, the record first, so that no half-old folder ever counts as done.

        Call it under the lock. Links are removed, not followed.
        """
        folder = self.folder(run)
        for name in ("record.json", "failure.json"):
            (folder / name).unlink(missing_ok=True)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)  # a tracker's files, saved predictions
            elif path.name != ".lock":
                path.unlink()

    def write_spec(self, run: RunSpec) -> None:
        """The resolved spec beside the results, for people and for `reproduce`."""
        from ruamel.yaml import YAML

        text = io.StringIO()
        YAML(typ="safe", pure=True).dump(run.model_dump(mode="json"), text)
        write_atomically(self.folder(run) / "spec.yaml", text.getvalue())

    def fail(self, run: RunSpec, failure: Failure) -> None:
        """Notes why the run has no record."""
        folder = self.folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "failure.json", failure.model_dump_json(indent=1) + "\n")


def load_dataset(task: str, ref: DatasetRef, data_root: Path) -> Dataset:
    """Builds a dataset as a run names it; lists files, reads no pixels, needs no torch. Raises DataError."""
    entry = catalog.find("datasets", ref.name, task)
    given = {"task": task} if entry.takes_task else {}
    return entry.build()(data_root, **given, **_as_arguments(ref.options))  # type: ignore[no-any-return]


def _as_arguments(options: dict[str, object]) -> dict[str, object]:
    # JSON knows no tuples; `build` signatures do.
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def revisions(runs: Sequence[RunSpec], data_root: Path, *, plugins: bool = False) -> dict[str, str | None]:
    """run_id -> revision of its data as they lie here now; None where they are not here or not whole.

    plugins: also of somebody's own datasets, which runs their code; without, theirs is None.
    """
    known: dict[str, str | None] = {}
    found: dict[str, str | None] = {}
    for run in runs:
        key = json.dumps([run.task, run.dataset.model_dump(mode="json")], sort_keys=True)
        if key not in known:
            known[key] = _revision(run, data_root) if plugins or ":" not in run.dataset.name else None
        found[run.run_id] = known[key]
    return found


def _revision(run: RunSpec, data_root: Path) -> str | None:
    try:
        return load_dataset(run.task, run.dataset, data_root).info.revision
    except Exception:  # whatever is wrong with the data or a plug-in, the run itself will say; the suite goes on
        return None

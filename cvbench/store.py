"""`Store`: the folder of runs, `<store>/<dataset>/<model>/<run_id>/`; one lock a run, the record written last."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from cvbench.failure import Failure as Failure
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import NewerSchemaError, Record, read_record, write_atomically
from cvbench.spec import RunSpec
from cvbench.working import (
    ARRIVING,
    CHECKPOINT,
    DAMAGED,
    SUBMITTED,
    WORKING,
    clear_checkpoints,
    goes_on,
    move_out,
    remove,
    to_disk,
)

State = Literal["done", "missing", "failed", "outdated", "stale"]


@lru_cache(maxsize=4096)
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
        if self.root.is_file():
            raise ValueError(f"{self.root}: Expected a folder of runs, but got a file; name another with --store")
        self._folders: dict[str, Path] = {}

    def folder(self, run: RunSpec) -> Path:
        known = self._folders.get(run.run_id)
        if known is None:
            known = self.root.joinpath(slug(run.dataset.name), slug(run.model.name), run.run_id)
            self._folders[run.run_id] = known
        return known

    def folder_of(self, record: Record) -> Path:
        """Of a record's run; at once where it is known from the plan, else by the hash of its spec."""
        return self._folders.get(record.run_id) or self.folder(record.spec)

    def record(self, run: RunSpec, read: Callable[[Path], Record] = read_record) -> Record | None:
        """The run's record, or None. Raises ValueError when the file cannot be read, or is another run's."""
        path = self.folder(run) / "record.json"
        try:
            record = read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
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
    def lock(self, run: RunSpec, *, wait: bool = True) -> Iterator[Path]:
        """Holds the run's folder against other writers, on this machine or a shared disk with locks; waits for it.

        Raises ValueError where the folder cannot be: a file is in its way, or a link that leads out of the store; and
        BlockingIOError where another holds it and this one does not `wait`.
        """
        folder = self.made(run)
        with open(folder / ".lock", "a", opener=_not_through_links) as file:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (folder / WORKING).is_symlink():
                (folder / WORKING).unlink()
            yield folder

    def made(self, run: RunSpec) -> Path:
        """The run's folder, made where it is not there. Raises ValueError where it cannot be: see `lock`."""
        folder = self.folder(run)
        self.refuse_links(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(f"{error.filename}: Expected a folder of the store, but got a file") from error
        return folder

    def refuse_links(self, folder: Path) -> None:
        """Raises ValueError where a folder between the store and its run is a link; the store itself may be one."""
        between = [folder, *folder.parents[: len(folder.relative_to(self.root).parts) - 1]]
        for path in between:
            if path.is_symlink():
                rule = "Expected a folder, but got a symbolic link; what is in a run's folder is replaced"
                raise ValueError(f"{path}: {rule}: remove the link, or let the whole store be one")

    def check_writable(self) -> None:
        """Raises ValueError where nothing can be written into the store: to be told before anything is trained."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as file:
                file.write(b"x")
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(
                f"{self.root}: the store cannot be written ({reason}); make room, or name another with --store"
            ) from error

    def reason(self, run: RunSpec) -> str:
        """Why a run counts as failed, in one line: what is wrong with its record, or what it failed of."""
        try:
            self.record(run)
        except ValueError as error:
            return " ".join(str(error).split())
        failure = self.failure(run)
        return "" if failure is None else " ".join(f"{failure.kind}: {failure.message}".split())

    def begin(self, run: RunSpec, *, anew: bool = False) -> Path:
        """A working folder inside the run's; what stands there already is kept until `finish`.

        It is empty but for what a try that was killed has left to go on from: its checkpoint and its log, or a damaged
        checkpoint that was set aside; with `anew` these go, too. Call it under the lock. A damaged record is set aside
        as `record.json.damaged`. Raises ValueError for a record that a newer cvbench wrote: it is not ours to replace.
        """
        folder = self.folder(run)
        remove(folder / ARRIVING)
        path = folder / "record.json"
        try:
            self.record(run)
        except NewerSchemaError:
            raise
        except ValueError:
            path.replace(path.with_name("record.json.damaged"))
        working = folder / WORKING
        resumable = (working / CHECKPOINT).is_file()
        if anew or not working.is_dir():
            remove(working)
        working.mkdir(exist_ok=True)
        for path in working.iterdir():
            if not (goes_on(path) if resumable else path.name == DAMAGED):
                remove(path)
        from ruamel.yaml import YAML

        text = io.StringIO()
        YAML(typ="safe", pure=True).dump(run.model_dump(mode="json"), text)
        write_atomically(working / "spec.yaml", text.getvalue())
        return working

    def finish(self, run: RunSpec) -> None:
        """Puts the finished try in the place of what was there, its record last: that makes the run done.

        Wherever it is killed, `complete` goes on from there. Raises ValueError where the truth differs from that of
        other runs on the same data and protocol.
        """
        working = self.folder(run) / WORKING
        clear_checkpoints(working)
        to_disk(working)
        self._keep_truth(read_record(working / "record.json"), working / "truth.npz")
        self._replace(run, working)

    def complete(self, run: RunSpec) -> bool:
        """Finishes a try that was killed when all its work was done; False where there is none. Under the lock.

        Raises as `finish`.
        """
        folder = self.folder(run)
        if _is_whole(folder / ARRIVING, run):
            move_out(folder / WORKING, folder)
        elif self._has_all(folder / WORKING, run):
            self.finish(run)
        else:
            return False
        return True

    def _has_all(self, working: Path, run: RunSpec) -> bool:
        """Whether a working folder holds a record, and what its scores follow from."""
        path = working / "record.json"
        if not _is_whole(path, run):
            return False
        record = read_record(path)
        if not (working / "truth.npz").is_file() and not self._truth(record).is_file():
            return False
        try:
            with (working / "evidence.npz").open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return False
        return record.evidence is None or found == record.evidence.sha256

    def discard(self, run: RunSpec) -> None:
        """Takes the working folder away, and the run's with it where nothing else was in it."""
        folder = self.folder(run)
        remove(folder / WORKING)
        if {path.name for path in folder.iterdir()} <= {".lock"}:
            remove(folder)
            with contextlib.suppress(OSError):  # not empty: other runs of that model are there
                folder.parent.rmdir()

    def fail(self, run: RunSpec, failure: Failure) -> None:
        """Notes why the run failed, under the lock; a record from before stays, and the try's log is kept beside it.

        A checkpoint stays for the next try, where that could end otherwise (`Failure.leaves_a_checkpoint`). Raises
        ValueError, and touches nothing, where a link leads out of the store.
        """
        folder = self.made(run)
        working = folder / WORKING
        stays = failure.leaves_a_checkpoint and any((working / name).is_file() for name in (CHECKPOINT, DAMAGED))
        if (folder / "record.json").is_file():
            if (working / "log.txt").is_file():
                shutil.copyfile(working / "log.txt", folder / "failure.log")
        elif working.is_dir():
            (working / "record.json").unlink(missing_ok=True)
            self._replace(run, working, stays=stays)
            if stays and (working / "log.txt").is_file():
                shutil.copyfile(working / "log.txt", folder / "log.txt")
        if not stays:
            remove(working)
        write_atomically(folder / "failure.json", failure.model_dump_json(indent=1) + "\n")
        remove(folder / SUBMITTED)

    def _replace(self, run: RunSpec, working: Path, *, stays: bool = False) -> None:
        folder = self.folder(run)
        # The old record goes first and the new one comes last, so that no half-old folder ever counts as done.
        (folder / "record.json").unlink(missing_ok=True)
        for path in folder.iterdir():
            if path.name not in {".lock", WORKING, SUBMITTED, "record.json.damaged"}:
                remove(path)
        if (working / "record.json").is_file():
            (working / "record.json").replace(folder / ARRIVING)
        move_out(working, folder, stays=stays)

    def _keep_truth(self, record: Record, path: Path) -> None:
        """Truth is kept once per data revision and protocol, beside the models: `<store>/<dataset>/truth-….npz`."""
        kept = self._truth(record)
        if not kept.is_file():
            path.replace(kept)
            return
        if not path.is_file():  # a kill came after it was kept
            return
        import numpy as np

        with np.load(path, allow_pickle=False) as new, np.load(kept, allow_pickle=False) as old:
            if sorted(new.files) != sorted(old.files) or not all(
                np.array_equal(new[key], old[key]) for key in new.files
            ):
                rule = "the labels differ from those that other runs on the same data revision were scored with"
                raise ValueError(f"{kept}: {rule}; if the files changed, use a new store, else `cvbench data verify`")
        path.unlink()

    def _truth(self, record: Record) -> Path:
        return self.root / slug(record.spec.dataset.name) / truth_name(record)


def truth_name(record: Record) -> str:
    """The file of a run's truth in `<store>/<dataset>/`: one for each data revision and protocol."""
    facts = json.dumps([record.spec.task, record.dataset.revision, record.dataset.protocol], sort_keys=True)
    return f"truth-{hashlib.sha256(facts.encode()).hexdigest()[:12]}.npz"


def _is_whole(record: Path, run: RunSpec) -> bool:
    """Whether there is a readable record of this run."""
    try:
        return read_record(record).run_id == run.run_id
    except (OSError, ValueError):
        return False


def _not_through_links(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ValueError(f"{path}: Expected a lock, but got a symbolic link; remove it") from error

"""From what a store holds of a suite to its leaderboard: records, failures, evidence; kept in the store's index."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cvbench.board import Leaderboard, frozen, thawed
from cvbench.evidence import RunEvidence
from cvbench.index import Index
from cvbench.leaderboard import rank
from cvbench.record import Record, parse_record
from cvbench.spec import RunSpec, Suite
from cvbench.store import Store, revisions
from cvbench.tuning import tuned_in

# What a run's part of a board follows from; a file that changes, comes or goes makes the board anew.
_READ = ("record.json", "evidence.npz", "failure.json", "curves.csv")


def assemble(
    suite: Suite,
    store: Store,
    data_root: Path,
    overrides: Sequence[str] = (),
    *,
    published: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Leaderboard:
    """The leaderboard of all runs of a suite: of those without a usable record it says why.

    A board that was made before, of the same runs and files by the same code, is taken from the index.
    published: for others' eyes, so without pictures of data that are not ours to show. tell: see `RunEvidence`.
    """
    with Index(store.root) as index:

        def read(path: Path) -> Record:
            return parse_record(index.content(path), path)

        standing = tuned_in(store, suite, lambda runs: revisions(runs, data_root), read=read)
        planned = standing.runs
        here = [run for run in planned if (store.folder(run) / "record.json").is_file()]
        known = revisions(here, data_root)
        place = f"board {suite.name} {published}"
        key = _key(suite, [*planned, *standing.candidates], store, known, overrides, published)
        kept = index.computed(place)
        if kept is not None and kept[0] == {"key": key}:
            return thawed(kept[1].decode())
        records, failed = _gathered(planned, store, read)
        evidence = RunEvidence(store, index, tell)
        found = rank(
            suite, planned, records, evidence,
            failed=failed, revisions=known, overrides=overrides, published=published,
            tunings=standing.tunings,
        )  # fmt: skip
        index.keep(place, {"key": key}, frozen(found).encode())
        return found


def _gathered(
    planned: Sequence[RunSpec], store: Store, read: Callable[[Path], Record]
) -> tuple[list[Record], dict[str, str]]:
    """The records, and run_id -> why there is none that can be read."""
    records: list[Record] = []
    failed: dict[str, str] = {}
    for run in planned:
        try:
            record = store.record(run, read)
        except ValueError as error:
            failed[run.run_id] = str(error)
            continue
        if record is not None:
            records.append(record)
        elif failure := store.failure(run):
            failed[run.run_id] = f"{failure.kind}: {failure.message}"
    return records, failed


def _key(
    suite: Suite,
    planned: Sequence[RunSpec],
    store: Store,
    known: dict[str, str | None],
    overrides: Sequence[str],
    published: bool,
) -> str:
    """Changes with everything that the board follows from."""
    whole = hashlib.sha256(json.dumps([_code(), list(overrides), published]).encode())
    whole.update(suite.model_dump_json().encode())
    for run in planned:
        names = [
            run.run_id,
            run.benchmark,
            run.label,
            run.backbone,
            run.overrides,
            run.candidate,
            known.get(run.run_id),
        ]
        whole.update(json.dumps([*names, *_stamps(store.folder(run), _READ)]).encode())
    for path in sorted(store.root.glob("*/truth-*.npz")):
        whole.update(json.dumps([path.name, *_stamps(path.parent, (path.name,))]).encode())
    return whole.hexdigest()


def _stamps(folder: Path, names: Sequence[str]) -> Iterator[tuple[int, int] | None]:
    """(time of change in ns, size) of each file; None where there is none."""
    for name in names:
        try:
            about = os.stat(f"{folder}/{name}")
            yield about.st_mtime_ns, about.st_size
        except OSError:
            yield None


def _code() -> list[tuple[str, int, int]]:
    """The files of this package: a changed line may change a board."""
    package = Path(__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".j2", ".yaml"))
    return [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files]

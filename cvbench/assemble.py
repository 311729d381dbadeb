"""From what a store holds of a suite to its leaderboard: records, failures, evidence; kept in the store's index."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from cvbench.board import Leaderboard, frozen, thawed
from cvbench.data_here import revisions
from cvbench.evidence import RunEvidence
from cvbench.gallery import GALLERY, LIST
from cvbench.index import Index, Stamp
from cvbench.leaderboard import Submitted, rank
from cvbench.record import DatasetFacts, Record, parse_record
from cvbench.spec import RunSpec, Suite
from cvbench.store import Store, slug
from cvbench.submissions import folders_beside, submitted
from cvbench.tuning import tuned_in

# A data set's folder -> those of its runs and submissions that are not in the plan.
Beside = Callable[[Path], Sequence[Path]]
# What a run's part of a board follows from; a file that changes, comes or goes makes the board anew.
_READ = ("record.json", "evidence.npz", "failure.json", "curves.csv", f"{GALLERY}/{LIST}")


@contextmanager
def _no_look_for_garbage() -> Iterator[None]:
    """All that is read lives until the board is made; to look through it again and again took a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@_no_look_for_garbage()  # until what was read is let go, too
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
    with Index(store.root, still=True) as index:

        def read(path: Path) -> Record:
            return parse_record(index.content(path), path)

        standing = tuned_in(store, suite, lambda runs: revisions(runs, data_root), read=read)
        planned, every = standing.runs, [*standing.runs, *standing.candidates]
        here = [run for run in planned if (store.folder(run) / "record.json").is_file()]
        known = revisions(here, data_root)
        beside = cache(partial(folders_beside, runs={run.run_id for run in every}))
        place = f"board {suite.name} {published}"
        facts = _Facts(index, suite, every, store, beside, known, overrides, published)
        kept = _kept(index, place, facts.key)
        if kept is not None:
            return kept
        records, failed = _gathered(planned, store, read)
        found = rank(
            suite,
            planned,
            records,
            RunEvidence(store, index, tell),
            failed=failed,
            revisions=known,
            overrides=overrides,
            submitted=_submitted(store, read, beside),
            published=published,
            tunings=standing.tunings,
        )
        if facts.settled:
            index.keep(place, {"key": facts.key}, frozen(found).encode())
        return found


def _submitted(store: Store, read: Callable[[Path], Record], beside: Beside) -> Submitted:
    """What others have handed in, as the store has it."""

    def of(spec: RunSpec, facts: DatasetFacts) -> list[Record]:
        board = (spec.task, spec.dataset, facts.protocol, facts.revision)
        return submitted(store.root, *board, beside=beside, read=read)

    return of


def _kept(index: Index, place: str, key: str) -> Leaderboard | None:
    kept = index.computed(place)
    if kept is None or kept[0] != {"key": key}:
        return None
    try:
        return thawed(kept[1].decode())
    except ValueError:  # nobody's board but a damaged index
        return None


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


class _Facts:
    """All that a board follows from. key: another one when any of it changes. settled: see `Stamp`, of all files."""

    def __init__(
        self,
        index: Index,
        suite: Suite,
        planned: Sequence[RunSpec],
        store: Store,
        beside: Beside,
        known: dict[str, str | None],
        overrides: Sequence[str],
        published: bool,
    ) -> None:
        self.settled, self._index = True, index
        whole = hashlib.sha256(json.dumps([_code(), list(overrides), published]).encode())
        whole.update(suite.model_dump_json().encode())
        for run in planned:
            named = [run.run_id, run.benchmark, run.label, run.backbone, run.overrides, run.candidate]
            names = [*named, known.get(run.run_id)]
            folder = store.folder(run)
            whole.update(json.dumps([*names, *(self._stamp(f"{folder}/{name}") for name in _READ)]).encode())
        for dataset in sorted({slug(run.dataset.name) for run in planned}):
            for folder in beside(store.root / dataset):  # submissions may be among them
                whole.update(json.dumps([str(folder), *(self._stamp(folder / name) for name in _READ)]).encode())
        for path in sorted(store.root.glob("*/truth-*.npz")):
            whole.update(json.dumps([path.name, self._stamp(path)]).encode())
        self.key = whole.hexdigest()

    def _stamp(self, path: Path | str) -> Stamp | None:
        """None where there is no file."""
        try:
            stamp = self._index.stamp(path)
        except OSError:
            return None
        self.settled = self.settled and stamp.settled
        return stamp


def _code() -> list[tuple[str, int, int]]:
    """The files of this package: a changed line may change a board."""
    package = Path(__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".yaml"))
    return [(str(path.relative_to(package)), path.stat().st_mtime_ns, path.stat().st_size) for path in files]

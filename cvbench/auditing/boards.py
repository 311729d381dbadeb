"""Records held against the published boards that they want to stand on, and against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cvbench.auditing.files import RECORD, read_checked
from cvbench.auditing.report import Problem
from cvbench.board import Board, read_board
from cvbench.record import Record
from cvbench.table import canonical, protocol_hash


class Published(NamedTuple):
    """A board, and how errors call it."""

    name: str
    board: Board


def published(root: Path) -> list[Published]:
    """All boards below a folder. Raises ValueError where there is none, or for one that is damaged."""
    found = []
    for path in sorted(root.rglob("board.json")):
        leaderboard = read_board(path)
        found += [Published(f"{leaderboard.suite}/{board.benchmark}", board) for board in leaderboard.boards]
    if not found:
        raise ValueError(f"--boards {root}: Expected a folder with a board.json below it, but there is none")
    return found


def problems_on_boards(record: Record, boards: Sequence[Published], *, update: bool) -> tuple[str, list[Problem]]:
    """(what it fits, what keeps it from standing there). update: the record takes the place of one that is known."""
    spec = record.spec
    same = [one for one in boards if (one.board.task, one.board.dataset) == (spec.task, spec.dataset.name)]
    if not same:
        known = sorted({f"{one.board.dataset} ({one.board.task})" for one in boards})
        rule = f"Expected a data set of the boards, {', '.join(known)}, but got {spec.dataset.name} ({spec.task})"
        return "", [Problem("spec.dataset.name", rule)]
    fitting = [one for one in same if canonical(one.board.options) == canonical(spec.dataset.options)]
    if not fitting:
        options = " or ".join(dict.fromkeys(canonical(one.board.options) for one in same))
        rule = f"Expected {options} as on {same[0].name}, but got {canonical(spec.dataset.options)}"
        return "", [Problem("spec.dataset.options", rule)]
    unlike = [list(_unlike(record, one)) for one in fitting]
    best = min(range(len(fitting)), key=lambda index: len(unlike[index]))
    problems = unlike[best] + ([] if update else list(_already(record, boards)))
    return f"protocol {protocol_hash(record.dataset.protocol)} of {fitting[best].name}", problems


def _unlike(record: Record, on: Published) -> Iterator[Problem]:
    """What makes the record another measurement than the board's rows; nothing is known of a board without a run."""
    facts, board = record.dataset, on.board
    if board.protocol_hash is None:
        return
    ours = protocol_hash(facts.protocol)
    if ours != board.protocol_hash:
        yield Problem("dataset.protocol", f"Expected protocol {board.protocol_hash} of {on.name}, but got {ours}")
    if facts.revision != board.revision:
        rule = f"Expected {board.revision} of {on.name}, but got {facts.revision}"
        yield Problem("dataset.revision", f"{rule}: other data, or other files")
    if facts.classes != board.classes:
        yield Problem("dataset.classes", f"Expected the {len(board.classes)} classes of {on.name}, but got others")
    size = board.split_sizes.get("test")
    if facts.split_sizes.get("test") != size:
        rule = f"Expected {size} images of {on.name}, but got {facts.split_sizes.get('test')}"
        yield Problem("dataset.split_sizes.test", rule)


def _already(record: Record, boards: Sequence[Published]) -> Iterator[Problem]:
    for one in boards:
        for row in one.board.rows:
            if any(run.run_id == record.run_id and run.state == "done" for run in row.runs):
                yield Problem("run_id", f"Expected a new result, but {record.run_id} is on {one.name}: {row.label!r}")


class Neighbour(NamedTuple):
    """Another record, and where it is."""

    path: Path
    record: Record


def neighbours(folder: Path) -> list[Neighbour]:
    """The records that were accepted before. Raises ValueError where there is no such folder, or one is damaged."""
    if not folder.is_dir():
        raise ValueError(f"--known {folder}: Expected a folder of accepted records, but there is none")
    found = []
    for path in sorted(folder.rglob(RECORD)):
        try:
            found.append(Neighbour(path, read_checked(path)))
        except ValueError as error:
            raise ValueError(f"--known {path}: {error}") from None
    return found


def replaced(path: Path, known: Sequence[Neighbour]) -> list[Neighbour]:
    """Those of the accepted records that lie where this one lies, `<dataset>/<name>/record.json`: its older version."""
    return [one for one in known if one.path.parts[-3:] == path.absolute().parts[-3:]]


def problems_beside(one: Neighbour, others: Sequence[Neighbour]) -> Iterator[Problem]:
    """The same run or the same evidence once more."""
    for other in others:
        if other.record.run_id == one.record.run_id:
            yield Problem("run_id", f"Expected a result of its own, but {other.path} has {one.record.run_id} too")
        elif _same_evidence(one.record, other.record):
            rule = f"is that of {other.record.spec.model.name!r} in {other.path} too"
            yield Problem("evidence.sha256", f"Expected evidence of its own, but it {rule}")


def _same_evidence(one: Record, other: Record) -> bool:
    """By the file, or of submissions by what is in it."""
    if one.evidence is not None and other.evidence is not None and one.evidence.sha256 == other.evidence.sha256:
        return True
    ours, theirs = (record.spec.model.options.get("evidence") for record in (one, other))
    return one.submission is not None and other.submission is not None and ours == theirs

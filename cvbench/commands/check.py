"""`cvbench check`: are these records what they say? For a repository's tests of new rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import DataRoot, Json

if TYPE_CHECKING:
    from cvbench.auditing.report import Report


def check(
    *records: Annotated[str, Parameter(name="RECORDS", help="record.json files, folders of them, or globs.")],
    boards: Annotated[Path | None, Parameter(help="Published boards that the records must fit: leaderboards.")] = None,
    known: Annotated[Path | None, Parameter(help="Records accepted before, to find duplicates of.")] = None,
    truth: Annotated[Path | None, Parameter(help="Folder with a store's truth-….npz, to score evidence again.")] = None,
    data_root: DataRoot = None,
    limit: Annotated[str, Parameter(help="Largest evidence.npz that is read.")] = "50MB",
    json: Json = False,
) -> int:
    """Check records of results that somebody else made.

    A record's evidence is read from its evidence.url (https), else from evidence.npz beside it, and scored again where
    --truth or --data-root has the truth; without, the record is self-reported. Nothing that a record names is run.
    Exit code 1 where anything is wrong.
    """
    from cvbench.auditing.audit import Against, audit
    from cvbench.auditing.boards import neighbours, published
    from cvbench.auditing.fetching import Fetch
    from cvbench.auditing.files import record_files
    from cvbench.auditing.rescoring import Truths
    from cvbench.units import parse_bytes

    if not records:
        raise ValueError("name at least one record.json, or a folder of them")
    if truth is not None and not truth.is_dir():
        raise ValueError(f"--truth {truth}: Expected a folder of truth-….npz, but there is none")
    against = Against(
        boards=published(boards) if boards is not None else (),
        known=neighbours(known) if known is not None else (),
        truths=Truths(truth, data_root),
        fetch=Fetch(most_bytes=parse_bytes(limit)),
    )
    files = record_files(records)
    with _modules_of_here_hidden():
        reports = audit(files, against)
    if json:
        options.print_json([_plain(report) for report in reports])
    else:
        for report in reports:
            _show(report)
    return 1 if any(report.problems for report in reports) else 0


@contextmanager
def _modules_of_here_hidden() -> Iterator[None]:
    """The current folder may be a stranger's checkout: no optional package is looked for in it."""
    before = sys.path.copy()
    sys.path[:] = [folder for folder in before if folder and Path(folder) != Path.cwd()]
    try:
        yield
    finally:
        sys.path[:] = before


def _plain(report: Report) -> dict[str, Any]:
    problems = [problem._asdict() for problem in report.problems]
    told = {"record": report.path, "name": report.name, "status": report.status}
    return told | {"passed": report.passed, "problems": problems}


def _show(report: Report) -> None:
    print(_visible(f"{report.path}: {report.status}: {', '.join(report.passed) or 'nothing could be read'}"))
    for problem in report.problems:
        print(_visible(f"{report.path}: {problem.key or 'the file'}: {problem.text}"))


def _visible(line: str) -> str:
    """One line: in a log, a stranger's words could else begin a new one, which some readers take for commands."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)

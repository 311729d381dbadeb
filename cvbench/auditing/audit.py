"""Every check of every record, in order; what a later one needs, an earlier one has made sure of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cvbench.auditing.alone import problems_alone
from cvbench.auditing.boards import (
    Neighbour,
    Published,
    problems_beside,
    problems_on_boards,
    replaced,
)
from cvbench.auditing.evidence import evidence_of
from cvbench.auditing.fetching import EvidenceError, Fetch
from cvbench.auditing.files import read_checked
from cvbench.auditing.report import Problem, Report
from cvbench.auditing.rescoring import Truths, problems_of_scores
from cvbench.record import Record


@dataclass(frozen=True)
class Against:
    """What records are held against. known: records that were accepted before."""

    boards: Sequence[Published] = ()
    known: Sequence[Neighbour] = ()
    truths: Truths = field(default_factory=Truths)
    fetch: Fetch = field(default_factory=Fetch)


def audit(paths: Sequence[Path], against: Against) -> list[Report]:
    """A report of each file, in the order given."""
    reports: list[Report] = []
    beside: list[Neighbour] = []
    for path in paths:
        report = Report(path)
        reports.append(report)
        try:
            record = read_checked(path)
        except ValueError as error:
            report.problems.append(Problem("", str(error)))
            continue
        report.name = record.spec.model.name
        _check(report, Neighbour(path, record), beside, against)
        beside.append(Neighbour(path, record))
    return reports


def _check(report: Report, one: Neighbour, beside: Sequence[Neighbour], against: Against) -> None:
    record = one.record
    report.passed.append(f"schema {record.schema_version}")
    _note(report, list(problems_alone(record)), f"ids, data set, {record.samples.get('test')} samples, ranges")
    older = replaced(one.path, against.known)
    others = [*beside, *(known for known in against.known if known not in older)]
    _note(report, list(problems_beside(one, others)), "no duplicate")
    if against.boards:
        update = any(known.record.run_id == record.run_id for known in older)
        fits, problems = problems_on_boards(record, against.boards, update=update)
        _note(report, problems, fits)
    if not report.problems:  # a record that is refused is not worth a download
        _rescore(report, one.path, record, against)


def _note(report: Report, problems: list[Problem], passed: str) -> None:
    if problems:
        report.problems += problems
    else:
        report.passed.append(passed)


def _rescore(report: Report, path: Path, record: Record, against: Against) -> None:
    try:
        evidence = evidence_of(path, record, against.fetch)
    except EvidenceError as error:
        report.problems.append(Problem("evidence", str(error)))
        return
    if evidence is None or record.evidence is None:
        report.passed.append("no evidence")
        return
    report.passed.append(f"evidence of {record.evidence.size_bytes} bytes")
    try:
        truth = against.truths.of(record)
    except (ValueError, OSError) as error:
        report.problems.append(Problem("evidence.truth", f"cannot be held against the truth: {error}"))
        return
    if truth is None:
        report.passed.append("no truth here to score it against")
        return
    _note(report, list(problems_of_scores(record, evidence, truth)), "scores follow from the evidence")
    report.rescored = not report.problems

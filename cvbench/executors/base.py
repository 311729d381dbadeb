"""What all executors share: which runs are to do, what came of them, and how a failure is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Literal

from cvbench.spec import RunSpec
from cvbench.store import Failure, State, Store

Rerun = Literal["missing", "failed", "all"]

# `missing` is whatever has no valid record, failures included: the next `cvbench run` does what is left to do.
_RERUN: dict[str, frozenset[State]] = {
    "missing": frozenset({"missing", "failed", "outdated", "stale"}),
    "failed": frozenset({"failed"}),
    "all": frozenset({"missing", "failed", "outdated", "stale", "done"}),
}


@dataclass
class Outcomes:
    """What came of the runs of a suite. skipped: the store had them, or `rerun` left them out."""

    done: list[RunSpec] = field(default_factory=list)
    skipped: list[RunSpec] = field(default_factory=list)
    failed: list[tuple[RunSpec, Failure]] = field(default_factory=list)

    def add(self, others: Outcomes) -> None:
        """Takes those of runs that followed into account."""
        for name in (one.name for one in fields(self)):
            getattr(self, name).extend(getattr(others, name))


def is_due(run: RunSpec, store: Store, revision: str | None, rerun: Rerun) -> bool:
    """Whether `rerun` asks for this run as it stands in the store."""
    return store.state(run, revision) in _RERUN[rerun]


def unique(runs: Sequence[RunSpec]) -> list[RunSpec]:
    """The runs without repeats: two benchmarks of a suite may ask for the same one."""
    return list({run.run_id: run for run in runs}.values())


def killed(run: RunSpec, code: int | None, tail: str = "") -> Failure:
    """A process that ended without a word: out of memory, a signal, a crash in native code."""
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    hint = "; signal 9 is most often the system's out-of-memory killer" if code == -9 else ""
    message = f"the process of this run ended with {how}{hint}"
    return Failure(run_id=run.run_id, kind="killed", message=message, traceback=tail, failed_at=datetime.now(UTC))

"""Which recipe a tuned model gets: of the candidates that it tried with the first seed, the best on val. Never on test.

Pure but for `tuned_in`, which reads the candidates' records from a store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.plan import Line, lines
from cvbench.record import Record, metric, read_record
from cvbench.spec import RunSpec, Suite
from cvbench.store import Store

Stage = Literal["open", "chosen", "failed"]


class Tried(NamedTuple):
    """A candidate as it stands. failure: why it has no record; with neither it has not been run yet."""

    run: RunSpec
    record: Record | None = None
    failure: str = ""

    @property
    def val(self) -> float | None:
        """The primary metric on val, of the checkpoint that val selected; None where it was not measured."""
        return None if self.record is None else metric(self.record, self.run.primary, "val")


@dataclass(frozen=True)
class Tuning:
    """The candidates of one model on one dataset, and which of them it gets.

    open: some have not been run; failed: none can be chosen. `why` says more of both.
    """

    line: Line
    tried: tuple[Tried, ...]

    @cached_property
    def finished(self) -> list[int]:
        """Places of the candidates that have a record."""
        return [place for place, one in enumerate(self.tried) if one.record is not None]

    @cached_property
    def waiting(self) -> int:
        """How many candidates have neither a record nor a failure."""
        return sum(one.record is None and not one.failure for one in self.tried)

    @cached_property
    def chosen(self) -> int | None:
        """The place of the best on val by the direction of the primary metric, of equals the first; None: see `stage`.

        Where nothing is trained by gradient descent there is nothing to validate: then all are equal.
        """
        if self.waiting or not self.finished:
            return None
        scores = {place: value for place in self.finished if (value := self.tried[place].val) is not None}
        if not scores:
            return None if self._without_val else self.finished[0]
        return min(scores, key=lambda place: (-self._sign * scores[place], place))

    @property
    def stage(self) -> Stage:
        if self.waiting:
            return "open"
        return "failed" if self.chosen is None else "chosen"

    @property
    def why(self) -> str:
        """Why nothing is chosen; empty where something is."""
        if self.stage == "chosen":
            return ""
        if self.waiting:
            return f"not tuned yet: {len(self.tried) - self.waiting} of {len(self.tried)} candidates have been tried"
        if not self.finished:
            first = self.tried[0]
            return f"all {len(self.tried)} candidates failed; {first.run.candidate}: {first.failure}"
        return "no candidate has a score on val to be chosen by: this data set has no val split"

    @property
    def runs(self) -> list[RunSpec]:
        """Of all seeds with the chosen recipe; empty where none is chosen."""
        return [] if self.chosen is None else self.line.final(self.chosen)

    @property
    def _sign(self) -> float:
        key = f"val/{self.line.candidates[0].primary}"
        directions = {one.record.directions.get(key) for one in self.tried if one.record is not None}
        return -1.0 if "min" in directions else 1.0

    @property
    def _without_val(self) -> bool:
        return any(one.record is not None and not one.record.dataset.split_sizes.get("val") for one in self.tried)


@dataclass(frozen=True)
class Tuned:
    """A suite as far as its candidates tell. parts: each line in order, with its tuning where it is tuned."""

    parts: tuple[tuple[Line, Tuning | None], ...]

    @property
    def tunings(self) -> list[Tuning]:
        return [tuning for _, tuning in self.parts if tuning is not None]

    @property
    def candidates(self) -> list[RunSpec]:
        return [run for line, tuning in self.parts if tuning is not None for run in line.candidates]

    @property
    def runs(self) -> list[RunSpec]:
        """The runs of all seeds whose recipe is known, in the order of the files: the rows of the board."""
        return [run for line, tuning in self.parts for run in (tuning.runs if tuning else line.final(0))]

    @property
    def size(self) -> int:
        """How many runs the whole suite has, candidates included, whichever are chosen."""
        parts = self.parts
        once = {run.run_id for line, tuning in parts for run in (line.candidates if tuning else line.final(0))}
        return len(once) + sum(len(tuning.line.seeds) - 1 for tuning in self.tunings)


def tuned(suite: Suite, records: Iterable[Record], failed: Mapping[str, str] | None = None) -> Tuned:
    """What the records of the candidates decide. failed: run_id -> why a candidate has no record."""
    known, failed = {record.run_id: record for record in records}, failed or {}
    return _tuned(lines(suite), lambda run: Tried(run, known.get(run.run_id), failed.get(run.run_id, "")))


def tuned_in(
    store: Store,
    suite: Suite,
    revisions: Callable[[Sequence[RunSpec]], Mapping[str, str | None]],
    *,
    read: Callable[[Path], Record] = read_record,
    any_evaluator: bool = False,
) -> Tuned:
    """The same from what a store holds; a record of other data than are here now, or of an older evaluator, decides
    nothing.

    revisions: asked for those candidates that have a record, see `data_here.revisions`. any_evaluator: take old scores,
    too.
    """
    found = lines(suite)
    tried = [run for line in found if line.tuned for run in line.candidates]
    held = [run for run in tried if (store.folder(run) / "record.json").is_file()]
    known = revisions(held) if held else {}

    def stand(run: RunSpec) -> Tried:
        try:
            record = store.record(run, read)
        except ValueError as error:
            return Tried(run, failure=str(error))
        same_data = record is not None and known.get(run.run_id) in (None, record.dataset.revision)
        if record is not None and same_data and (any_evaluator or record.evaluator_version == EVALUATOR_VERSION):
            return Tried(run, record)
        failure = store.failure(run)
        return Tried(run, failure=f"{failure.kind}: {failure.message}" if failure else "")

    return _tuned(found, stand)


def _tuned(found: Iterable[Line], stand: Callable[[RunSpec], Tried]) -> Tuned:
    return Tuned(
        tuple((line, Tuning(line, tuple(map(stand, line.candidates))) if line.tuned else None) for line in found)
    )

"""Scores computed again from evidence and truth, and held against what the record says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cvbench import catalog
from cvbench.arrays import Arrays, digest, load_arrays
from cvbench.auditing.report import Problem
from cvbench.data.base import DataError
from cvbench.data_here import load_dataset
from cvbench.record import Record
from cvbench.scored import on_test, scored
from cvbench.scoring.by_name import scoring_of
from cvbench.store import truth_name

TOLERANCE = 1e-9


@dataclass
class Truths:
    """Where truth comes from: a folder of the store's truth-….npz, else the data sets below a data root."""

    folder: Path | None = None
    data_root: Path | None = None
    _built: dict[str, Arrays] = field(default_factory=dict)

    def of(self, record: Record) -> Arrays | None:
        """The truth of the record's revision and protocol; None where it is not here.

        Never of somebody's own data set, which would run their code. Without a data root, generated and installed data
        sets are here all the same. Raises ValueError for data that are here, but not as the record says, or a file that
        cannot be read.
        """
        name = truth_name(record)
        if name not in self._built:
            truth = self._from_folder(name)
            truth = self._from_data(record) if truth is None else truth
            if truth is None:
                return None
            self._built[name] = truth
        return self._built[name]

    def _from_folder(self, name: str) -> Arrays | None:
        files = sorted(self.folder.rglob(name)) if self.folder is not None else []
        return load_arrays(files[0]) if files else None

    def _from_data(self, record: Record) -> Arrays | None:
        spec = record.spec
        entry = catalog.find("datasets", spec.dataset.name, spec.task)
        if entry.plugin or (self.data_root is None and not entry.embedded):
            return None
        try:
            data = load_dataset(spec.task, spec.dataset, self.data_root or Path())
        except DataError:
            return None
        if (data.info.revision, dict(data.info.protocol)) != (record.dataset.revision, record.dataset.protocol):
            raise ValueError(f"the data here are revision {data.info.revision}, the record's {record.dataset.revision}")
        truth: Arrays = scoring_of(spec.task).split_truth(data)
        return truth


def problems_of_scores(record: Record, evidence: Arrays, truth: Arrays) -> Iterator[Problem]:
    """What the record says otherwise than its evidence, by more than 1e-9."""
    assert record.evidence is not None
    spec = record.spec
    if record.evidence.truth != digest(truth):
        yield Problem("evidence.truth", f"Expected {digest(truth)}, the truth here, but got {record.evidence.truth}")
        return
    if record.submission is not None and spec.model.options != {"evidence": digest(evidence)}:
        yield Problem("spec.model.options.evidence", f"Expected {digest(evidence)}, the digest of its evidence")
    try:
        found = scored(spec.task, evidence, truth)
    except Exception as error:  # a stranger's arrays may be of any shape and type
        yield Problem("evidence", f"cannot be scored: {type(error).__name__}: {str(error)!a:.300}")
        return
    computed = on_test(found.metrics)
    told = {key: value for key, value in record.metrics.items() if key.startswith("test/")}
    late = {f"test/{name}" for name in catalog.at_test(spec.task)}  # METEOR, where there is no Java
    yield from _unlike("metrics", computed, told, lambda key: key in late)
    for name in sorted(found.per_class.keys() | record.per_class.keys()):
        yield from _unlike(f"per_class.{name}", found.per_class.get(name, {}), record.per_class.get(name, {}))


def _unlike(
    where: str,
    computed: Mapping[str, float | None],
    told: Mapping[str, float | None],
    optional: Callable[[str], bool] = lambda key: False,
) -> Iterator[Problem]:
    for key in [*computed, *(key for key in told if key not in computed)]:
        if optional(key) and not (key in computed and key in told):
            continue
        if key not in computed or key not in told:
            which = "nothing, as the evidence gives none" if key not in computed else f"{computed[key]!r}"
            yield Problem(f"{where}.{key}", f"Expected {which}, but got {told.get(key, 'nothing')!r}")
        elif not _close(computed[key], told[key]):
            yield Problem(f"{where}.{key}", f"Expected {computed[key]!r} from the evidence, but got {told[key]!r}")


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=0.0, abs_tol=TOLERANCE)

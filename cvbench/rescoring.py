"""A record scored again from its evidence, by the evaluator as it is now. Never torch, no model, no training."""

from __future__ import annotations

from cvbench.evidence import RunEvidence
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Record
from cvbench.scored import on_test, scored


def rescored(record: Record, evidence: RunEvidence) -> Record:
    """The record with all that follows from its evidence computed anew; what was measured in training stays.

    The scores on val, and the checkpoint that they selected, are of the evaluator that trained: its curves say so.

    Raises:
        ValueError: the evidence or truth is not here or is not the record's, no longer gives the primary metric, or
            gives a number that is infinite or none.
    """
    found = scored(record.spec.task, *evidence.arrays(record))
    if record.spec.primary not in found.metrics:
        raise ValueError(
            f"record {record.run_id}: its evidence no longer gives {record.spec.primary}, but "
            f"{', '.join(found.metrics)}; run it again"
        )
    kept = {key: value for key, value in record.metrics.items() if not key.startswith("test/")}
    ways = {key: way for key, way in record.directions.items() if not key.startswith("test/")}
    changed = {
        "metrics": on_test(found.metrics) | kept,
        "directions": on_test(found.directions) | ways,
        "per_class": found.per_class,
        "absent_metrics": found.absent_metrics,
        "absent_classes": found.absent_classes,
        "evaluator_version": EVALUATOR_VERSION,
    }
    # not `model_copy`, which checks nothing: JSON has no infinite number, and the record could never be read again
    return Record.model_validate(dict(record) | changed)

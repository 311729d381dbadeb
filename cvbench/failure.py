"""`Failure`: why a run has no record, as the store keeps it; and what of it may be tried again."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from cvbench.redaction import Redacted
from cvbench.spec import RunSpec

# What may be tried again by itself (fields of `cvbench.machine.Retries`).
Retried = Literal["killed", "out_of_memory", "time_limit"]

# What torch says where it has no exception of its own for it: on the CPU, from cuBLAS and cuDNN, on Apple's GPUs.
_NO_MEMORY = (
    "can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED", "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
)  # fmt: skip


class Attempt(BaseModel):
    """One try of a run that failed. accumulate: parts that its batches were taken in."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    kind: str
    message: Redacted
    failed_at: datetime
    accumulate: int = 1


class Failure(BaseModel):
    """Why a run has no record.

    kind: `killed`, `interrupted`, `out_of_memory`, `time_limit`, or the name of the exception that the run raised.
    attempts: every try of the suite that gave up on it, the last one too; empty where it was tried once.
    Secrets of the environment are put out of sight in messages and traceback, which boards and reports repeat.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    run_id: str
    kind: str
    message: Redacted
    traceback: Redacted = ""
    failed_at: datetime
    attempts: tuple[Attempt, ...] = ()

    @classmethod
    def of(cls, run: RunSpec, error: BaseException) -> Failure:
        """An exception as the store keeps it."""
        text = "".join(traceback.format_exception(error))
        kind = "out_of_memory" if is_out_of_memory(error) else type(error).__name__
        return cls(run_id=run.run_id, kind=kind, message=str(error), traceback=text, failed_at=datetime.now(UTC))

    @classmethod
    def late(cls, run: RunSpec, seconds: float, tail: str = "") -> Failure:
        """A run that took longer than `Machine.time_limit`."""
        message = f"took longer than the time limit of {seconds:g} s and was ended; raise time_limit if it is not stuck"
        return cls(run_id=run.run_id, kind="time_limit", message=message, traceback=tail, failed_at=datetime.now(UTC))

    @property
    def leaves_a_checkpoint(self) -> bool:
        """Whether another try may go on from this one's last checkpoint, and end otherwise than this one."""
        return self.kind not in ("LossIsNotFiniteError", "out_of_memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of a GPU or of the machine: `torch.OutOfMemoryError`, MemoryError, and what torch says
    elsewhere; also where another exception was raised while that one was handled.
    """
    for one in _chain(error):
        names = {kind.__name__ for kind in type(one).__mro__}  # by name: this module knows no torch
        if names & {"OutOfMemoryError", "MemoryError"}:
            return True
        if isinstance(one, RuntimeError) and any(words in str(one) for words in _NO_MEMORY):
            return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)

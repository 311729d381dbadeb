"""What a run says while it goes: the executor passes these on to whoever shows progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from cvbench.failure import Failure
from cvbench.spec import RunSpec


class Event(NamedTuple):
    """kind: what happened. epoch counts from 1, of `epochs`; fraction: of the whole run, in [0, 1]."""

    kind: Literal[
        "start", "resume", "retry", "step", "epoch", "finalise", "test", "note",
        "submitted", "done", "failed", "skipped",
    ]  # fmt: skip
    run: RunSpec
    epoch: int | None = None
    epochs: int | None = None
    fraction: float = 0.0
    metrics: Mapping[str, float] = {}
    seconds: float | None = None
    message: str = ""
    failure: Failure | None = None

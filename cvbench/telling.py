"""Events as lines of a process's output: `said` writes one, `heard` reads it among whatever else a run prints."""

from __future__ import annotations

import json

from cvbench.events import Event
from cvbench.spec import RunSpec

# Kinds of events that a run's output may tell of; how it ended is told otherwise.
_ON_THE_WAY = ("start", "resume", "retry", "step", "epoch", "finalise", "test", "note")


def said(event: Event) -> str:
    """An event of a run as a line of a process's output, which `heard` reads."""
    return "@event " + json.dumps(
        event._asdict() | {"run": event.run.run_id, "metrics": dict(event.metrics), "failure": None}
    )


def heard(line: str, run: RunSpec) -> Event | None:
    """The event on a run's way that a line of output tells; None where it is something else, whatever a run prints."""
    mark, _, text = line.partition(" ")
    if mark != "@event":
        return None
    try:
        event = Event(**(json.loads(text) | {"run": run}))
    except (ValueError, TypeError):  # no JSON, no mapping, other fields
        return None
    return event if event.kind in _ON_THE_WAY else None

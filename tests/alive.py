"""Which processes live, and which are whose: read in Linux's /proc."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def workers(main: int) -> list[int]:
    """The process ids of a suite's workers, be they its own or those of a cluster's processes that it has started."""
    return [one for one in descendants(main) if b"spawn_main" in _read(Path(f"/proc/{one}/cmdline"))]


def descendants(process: int) -> list[int]:
    """The process ids of its children, of theirs, and so on."""
    # A child belongs to the thread that started it.
    children = [int(one) for file in Path(f"/proc/{process}/task").glob("*/children") for one in _read(file).split()]
    return [one for child in children for one in (child, *descendants(child))]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # ended just now
        return b""


def gone(process: int) -> bool:
    """Whether it has ended, be it that nobody has asked how."""
    try:
        return ") Z " in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True


def within(seconds: float, condition: Any) -> bool:
    """Whether the condition is met before so many seconds have passed."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(met)

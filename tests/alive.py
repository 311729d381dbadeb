"""Which processes live, and which are whose: read in Linux's /proc."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def workers(main: int) -> list[int]:
    """The process ids of a suite's workers."""
    try:
        # A child belongs to the thread that started it.
        children = [one for file in Path(f"/proc/{main}/task").glob("*/children") for one in file.read_text().split()]
        return [int(one) for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
    except OSError:  # ended just now
        return []


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

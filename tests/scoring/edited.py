"""Entries of JSON files, changed one at a time."""

from __future__ import annotations

import copy
from typing import Any


def changed(content: Any, *where: Any, **changes: Any) -> Any:
    """A copy with keys of the entry at a place changed; a value of None removes the key."""
    content = copy.deepcopy(content)
    entry = content
    for key in where:
        entry = entry[key]
    for key, value in changes.items():
        if value is None:
            del entry[key]
        else:
            entry[key] = value
    return content

"""What pydantic found wrong with a value, in the words of YAML and of our messages: Expected X to be P, but got V."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

_TYPES = {
    "a valid tuple": "a list", "a valid array": "a list", "a valid list": "a list", "an object": "a mapping of keys",
    "a valid dictionary": "a mapping of keys", "a valid string": "text", "a valid integer": "an integer",
    "a valid number": "a number", "a valid boolean": "true or false", "None": "null",
}  # fmt: skip


def rule(error: Mapping[str, Any]) -> str:
    """`Expected an integer` for one of `ValidationError.errors()`."""
    kind, message = str(error["type"]), str(error["msg"]).removeprefix("Value error, ")
    if kind in ("too_short", "string_too_short"):
        return f"Expected at least {error['ctx']['min_length']} of it"
    if kind == "too_long":
        return f"Expected at most {error['ctx']['max_length']} of it"
    for theirs, ours in _TYPES.items():
        message = message.replace(f"Input should be {theirs}", f"Expected {ours}")
    return message.replace("Input should be", "Expected a number" if "_than" in kind else "Expected", 1)


def broken(error: Mapping[str, Any]) -> str:
    """The rule and what was given instead."""
    message = rule(error)
    return message if "but got" in message else f"{message}, but got {reprlib.repr(error['input'])}"

"""Sizes and durations as people write them in machine.yaml and on the command line."""

from __future__ import annotations

import math
import re
from typing import Any

_UNITS = {"": 1, "b": 1} | {
    prefix + unit: base**power
    for power, prefix in enumerate("kmgt", start=1)
    for unit, base in (("b", 1000), ("", 1024), ("ib", 1024))
}
# Days-hours, or [hours:]minutes:seconds, as SLURM's --time takes them; a bare number is minutes.
_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<of_day>\d+)(?::(?P<of_hour>\d+)(?::\d+)?)?|(?:(?P<hours>\d+):)?(?P<minutes>\d+):\d+)"
)
_SECONDS = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86400}


def parse_bytes(text: str | int) -> int:
    """`4GiB`, `500MB`, `512M` (binary) or a plain number of bytes. Raises ValueError for anything else."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"Expected a size such as 4GiB, 500MB or a number of bytes, but got {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def parse_minutes(text: str | int) -> int:
    """`90`, `4:00:00`, `1-12` or `1-12:30` as SLURM's --time reads them, seconds left out, or `4h`. Raises ValueError.

    >>> parse_minutes("4:00:00"), parse_minutes("1-12"), parse_minutes("90:00"), parse_minutes(15), parse_minutes("4h")
    (240, 2160, 90, 15, 240)
    """
    if isinstance(text, int):
        return text
    if text.strip().isdecimal():
        return int(text)
    match = _TIME.fullmatch(text.strip())
    if match is None:
        try:
            return math.ceil(parse_seconds(text) / 60)
        except ValueError:
            raise ValueError(f"Expected minutes, H:MM:SS, D-HH:MM or a duration such as 4h, but got {text!r}") from None
    days, of_day, of_hour, hours, minutes = (int(part or 0) for part in match.groups())
    return (days * 24 + of_day + hours) * 60 + of_hour + minutes


def parse_seconds(text: str | float) -> float:
    """`90`, `90s`, `5min`, `2h` or `1.5 d` in seconds. Raises ValueError for anything else."""
    if not isinstance(text, str):
        return float(text)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _SECONDS:
        raise ValueError(f"Expected a duration such as 90s, 5min, 2h or a number of seconds, but got {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def as_bytes(value: Any) -> Any:
    """For fields that are a number of bytes, given as text with a unit."""
    return parse_bytes(value) if isinstance(value, str) else value


def as_minutes(value: Any) -> Any:
    """For fields that are a number of minutes, given as SLURM writes it."""
    return parse_minutes(value) if isinstance(value, str) else value


def as_seconds(value: Any) -> Any:
    """For fields that are a number of seconds, given as text with a unit."""
    return parse_seconds(value) if isinstance(value, str) else value

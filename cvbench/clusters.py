"""What `machine.yaml` says of clusters: its keys `ray` and `slurm`. Never part of a run's hash."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from cvbench.spec import Frozen

_UNITS = {"": 1, "b": 1} | {
    prefix + unit: base**power
    for power, prefix in enumerate("kmgt", start=1)
    for unit, base in (("b", 1000), ("", 1024), ("ib", 1024))
}
# Days-hours, or [hours:]minutes:seconds, as SLURM's --time takes them; a bare number is minutes.
_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<of_day>\d+)(?::(?P<of_hour>\d+)(?::\d+)?)?|(?:(?P<hours>\d+):)?(?P<minutes>\d+):\d+)"
)


def _word(value: str) -> str:
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError(f"Expected one word of printable ASCII characters, but got {value!r}")
    return value


# What stands in a job script can neither end its line nor begin another.
Word = Annotated[str, AfterValidator(_word)]


def parse_bytes(text: str | int) -> int:
    """`4GiB`, `500MB`, `512M` (binary) or a plain number of bytes. Raises ValueError for anything else."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"Expected a size such as 4GiB, 500MB or a number of bytes, but got {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def parse_minutes(text: str | int) -> int:
    """`90`, `4:00:00`, `1-12` or `1-12:30` as SLURM's --time reads them, seconds left out. Raises ValueError.

    >>> parse_minutes("4:00:00"), parse_minutes("1-12"), parse_minutes("90:00"), parse_minutes(15)
    (240, 2160, 90, 15)
    """
    if isinstance(text, int):
        return text
    if text.strip().isdecimal():
        return int(text)
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"Expected minutes, H:MM:SS or D-HH:MM, but got {text!r}")
    days, of_day, of_hour, hours, minutes = (int(part or 0) for part in match.groups())
    return (days * 24 + of_day + hours) * 60 + of_hour + minutes


def as_bytes(value: Any) -> Any:
    """For fields that are a number of bytes, given as text with a unit."""
    return parse_bytes(value) if isinstance(value, str) else value


def _as_minutes(value: Any) -> Any:
    return parse_minutes(value) if isinstance(value, str) else value


class Ray(Frozen):
    """Key `ray`.

    address: of a running cluster (`auto`: the one that this machine belongs to; HOST:PORT); absent: one is started on
    this machine and ends with the suite. retries: how often a run begins anew whose worker died or whose node was lost.
    """

    address: Word | None = None
    retries: Annotated[int, Field(ge=0)] = 2


class Slurm(Frozen):
    """Key `slurm`: one job a run. What is absent is left to the cluster's defaults.

    partition, account, qos, constraint, gres: as `sbatch` has them; gres absent: `gpu:DEVICES` where the accelerator is
    cuda. time: limit of one run, in minutes or as SLURM writes it. memory: of one run, such as `32GiB`. requeues: how
    often a run that met its time limit goes back into the queue; one that was preempted always does. cluster: `local`
    runs the same jobs as processes of this machine, which tries a machine.yaml without a queue.
    """

    cluster: Literal["slurm", "local"] = "slurm"
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    gres: Word | None = None
    time: Annotated[int, BeforeValidator(_as_minutes), Field(ge=1)] = 60
    memory: Annotated[int, BeforeValidator(as_bytes), Field(ge=1 << 20)] | None = None
    requeues: Annotated[int, Field(ge=0)] = 0

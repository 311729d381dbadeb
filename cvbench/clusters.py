"""What `machine.yaml` says of clusters: its keys `ray` and `slurm`. Never part of a run's hash."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from cvbench.spec import Frozen
from cvbench.units import as_bytes, as_minutes


def _word(value: str) -> str:
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError(f"Expected one word of printable ASCII characters, but got {value!r}")
    return value


# What stands in a job script can neither end its line nor begin another.
Word = Annotated[str, AfterValidator(_word)]


class Ray(Frozen):
    """Key `ray`.

    address: of a running cluster (`auto`: the one that this machine belongs to; HOST:PORT); absent: one is started on
    this machine and ends with the suite. retries: how often Ray sends a run out again whose worker or node was lost; it
    goes on from its last checkpoint, or begins anew with `--rerun all`. What the run's own processes do in a worker
    that lives, `Machine.retries` answers, and never both.
    """

    address: Word | None = None
    retries: Annotated[int, Field(ge=0)] = 2


class Slurm(Frozen):
    """Key `slurm`: one job a run. What is absent is left to the cluster's defaults.

    partition, account, qos, constraint, gres: as `sbatch` has them; gres absent: `gpu:DEVICES` where the accelerator is
    cuda. time: limit of one job, with all tries of its run (`Machine.retries`), in minutes or as SLURM writes it.
    memory: of one run, such as `32GiB`. requeues: how often a job that met this limit goes back into the queue; one
    that was preempted always does; either goes on from the run's last checkpoint. cluster: `local` runs the same jobs
    as processes of this machine, which tries a machine.yaml without a queue.
    """

    cluster: Literal["slurm", "local"] = "slurm"
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    gres: Word | None = None
    time: Annotated[int, BeforeValidator(as_minutes), Field(ge=1)] = 60
    memory: Annotated[int, BeforeValidator(as_bytes), Field(ge=1 << 20)] | None = None
    requeues: Annotated[int, Field(ge=0)] = 0

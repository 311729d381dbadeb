"""Where the runs of a plan go: which slots or queue, how many devices and threads each. Asks no torch, no cluster."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from cvbench.clusters import Slurm
from cvbench.machine import Machine

#: of this system, for tests to replace
DEVICE_FILES = Path("/dev")
AMD_TOPOLOGY = Path("/sys/class/kfd/kfd/topology/nodes")


@dataclass(frozen=True)
class Placement:
    """What the executor of a machine gives each run.

    where: the machine, cluster or queue in words. jobs: runs at once; None: as many as the cluster has room for.
    threads: of each process of a run. cpus, gpus: of a run. slots: of this machine, the GPUs of each slot as
    CUDA_VISIBLE_DEVICES names them; a run goes to the slot that is free first. minutes: a run's time limit; None: none.
    """

    executor: str
    where: str
    jobs: int | None
    threads: int
    cpus: int
    gpus: int
    slots: tuple[tuple[str, ...], ...] = ()
    minutes: int | None = None

    def __str__(self) -> str:
        parts = [f"{_count(self.threads, 'thread')}", *([_count(self.gpus, "GPU")] if self.gpus else [])]
        if self.executor != "local":
            parts.insert(0, _count(self.cpus, "CPU"))
        if self.minutes is not None:
            parts.append(f"at most {self.minutes} minutes")
        at_once = "as many runs at once as there is room for" if self.jobs is None else _count(self.jobs, "run at once")
        text = f"{self.where}: {at_once}, each with {', '.join(parts)}"
        named = [f"slot {place} has GPU {','.join(ids)}" for place, ids in enumerate(self.slots, start=1) if ids]
        return text + (f" ({'; '.join(named)})" if named else "")


def placement(machine: Machine, runs: int, *, together: bool = False) -> Placement:
    """Of a plan of that many runs. together: this process is one of several that carry out each run, as they are on
    several nodes; whoever started them has dealt out the GPUs. Raises ValueError for what cannot be placed.
    """
    together = together or machine.nodes > 1
    if together and machine.executor != "local":
        raise ValueError(
            f"Expected executor local where several nodes or processes carry out a run, but got {machine.executor!r}: "
            "start `cvbench run` on each node, by srun or torchrun"
        )
    queued = machine.queued
    if queued and machine.accelerator not in ("cpu", "cuda"):
        raise ValueError(
            f"Expected accelerator cpu or cuda with executor {machine.executor}, but got {machine.accelerator!r}: what "
            "the cluster's nodes have is not known here; say --accelerator, or accelerator in machine.yaml"
        )
    limit = machine.time_limit or 0.0
    if machine.executor == "slurm" and limit > 60 * machine.slurm.time:
        raise ValueError(
            f"Expected time_limit, of one try of a run, to be at most slurm.time, of its job, but got "
            f"{limit / 60:g} minutes and {machine.slurm.time}: SLURM would end it first; raise slurm.time"
        )
    pool = () if queued or together else gpus_here(machine)
    threads = machine.threads or 1
    jobs = machine.jobs
    if together:  # they meet for one run at a time
        jobs, threads = 1, machine.threads or max(1, _cores() // machine.devices)
    elif not queued:
        jobs, threads = _resources(machine, runs, pool)
    on_gpus = bool(pool) or (queued and machine.accelerator == "cuda") or (together and bool(gpus_here(machine)))
    gpus = machine.devices if on_gpus else 0
    cpus = machine.devices * (threads + machine.workers)
    shared = (jobs, threads, cpus, gpus)
    if machine.executor == "slurm":
        return Placement("slurm", _queue(machine.slurm), *shared, minutes=machine.slurm.time)
    if machine.executor == "ray":
        where = f"the Ray cluster at {machine.ray.address}" if queued else "a Ray cluster on this machine"
        return Placement("ray", where, *shared)
    assert jobs is not None
    slots = tuple(pool[at * gpus : (at + 1) * gpus] for at in range(jobs))
    where = f"{machine.nodes} nodes such as this machine" if machine.nodes > 1 else "this machine"
    return Placement("local", where, *shared, slots=slots)


def resources(machine: Machine, runs: int) -> tuple[int, int]:
    """(jobs, threads) on this machine: runs at once, and threads of each process; equal for equal suite and machine.

    Threads change the last bits of sums, so they follow from the whole plan (`runs`: its size) and not from what is
    left of it or was chosen from it. Raises ValueError where runs would have to share a GPU.
    """
    return _resources(machine, runs, gpus_here(machine))


def _resources(machine: Machine, runs: int, pool: tuple[str, ...]) -> tuple[int, int]:
    cores = _cores()
    if pool:
        room = len(pool) // machine.devices
        jobs = machine.jobs or max(1, min(room, runs))
        if jobs > room:
            rule = (
                f"Expected jobs * devices to be at most {_count(len(pool), 'GPU')}, but got {jobs} * {machine.devices}"
            )
            raise ValueError(f"{rule}: no two runs share a GPU; use fewer --jobs or --devices, or --accelerator cpu")
    elif machine.accelerator in ("cuda", "mps") or (machine.accelerator == "auto" and sys.platform == "darwin"):
        jobs = machine.jobs or 1
    else:
        jobs = machine.jobs or max(1, min(cores // machine.devices, 8, runs))
    return jobs, machine.threads or max(1, cores // (jobs * machine.devices))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus_here(machine: Machine) -> tuple[str, ...]:
    """The GPUs that runs on this machine may use, as CUDA_VISIBLE_DEVICES names them.

    Asked of that variable, else of the driver's device files: asking torch would import it into the process that only
    waits, and hold memory on every GPU.
    """
    if machine.accelerator not in ("auto", "cuda"):
        return ()
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        given = [name.strip() for name in allowed.split(",")]
        # As CUDA reads it: what follows a name that is none is not seen.
        end = next((at for at, name in enumerate(given) if not name or name.startswith("-")), len(given))
        return tuple(given[:end])
    nvidia = [path for path in DEVICE_FILES.glob("nvidia*") if path.name.removeprefix("nvidia").isdecimal()]
    # Processors are nodes of that topology as well; their id is 0.
    amd = [path for path in AMD_TOPOLOGY.glob("*/gpu_id") if path.read_text(encoding="ascii").strip() != "0"]
    # A container may see /dev/nvidia3 alone, which CUDA then calls 0.
    return tuple(map(str, range(len(nvidia or amd))))


def _queue(slurm: Slurm) -> str:
    if slurm.cluster != "slurm":
        return f"SLURM jobs on this machine (cluster: {slurm.cluster})"
    named = {"partition": slurm.partition, "account": slurm.account, "qos": slurm.qos, "gres": slurm.gres}
    told = [f"{key} {value}" for key, value in named.items() if value]
    told += [f"{slurm.memory / 2**30:g} GiB a run"] if slurm.memory else []
    return "SLURM" + (f" ({', '.join(told)})" if told else "")


def _count(number: int, noun: str) -> str:
    words = noun.split(" ", 1)
    return f"{number} {words[0]}{'' if number == 1 else 's'}" + (f" {words[1]}" if words[1:] else "")

"""Where this process stands among those that carry out runs together: under torchrun, under srun, or as it was told.

Every `cvbench run` of a run on several nodes is a post. A post starts the processes of its node, or a single one where
the launcher has started as many posts as there are devices. The first post alone plans, talks and writes the store.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cvbench.machine import Machine


@dataclass(frozen=True)
class Place:
    """One of `posts` posts. host, port: where the first one is reached; hosted: whether the launcher listens there.

    a_node: it starts all processes of its node; else a single one, with this local_rank.
    """

    rank: int
    posts: int
    host: str
    port: int
    a_node: bool
    local_rank: int = 0
    hosted: bool = False

    @property
    def leads(self) -> bool:
        return self.rank == 0


@dataclass(frozen=True)
class _Launched:
    """What a launcher's variables say."""

    launcher: str
    rank: int
    posts: int
    local_rank: int
    host: str
    port: int
    hosted: bool = False


def find_place(machine: Machine, environment: Mapping[str, str] | None = None) -> Place | None:
    """This process's place, or None where it carries out runs alone: then it is the one that starts processes.

    Raises ValueError where the launcher and the machine do not agree, or several nodes were asked for and nothing says
    which of them this is.
    """
    environment = os.environ if environment is None else environment
    given = machine.node_rank is not None or machine.rendezvous is not None
    found = _as_told(machine) if given else _torchrun(environment) or _srun(environment)
    if found is None:
        if machine.nodes == 1:
            return None
        raise ValueError(
            f"Expected to be one of {machine.nodes} nodes, but nothing says which: start `cvbench run` on each: "
            f"by `srun --ntasks-per-node=1`, by torchrun, or by hand with --nodes {machine.nodes} --node-rank K "
            "--rendezvous HOST:PORT (K from 0; HOST:PORT of node 0, a free port that all can reach)"
        )
    return _agreed(found, machine)


def _agreed(found: _Launched, machine: Machine) -> Place | None:
    """The place, where as many were started as there are nodes or devices."""
    a_node = found.posts == machine.nodes and found.local_rank == 0
    if not a_node and (found.posts != machine.world or found.local_rank >= machine.devices):
        raise ValueError(
            f"Expected as many processes as nodes ({machine.nodes}) or devices on all of them ({machine.world}), but "
            f"{found.launcher} started {found.posts}; set --nodes and --devices (of each node) to what it starts, or "
            "start `cvbench run` once"
        )
    if found.posts == 1:
        return None
    if found.rank >= found.posts:
        raise ValueError(f"Expected a node rank from 0 to {found.posts - 1}, but got {found.rank}")
    return Place(found.rank, found.posts, found.host, found.port, a_node, found.local_rank, found.hosted)


def _as_told(machine: Machine) -> _Launched:
    if machine.node_rank is None or machine.rendezvous is None:
        raise ValueError(
            "Expected --node-rank and --rendezvous together: which node this is, and where the first one is"
        )
    host, _, port = machine.rendezvous.rpartition(":")
    return _Launched("--node-rank", machine.node_rank, machine.nodes, 0, host, int(port))


def _torchrun(environment: Mapping[str, str]) -> _Launched | None:
    """Of torchrun, and of what sets its variables, as operators of Kubernetes do."""
    if "WORLD_SIZE" not in environment or "RANK" not in environment:
        return None
    return _Launched(
        launcher="the launcher (WORLD_SIZE)",
        rank=int(environment["RANK"]),
        posts=int(environment["WORLD_SIZE"]),
        local_rank=int(environment.get("LOCAL_RANK", "0")),
        host=environment.get("MASTER_ADDR", "127.0.0.1"),
        port=int(environment.get("MASTER_PORT", "29500")),
        hosted=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _srun(environment: Mapping[str, str]) -> _Launched | None:
    """Of a job step. A batch script that runs once has SLURM_NTASKS as well, but no step."""
    if "SLURM_STEP_ID" not in environment or "SLURM_PROCID" not in environment:
        return None
    tasks = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS") or "1"
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST") or "127.0.0.1"
    # The same on every task, and another one for every step that may run at the same time.
    job, step = int(environment.get("SLURM_JOB_ID", "0")), int(environment["SLURM_STEP_ID"])
    return _Launched(
        launcher="srun (SLURM_NTASKS)",
        rank=int(environment["SLURM_PROCID"]),
        posts=int(tasks),
        local_rank=int(environment.get("SLURM_LOCALID", "0")),
        host=environment.get("MASTER_ADDR") or first_host(nodes),
        port=int(environment.get("MASTER_PORT") or 15000 + (job * 97 + step) % 10000),
    )


def first_host(nodes: str) -> str:
    """The first host of a list as SLURM writes it.

    >>> first_host("gpu[07-09,12]"), first_host("a1,b[2-3]"), first_host("rack1-node[3]-ib,x")
    ('gpu07', 'a1', 'rack1-node3-ib')
    """
    return re.sub(r"\[([^],-]+)[^]]*\]", r"\1", nodes).split(",")[0]

"""Which post a process is, from the variables that torchrun and srun set; no cluster is needed."""

from __future__ import annotations

from typing import Any

import pytest

from cvbench.executors.place import Place, find_place, first_host
from cvbench.machine import Machine

# As torchrun sets them for the second of two processes on the second of two nodes (PyTorch's "Environment variables").
TORCHRUN = {
    "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1",
    "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29400", "TORCHELASTIC_RUN_ID": "x",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}  # fmt: skip
# As srun sets them for the same process (srun's manual, "OUTPUT ENVIRONMENT VARIABLES").
SRUN = {
    "SLURM_JOB_ID": "70012", "SLURM_STEP_ID": "0", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
    "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_NODELIST": "gpu[07-08]",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
}  # fmt: skip
# A batch script that was given four tasks, before any srun.
BATCH = {
    "SLURM_JOB_ID": "70012",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_JOB_NODELIST": "gpu07",
}
BY_HAND: dict[str, Any] = {"nodes": 2, "devices": 4, "node_rank": 1, "rendezvous": "10.0.0.1:29611"}


@pytest.mark.parametrize("environment", [{}, BATCH, TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}])
def test_alone(environment: dict[str, str]) -> None:
    assert find_place(Machine(), environment) is None


@pytest.mark.parametrize("devices", [1, 4])
def test_in_a_batch_script_one_process_starts_all_devices(devices: int) -> None:
    assert find_place(Machine(devices=devices), BATCH) is None


def test_one_of_torchruns_processes() -> None:
    place = find_place(Machine(nodes=2, devices=2), TORCHRUN)
    assert place == Place(3, 4, "10.0.0.1", 29400, a_node=False, local_rank=1, hosted=True)
    assert not place.leads


def test_one_of_sruns_tasks() -> None:
    place = find_place(Machine(nodes=2, devices=2), SRUN)
    assert place is not None
    assert (place.rank, place.posts, place.host, place.local_rank) == (3, 4, "gpu07", 1)
    assert not place.a_node
    assert not place.hosted
    first = find_place(Machine(nodes=2, devices=2), SRUN | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0"})
    assert first is not None
    assert first.leads
    assert first.port == place.port  # all tasks must come to the same one
    other_step = find_place(Machine(nodes=2, devices=2), SRUN | {"SLURM_STEP_ID": "1"})
    assert other_step is not None
    assert 1024 < place.port != other_step.port < 65536


def test_addresses_that_are_given_count_more() -> None:
    place = find_place(Machine(nodes=2, devices=2), SRUN | {"MASTER_ADDR": "ib-gpu07", "MASTER_PORT": "30001"})
    assert place is not None
    assert (place.host, place.port) == ("ib-gpu07", 30001)


@pytest.mark.parametrize(
    "environment",
    [
        SRUN | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"},
        {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "gpu07", "MASTER_PORT": "23456"},  # as Kubernetes' operators do
        {},
    ],
)
def test_one_post_a_node_starts_all_its_devices(environment: dict[str, str]) -> None:
    machine = Machine.model_validate({"nodes": 2, "devices": 4} if environment else BY_HAND)
    place = find_place(machine, environment)
    assert place is not None
    assert (place.rank, place.posts, place.a_node) == (1, 2, True)


def test_what_is_told_counts_more_than_a_launcher() -> None:
    place = find_place(Machine.model_validate(BY_HAND), TORCHRUN)
    assert place is not None
    assert (place.rank, place.posts, place.host, place.port) == (1, 2, "10.0.0.1", 29611)


@pytest.mark.parametrize(
    ("machine", "environment", "told"),
    [
        ({"nodes": 2}, {}, r"nothing says which: .* --nodes 2 --node-rank K --rendezvous HOST:PORT"),
        ({"nodes": 2}, BATCH, "nothing says which"),
        ({}, TORCHRUN, r"nodes \(1\) or devices on all of them \(1\), but the launcher \(WORLD_SIZE\) started 4"),
        ({"nodes": 2, "devices": 4}, SRUN, r"all of them \(8\), but srun \(SLURM_NTASKS\) started 4"),
        # Four processes on each of four machines were meant, and both of this one would take its first device.
        ({"nodes": 4}, TORCHRUN, r"nodes \(4\) or devices on all of them \(4\), but .* started 4"),
        (BY_HAND | {"node_rank": 2}, {}, "Expected a node rank from 0 to 1, but got 2"),
        (BY_HAND | {"rendezvous": None}, {}, "Expected --node-rank and --rendezvous together"),
        (BY_HAND | {"node_rank": None}, {}, "Expected --node-rank and --rendezvous together"),
    ],
)
def test_what_does_not_agree_is_refused(machine: dict[str, Any], environment: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        find_place(Machine.model_validate(machine), environment)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu07", "gpu07"),
        ("gpu[07-09,12]", "gpu07"),
        ("gpu[3]", "gpu3"),
        ("a1,b[2-3]", "a1"),
        ("rack[1-2]-node[05,07-09]-ib", "rack1-node05-ib"),
    ],
)
def test_the_first_host_of_a_list(nodes: str, first: str) -> None:
    # As `scontrol show hostnames` expands them.
    assert first_host(nodes) == first

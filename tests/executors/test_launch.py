"""How a node's processes are started: the arguments and variables that torchrun and PyTorch document."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from cvbench.executors.launch import Processes, command, surroundings
from cvbench.executors.place import Place
from cvbench.machine import Machine
from tests.alive import gone, within

JOB = Path("/runs/job with spaces.json")
OUTER = {
    "PATH": "/bin", "HOME": "/home/me", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
    "GROUP_RANK": "1", "ROLE_RANK": "3", "MASTER_ADDR": "elsewhere", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "x",
    "TORCHELASTIC_USE_AGENT_STORE": "True", "PET_NNODES": "2", "OMP_NUM_THREADS": "64", "CUDA_VISIBLE_DEVICES": "2,3",
}  # fmt: skip
KEPT = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "CUDA_VISIBLE_DEVICES": "2,3",
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "2",
}
THREADS = {"OMP_NUM_THREADS": "2"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
HARNESS = ["-m", "cvbench.harness", str(JOB)]


def test_one_machine_has_a_torchrun_of_its_own() -> None:
    machine = Machine(devices=4)
    assert command(JOB, machine, None, 0) == [*TORCHRUN, "--standalone", "--nproc-per-node=4", *HARNESS]
    assert surroundings(machine, None, 0, THREADS, OUTER) == KEPT


def test_a_node_has_a_torchrun_that_meets_the_others() -> None:
    machine, place = Machine(devices=4, nodes=2), Place(1, 2, "gpu07", 29611, a_node=True)
    there = ["--nnodes=2", "--node-rank=1", "--nproc-per-node=4", "--master-addr=gpu07", "--master-port=40000"]
    assert command(JOB, machine, place, 40000) == [*TORCHRUN, *there, *HARNESS]
    assert surroundings(machine, place, 40000, THREADS, OUTER) == KEPT


def test_a_launchers_process_has_one_of_its_own_with_the_same_place() -> None:
    machine, place = Machine(devices=2, nodes=2), Place(3, 4, "gpu07", 29611, a_node=False, local_rank=1, hosted=True)
    assert command(JOB, machine, place, 40000) == [sys.executable, *HARNESS]
    assert surroundings(machine, place, 40000, THREADS, OUTER) == KEPT | {
        "RANK": "3", "LOCAL_RANK": "1", "GROUP_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "gpu07", "MASTER_PORT": "40000",
    }  # fmt: skip


@pytest.mark.parametrize("code", [0, 3])
def test_lines_errors_and_the_exit_code_come_back(tmp_path: Path, code: int) -> None:
    lines: list[str] = []
    program = f"import sys; print('one'); print('two'); print('oh', file=sys.stderr); sys.exit({code})"

    def understood(line: str) -> bool:
        lines.append(line)
        return True

    found = Processes().run([sys.executable, "-c", program], {}, tmp_path / "log.txt", understood)
    assert found == code
    assert lines == ["one\n", "two\n"]
    assert (tmp_path / "log.txt").read_text() == "oh\n"


def test_a_child_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    processes, grandchild = Processes(), tmp_path / "pid"
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(grandchild)!r}, 'w').write(str(child.pid))\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    code = processes.run(
        [sys.executable, "-c", program], {}, tmp_path / "log.txt", lambda line: processes.stop() is None
    )
    assert code == -15
    processes.stop()  # nothing is left to be ended
    assert within(20, lambda: gone(int(grandchild.read_text())))


def test_what_a_child_leaves_behind_keeps_nobody_waiting(tmp_path: Path) -> None:
    """It has the pipe's other end, too."""
    lines: list[str] = []
    began = time.monotonic()
    with_child = ["sh", "-c", "sleep 30 & echo $!; exit 3"]
    assert Processes().run(with_child, {"PATH": os.environ["PATH"]}, tmp_path / "log.txt", lines.append) == 3
    assert time.monotonic() - began < 20
    (left,) = lines
    assert within(5, lambda: gone(int(left)))


def test_output_that_nobody_understands_is_kept(tmp_path: Path) -> None:
    """Bytes that are no text, and a last line without an end."""
    lines: list[str] = []
    program = ["printf", "@event one\\nnot \\377 text\\nhalf"]

    def understood(line: str) -> bool:
        lines.append(line)
        return line.startswith("@event")

    assert Processes().run(program, {"PATH": os.environ["PATH"]}, tmp_path / "log.txt", understood) == 0
    assert lines == ["@event one\n", "not \N{REPLACEMENT CHARACTER} text\n", "half"]
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == "not \N{REPLACEMENT CHARACTER} text\nhalf"


def test_a_child_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    silent = ["sh", "-c", "exec >&-; sleep 2; exit 3"]
    assert Processes().run(silent, {"PATH": os.environ["PATH"]}, tmp_path / "log.txt", print) == 3


def test_what_is_closed_before_it_begins_does_not_begin(tmp_path: Path) -> None:
    processes = Processes()
    processes.close()
    with pytest.raises(RuntimeError, match="have been stopped"):
        processes.run(["sh", "-c", f"touch {tmp_path}/begun"], dict(os.environ), tmp_path / "log.txt", print)
    assert not (tmp_path / "begun").exists()

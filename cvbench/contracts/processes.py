"""Two training steps on one process and on two: the same losses, the same weights.

Also a program, `python -m cvbench.contracts.processes JOB.json RANK`: one of the processes. Each gets the same scenes,
so that batch norm and dropout, too, must do what one process does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cvbench.contracts.base import BrokenContractError
from cvbench.contracts.subject import Subject
from cvbench.spec import ModelRef

WORLD, STEPS = 2, 2
LONGEST = timedelta(minutes=5)


class _Loss(nn.Module):
    """What is wrapped for distributed training: the loss of a subject's scenes."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject, self.task = subject, subject.build()

    def forward(self, step: int) -> Tensor:
        return self.subject.loss(self.task, step)


def check_two_processes(subject: Subject) -> None:
    """Raises BrokenContractError where two processes fail, or learn something else than one."""
    model = _Loss(subject)
    losses, state = train(model, model)
    with tempfile.TemporaryDirectory(prefix="cvbench-try-") as name:
        folder = Path(name)
        job = {"model": subject.model.model_dump(mode="json"), "task": subject.task, "size": subject.size}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        _run(folder)
        found = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]
    for rank, one in enumerate(found):
        if not torch.allclose(torch.tensor(one["losses"]), torch.tensor(losses), rtol=1e-4, atol=1e-5):
            raise BrokenContractError(
                f"Expected the losses of one process, {_numbers(losses)}, but process {rank} of {WORLD} got "
                f"{_numbers(one['losses'])}"
            )
    for rank, one in enumerate(found):
        for key, tensor in state.items():
            if not torch.allclose(one["state"][key], tensor, rtol=1e-3, atol=1e-4, equal_nan=True):
                far = float((one["state"][key].double() - tensor.double()).abs().max())
                raise BrokenContractError(
                    f"Expected the weights of one process after {STEPS} steps, but {key} of process {rank} differs by "
                    f"up to {far:.2g}"
                )


def train(losses: nn.Module, model: _Loss) -> tuple[list[float], dict[str, Tensor]]:
    """(loss of each step, weights after them). losses: `model`, or what distributes it."""
    optimiser = model.task.configure_optimizers()["optimizer"]
    told = []
    for step in range(STEPS):
        loss = losses(step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        told.append(float(loss.detach()))
    return told, {key: tensor.clone() for key, tensor in model.task.model.state_dict().items()}


def _run(folder: Path) -> None:
    """Starts the processes and waits; when one fails the others are ended."""
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    logs = [folder / f"{rank}.log" for rank in range(WORLD)]
    processes = []
    for rank, log in enumerate(logs):
        command = [sys.executable, "-m", "cvbench.contracts.processes", str(folder / "job.json"), str(rank)]
        with log.open("w", encoding="utf-8") as output:
            processes.append(subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **threads}))
    until = time.monotonic() + LONGEST.total_seconds()
    try:
        while any(process.poll() is None for process in processes):
            for rank, process in enumerate(processes):
                if process.poll():
                    raise BrokenContractError(f"process {rank} of {WORLD} failed: {_last(logs[rank])}")
            if time.monotonic() > until:
                raise BrokenContractError(
                    f"two steps on {WORLD} processes took more than {LONGEST}: they wait for ever"
                )
            time.sleep(0.05)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for rank, process in enumerate(processes):
        if process.returncode:
            raise BrokenContractError(f"process {rank} of {WORLD} failed: {_last(logs[rank])}")


def _last(log: Path) -> str:
    """The error at the end of a traceback, its first line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if line and not line[0].isspace() and "Error" in line.partition(":")[0]]
    return (errors or lines or ["it said nothing"])[-1]


def _numbers(values: list[float]) -> str:
    return " and ".join(f"{value:.6g}" for value in values)


def main(job: Path, rank: int) -> None:
    """One process: joins the other, trains, and leaves what it found beside the job."""
    given: dict[str, Any] = json.loads(job.read_text(encoding="utf-8"))
    torch.use_deterministic_algorithms(True)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{job.parent / 'meeting'}", rank=rank, world_size=WORLD, timeout=LONGEST
    )
    height, width = given["size"]
    model = _Loss(Subject(ModelRef.model_validate_json(json.dumps(given["model"])), given["task"], (height, width)))
    losses, state = train(DistributedDataParallel(model), model)
    torch.save({"losses": losses, "state": state}, job.parent / f"{rank}.pt")
    sys.stdout.flush()
    os._exit(0)  # without taking the process group down: see `harness.main`


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

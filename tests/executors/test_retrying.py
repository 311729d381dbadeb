"""Runs that misbehave on real workers: what is tried again, as what, and what is told of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from cvbench.events import Event
from cvbench.executors.execute import execute
from cvbench.executors.retrying import next_try
from cvbench.failure import Failure, is_out_of_memory
from cvbench.machine import Machine, Retries
from cvbench.spec import RunSpec
from cvbench.store import Store
from tests.executors.suites import machine, suite
from tests.killing import differences

PLUGIN = '''
"""Models that misbehave while they train."""
import os, signal, time
from pathlib import Path
import torch
from torch import nn

class Misbehaving(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.layer, self.act, self.seen = nn.Linear(64, 10), act, 0
    def forward(self, images):
        if self.training:
            self.seen += 1
            self.act(self, images)
        return self.layer(images.flatten(1))

def greedy(info, *, most=32):
    def act(self, images):
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return Misbehaving(act)

def hangs(info):
    return Misbehaving(lambda self, images: time.sleep(600))

def exits(info):
    return Misbehaving(lambda self, images: os._exit(3))

def dies_once(info, *, mark, seen=5):
    def act(self, images):
        if self.seen == seen and not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return Misbehaving(act)

def diverges(info):
    def act(self, images):
        if self.seen == 3:
            with torch.no_grad():
                self.layer.weight.fill_(torch.nan)
    return Misbehaving(act)
'''
SINGLE = {"epochs": 2, "batch_size": 64, "lr": 3e-3}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "moody.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def moody(folder: Path, *names: str, recipe: Any = SINGLE, **options: Any) -> list[RunSpec]:
    models = [{"name": f"moody:{name}", "options": options} for name in names]
    return suite(folder, models=models, recipe=recipe)


def test_each_kind_of_trouble_has_its_own_end_and_the_suite_goes_on(folder: Path) -> None:
    """One after the other: memory, a hang, an exit, a loss that is no number; and a run that is well."""
    runs = moody(folder, "hangs", "exits", "diverges") + moody(folder, "greedy", most=16)
    runs += suite(folder, recipe=SINGLE)
    events: list[Event] = []
    store = Store(folder / "runs")
    late = execute(runs[:1], store, machine(folder, time_limit=10)).failed  # alone: a slow machine is no failure
    outcomes = execute(runs[1:], store, machine(folder), on_event=events.append)
    assert [run.model.name for run in outcomes.done] == ["linear"]
    every = [*late, *outcomes.failed]
    failed = {run.model.name.partition(":")[2]: failure for run, failure in every}
    assert {name: (one.kind, [(a.kind, a.accumulate) for a in one.attempts]) for name, one in failed.items()} == {
        "hangs": ("time_limit", []),
        "exits": ("killed", [("killed", 1), ("killed", 1)]),
        "diverges": ("LossIsNotFiniteError", []),
        "greedy": ("out_of_memory", [("out_of_memory", 1), ("out_of_memory", 2)]),
    }
    assert "time limit of 10 s" in failed["hangs"].message
    assert "exit code 3" in failed["exits"].message
    log = (store.folder(runs[0]) / "log.txt").read_text()
    assert "moody.py" in log  # where it hung
    assert [store.failure(run) for run, _ in every] == [failure for _, failure in every]
    retried = [event.message for event in events if event.kind == "retry"]
    assert len(retried) == 2


def test_memory_that_runs_out_halves_what_is_taken_at_once(folder: Path) -> None:
    (run,) = moody(folder, "greedy", recipe=SINGLE | {"epochs": 1})
    store = Store(folder / "runs")
    events: list[Event] = []
    outcomes = execute([run], store, machine(folder), on_event=events.append)
    assert outcomes.done == [run]
    record = store.record(run)
    assert record is not None
    assert (record.execution.accumulate, record.execution.batch_per_device) == (2, 32)
    (retry,) = [event.message for event in events if event.kind == "retry"]
    assert retry == (
        "out of memory with 64 samples at once; tries again with 32, 2 times a step: the batch stays 64, but batch "
        "norm, where the model has it, sees 32"
    )
    assert "2 parts of 32" in (store.folder(run) / "log.txt").read_text()


def test_a_killed_worker_is_tried_again_from_its_checkpoint(folder: Path) -> None:
    (run,) = moody(folder, "dies_once", mark=str(folder / "died"))
    store = Store(folder / "runs")
    events: list[Event] = []
    outcomes = execute([run], store, machine(folder, checkpoint_every=1e-9), on_event=events.append)
    assert outcomes.done == [run]
    record = store.record(run)
    assert record is not None
    assert record.execution.resumed == 1
    (resumed,) = [event for event in events if event.kind == "resume"]
    assert resumed.message == "goes on from its last checkpoint, step 4 of 36"
    assert [event.kind for event in events if event.kind in ("start", "retry", "resume", "done")] == [
        "start", "retry", "resume", "done",
    ]  # fmt: skip
    assert not list(store.folder(run).glob(".new"))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_of_which_one_is_killed_go_on_to_the_same_bits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    (run,) = moody(folder, "dies_once", mark=str(folder / "died"), seen=15, recipe=SINGLE | {"augment": {"shift": 1}})
    events: list[Event] = []
    store = Store(folder / "killed")
    on = machine(folder, devices=2, checkpoint_every=1e-9, strategy=strategy)
    assert execute([run], store, on, on_event=events.append).failed == []
    assert [event.message for event in events if event.kind == "resume"] == [
        "goes on from its last checkpoint, step 10 of 36"
    ]
    assert execute([run], folder / "whole", on).failed == []  # it does not die again
    assert differences(run, folder / "whole", folder / "killed") == []


@pytest.mark.slow
def test_two_processes_that_hang_or_lack_memory_do_as_one_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    runs = moody(folder, "hangs") + moody(folder, "greedy", most=16)
    store = Store(folder / "runs")
    ((_, failure),) = execute(runs[:1], store, machine(folder, devices=2, time_limit=20)).failed
    assert execute(runs[1:], store, machine(folder, devices=2)).done == runs[1:]
    assert failure.kind == "time_limit"
    record = store.record(runs[1])
    assert record is not None
    assert (record.execution.accumulate, record.execution.batch_per_device) == (2, 16)


def some_run(**recipe: Any) -> RunSpec:
    from tests.records import spec

    run = spec("linear")
    return run.model_copy(update={"recipe": run.recipe.model_copy(update=recipe)})


def test_the_policy_by_kind() -> None:
    run = some_run(batch_size=24)
    patient = Machine(retries=Retries(killed=2, out_of_memory=3, time_limit=1))
    assert next_try(run, patient, ["killed"]) == patient
    assert next_try(run, patient, ["killed", "killed"]) == patient
    assert next_try(run, patient, ["killed", "killed", "killed"]) is None
    assert next_try(run, patient, ["time_limit", "killed"]) == patient
    assert next_try(run, patient, ["ValueError"]) is None
    assert next_try(run, patient, ["LossIsNotFiniteError"]) is None
    accumulate, kinds, at = [], ["out_of_memory"], patient
    while (again := next_try(run, at, kinds)) is not None:
        at, kinds = again, [*kinds, "out_of_memory"]
        accumulate.append(at.accumulate)
    assert accumulate == [2, 4, 8]  # and not 16: three times only
    assert next_try(some_run(batch_size=7), patient, ["out_of_memory"]) is None
    assert next_try(run.model_copy(update={"mode": "evaluate"}), patient, ["out_of_memory"]) is None


def test_what_counts_as_out_of_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB)"))
    assert not is_out_of_memory(RuntimeError("shape '[2, 3]' is invalid for input of size 5"))
    assert not is_out_of_memory(ValueError("this file is out of memory of man"))
    wrapped = RuntimeError("while training")
    wrapped.__cause__ = MemoryError()
    assert is_out_of_memory(wrapped)


def test_the_processors_own_allocator_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**46, dtype=torch.float64)
    assert is_out_of_memory(caught.value)


def test_an_old_failure_still_loads() -> None:
    old = {"run_id": "a" * 12, "kind": "killed", "message": "no", "failed_at": "2025-01-01T00:00:00Z"}
    assert Failure.model_validate_json(json.dumps(old)).attempts == ()

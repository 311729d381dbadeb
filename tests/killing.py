"""Runs that are killed, really: each try is a process of its own that sends itself SIGKILL at a given moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import torch

from cvbench.arrays import load_arrays
from cvbench.machine import Machine
from cvbench.record import Record, read_record
from cvbench.spec import RunSpec
from cvbench.store import Store

# The server imports torch once; each try is forked from it.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["cvbench.harness"])


def attempt(run: RunSpec, machine: Machine, store: Path, kill_at: int | None) -> None:
    """One try; at the moment `kill_at` (from 1: the start of a training or validation step, or of saving) it dies."""
    from cvbench import callbacks, harness

    moments = 0

    def moment() -> None:
        nonlocal moments
        moments += 1
        if moments == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    class Killing(callbacks.StepSeeds):
        def on_train_batch_start(self, *given: Any, **more: Any) -> None:
            moment()
            super().on_train_batch_start(*given, **more)

        def on_validation_batch_start(self, *given: Any, **more: Any) -> None:
            moment()

        def on_save_checkpoint(self, *given: Any, **more: Any) -> None:
            moment()

    harness.StepSeeds = Killing  # type: ignore[misc]
    held = Store(store)
    with held.lock(run):
        folder = held.begin(run)
        harness.run(run, machine, folder)
        held.finish(run)


def tried(run: RunSpec, machine: Machine, store: Path, kill_at: int | None = None) -> bool:
    """Whether the try ended by itself and not by the signal. Raises AssertionError for any other end."""
    process = _CONTEXT.Process(target=attempt, args=(run, machine, store, kill_at))
    process.start()
    process.join(300)
    assert process.exitcode in (0, -signal.SIGKILL), f"exit code {process.exitcode}"
    return process.exitcode == 0


def left_by(run: RunSpec, store: Path) -> tuple[Record, dict[str, Any]]:
    """The record of a finished run, and all that must not depend on kills, to the bit."""
    folder = Store(store).folder(run)
    record = read_record(folder / "record.json")
    found: dict[str, Any] = {f"metric {name}": value for name, value in record.metrics.items()}
    weights = torch.load(folder / "model.pt", weights_only=True)
    found |= {f"weights {name}": tensor.numpy().tobytes() for name, tensor in weights.items()}
    evidence = load_arrays(folder / "evidence.npz")
    found |= {f"evidence {n}": a.tolist() if a.dtype == object else a.tobytes() for n, a in evidence.items()}
    found |= {"curves": (folder / "curves.csv").read_text(), "selection": record.selection}
    found |= {"per class": record.per_class, "samples": record.samples}
    return record, found


def differences(run: RunSpec, one: Path, other: Path) -> list[str]:
    """The names of what two stores hold differently for one run."""
    (_, first), (_, second) = left_by(run, one), left_by(run, other)
    return [name for name in {**first, **second} if first.get(name) != second.get(name)]

"""A run's way from its lock to its record, the same for every executor, with a stand-in for what does the run."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cvbench.arrays import save_arrays
from cvbench.data.files import sha256
from cvbench.data_here import revisions
from cvbench.events import Event
from cvbench.executors import ray, slurm
from cvbench.executors.base import Job, Outcomes, StoppedError, Work, killed
from cvbench.executors.execute import execute
from cvbench.executors.settle import settle
from cvbench.failure import Failure
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.queued import note
from cvbench.record import EvidenceFile, write_record
from cvbench.spec import RunSpec
from cvbench.store import Store
from cvbench.telling import heard, said
from cvbench.working import CHECKPOINT
from tests import records
from tests.executors.suites import machine, suite


def job(folder: Path, **changes: object) -> Job:
    (run,) = suite(folder)
    given = {"run": run, "store": folder / "runs", "machine": machine(folder), "rerun": "missing", "revision": None}
    return Job(**given | changes)  # type: ignore[arg-type]


def ended(one: Job, work: Work) -> tuple[Event, list[str]]:
    told: list[Event] = []
    return settle(one, work, told.append), [event.kind for event in told]


def test_what_a_run_raises_or_returns_is_its_failure(tmp_path: Path) -> None:
    one = job(tmp_path)
    store = Store(one.store)

    def raises(run: object, machine: object, folder: Path, tell: object) -> None:
        raise ArithmeticError("no number")

    event, told = ended(one, raises)
    assert (event.kind, event.message, told) == ("failed", "ArithmeticError: no number", ["start"])
    noted = store.failure(one.run)
    assert noted is not None
    assert (noted.kind, noted.message) == ("ArithmeticError", "no number")
    given = Failure.of(one.run, ArithmeticError("all of it"))
    event, _ = ended(one, lambda run, machine, folder, tell: given)
    assert event.failure == given == store.failure(one.run)


def test_a_run_is_done_under_its_lock_in_an_empty_folder(tmp_path: Path) -> None:
    one = job(tmp_path)
    lock = Store(one.store).folder(one.run) / ".lock"

    def looks(run: object, machine: object, folder: Path, tell: object) -> None:
        assert [path.name for path in folder.iterdir()] == ["spec.yaml"]
        with lock.open("a") as another, pytest.raises(BlockingIOError):
            fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise ZeroDivisionError("seen")

    assert ended(one, looks)[0].message == "ZeroDivisionError: seen"
    with lock.open("a") as another:
        fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_run_that_somebody_ended_has_not_failed(tmp_path: Path) -> None:
    one = job(tmp_path)

    def stops(run: object, machine: object, folder: Path, tell: object) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        settle(one, stops, lambda event: None)
    assert Store(one.store).state(one.run, None) == "missing"


@pytest.mark.parametrize(
    ("rerun", "begun", "found"), [("missing", False, True), ("all", False, False), ("all", True, True)]
)
def test_what_a_try_goes_on_from(tmp_path: Path, rerun: str, begun: bool, found: bool) -> None:
    """A killed try's checkpoint is the next one's, in a suite or after it; `all` alone begins with none."""
    one = job(tmp_path, rerun=rerun, begun=begun)
    store = Store(one.store)
    with store.lock(one.run):
        (store.begin(one.run) / CHECKPOINT).touch()
    seen = []

    def dies(run: RunSpec, machine: object, folder: Path, tell: object) -> Failure:
        seen.append((folder / CHECKPOINT).exists())
        (folder / CHECKPOINT).touch()
        return killed(run, -9)

    event, told = ended(one, dies)
    assert seen == [found, True]
    assert told == ["start", "retry"]
    assert event.failure is not None
    assert [attempt.kind for attempt in event.failure.attempts] == ["killed", "killed"]


def test_what_somebody_else_has_done_meanwhile_is_kept(tmp_path: Path) -> None:
    one = job(tmp_path)
    folder = Store(one.store).folder(one.run)
    folder.mkdir(parents=True)
    write_record(records.record(one.run, 0.9), folder / "record.json")

    def never(run: object, machine: object, folder: Path, tell: object) -> None:
        raise AssertionError

    assert ended(one, never) == (Event("skipped", one.run), [])
    again, _ = ended(job(tmp_path, rerun="all"), never)
    assert again.kind == "failed"


def test_without_its_folder_a_run_fails_alone(tmp_path: Path) -> None:
    one = job(tmp_path)
    folder = Store(one.store).folder(one.run)
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    event, told = ended(one, lambda run, machine, folder, tell: None)
    assert told == []
    assert "Expected a folder of the store, but got a file" in event.message


class KilledError(BaseException):
    """Stands for SIGKILL: nothing handles it."""


def kill_at(step: int, patched: pytest.MonkeyPatch) -> None:
    """Raises KilledError instead of the step-th change of the disk from now on, and at all that follow."""
    steps = itertools.count()

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def changes(*given: Any, **named: Any) -> Any:
            if next(steps) >= step:
                raise KilledError
            return change(*given, **named)

        return changes

    for owner, name in ((Path, "replace"), (Path, "unlink"), (Path, "rmdir"), (shutil, "rmtree"), (os, "fsync")):
        patched.setattr(owner, name, counted(getattr(owner, name)))


@pytest.mark.parametrize("old", [False, True], ids=["first", "again"])
def test_a_run_that_is_trained_outlives_a_kill_at_each_step_of_its_end(
    tmp_path: Path, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next suite completes it and trains nothing: neither an old record nor a half-moved one is in the way."""
    base = job(tmp_path)
    facts = records.facts(revision=revisions([base.run], tmp_path)[base.run.run_id])

    def works(run: RunSpec, folder: Path, version: int) -> None:
        for name in (CHECKPOINT, "evidence.npz", "model.pt", "predictions/1.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"{name} of evaluator {version}")
        save_arrays(folder / "truth.npz", {"ids": np.array(["a"])})
        evidence = EvidenceFile(sha256=sha256(folder / "evidence.npz"), size_bytes=3, truth="0" * 64)
        made = records.record(run, 0.9, dataset=facts, evidence=evidence, evaluator_version=version)
        write_record(made, folder / "record.json")

    def killed_at(step: int, one: Job) -> bool:
        with monkeypatch.context() as patched:

            def last_works(run: RunSpec, machine: object, folder: Path, tell: object) -> None:
                works(run, folder, EVALUATOR_VERSION)
                kill_at(step, patched)

            try:
                return settle(one, last_works, lambda event: None).kind != "done"
            except KilledError:
                return True

    for step in range(100):
        one = replace(base, store=tmp_path / f"runs{step}", revision=facts.revision)
        store = Store(one.store)
        folder = store.folder(one.run)
        if old:
            with store.lock(one.run):
                works(one.run, store.begin(one.run), EVALUATOR_VERSION - 1)
                store.finish(one.run)
            assert store.state(one.run, facts.revision) == "stale"
        note(store, one.run, "slurm", "4711")
        killed = killed_at(step, one)
        assert execute([one.run], store, one.machine).skipped == [one.run], step
        names = {".lock", "spec.yaml", "evidence.npz", "model.pt", "predictions", "record.json"}
        assert {path.name for path in folder.iterdir()} - {".submitted"} == names, step
        for name in ("model.pt", "predictions/1.png"):
            assert (folder / name).read_text() == f"{name} of evaluator {EVALUATOR_VERSION}"
        assert store.state(one.run, facts.revision) == "done"
        assert len(list(folder.parents[1].glob("truth-*.npz"))) == 1
        if not killed:
            assert not (folder / ".submitted").exists()
            break
    assert 10 < step < 99


@pytest.mark.parametrize("level", [0, 1, 2], ids=["run", "model", "dataset"])
@pytest.mark.parametrize("way", ["settle", "execute"])
def test_what_a_link_in_the_store_leads_to_is_not_touched(tmp_path: Path, level: int, way: str) -> None:
    """A refusal is a failure, too, and to note that one would replace what lies there."""
    one = job(tmp_path)
    run, store, outside = one.run, Store(one.store), tmp_path / "precious"
    link = [store.folder(run), *store.folder(run).parents][level]
    there = outside / store.folder(run).relative_to(link)
    for name in ("thesis.tex", ".new/log.txt", ".new/best.ckpt", "wandb/history"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text("years of work")
    before = sorted(outside.rglob("*"))
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)

    def never(run: object, machine: object, folder: Path, tell: object) -> None:
        raise AssertionError

    if way == "settle":
        event, told = ended(one, never)
        assert (event.kind, told) == ("failed", [])
        assert "Expected a folder, but got a symbolic link" in event.message
    else:
        ((_, failure),) = execute([run], store, one.machine).failed
        assert "Expected a folder, but got a symbolic link" in failure.message
    assert sorted(outside.rglob("*")) == before
    assert link.is_symlink()


class LostError(Exception):
    """Stands for what SLURM and Ray raise of a job that is gone."""


def gone(*_: object) -> Event:
    raise LostError("node failure")


def seen_by_slurm(one: Job) -> Event:
    paths = SimpleNamespace(stderr="0_log.err")
    return slurm._Submitted(one, SimpleNamespace(result=gone, state="NODE_FAIL", job_id="1", paths=paths)).ended()


def seen_by_ray(one: Job) -> Event:
    return ray._ended(SimpleNamespace(get=gone, exceptions=SimpleNamespace(RayError=LostError)), None, one)


@pytest.mark.parametrize("seen", [seen_by_slurm, seen_by_ray])
def test_a_lost_job_does_not_touch_the_run_that_another_suite_has_taken(
    tmp_path: Path, seen: Callable[[Job], Event]
) -> None:
    """The lost job's lock is free at once; who submitted it notices the loss later."""
    one = job(tmp_path)
    store = Store(one.store)
    with store.lock(one.run):
        working = store.begin(one.run)
        (working / "best.ckpt").touch()
        before = sorted(store.folder(one.run).rglob("*"))
        event = seen(one)
        assert (event.kind, event.failure and event.failure.kind) == ("failed", "killed")
        assert sorted(store.folder(one.run).rglob("*")) == before
    assert seen(one).kind == "failed"
    assert store.failure(one.run) is not None
    assert not working.exists()


def test_a_job_that_was_lost_when_all_its_work_was_done_is_done(tmp_path: Path) -> None:
    one = job(tmp_path)
    store = Store(one.store)
    with store.lock(one.run):
        working = store.begin(one.run)
        for name in ("truth.npz", "evidence.npz"):
            save_arrays(working / name, {"ids": np.array(["a"])})
        write_record(records.record(one.run, 0.9), working / "record.json")
    assert seen_by_slurm(one).kind == "done"
    assert store.state(one.run, None) == "done"


def test_truth_that_differs_costs_a_completed_run_too(tmp_path: Path) -> None:
    one = job(tmp_path)
    store = Store(one.store)
    for run, label in ((one.run.model_copy(update={"seed": 7}), "a"), (one.run, "b")):
        with store.lock(run):
            working = store.begin(run)
            for name in ("truth.npz", "evidence.npz"):
                save_arrays(working / name, {"labels": np.array([label])})
            write_record(records.record(run, 0.9), working / "record.json")
            if run is not one.run:
                store.finish(run)
    assert seen_by_slurm(one).kind == "failed"
    event, _ = ended(one, lambda run, machine, folder, tell: None)
    assert "the labels differ" in event.message
    assert store.reason(one.run).startswith("ValueError: ")
    assert not store.complete(one.run)


def test_a_lock_that_is_a_link_is_refused_and_nothing_is_noted(tmp_path: Path) -> None:
    one = job(tmp_path)
    folder = Store(one.store).folder(one.run)
    folder.mkdir(parents=True)
    (folder / ".lock").symlink_to(tmp_path / "elsewhere")
    event, _ = ended(one, lambda run, machine, folder, tell: None)
    assert "Expected a lock, but got a symbolic link" in event.message
    assert [path.name for path in folder.iterdir()] == [".lock"]
    assert not (tmp_path / "elsewhere").exists()


def test_outcomes_hold_how_runs_end(tmp_path: Path) -> None:
    (run,) = suite(tmp_path)
    failure = Failure.of(run, ValueError("x"))
    outcomes = Outcomes()
    for kind in ("start", "epoch", "done", "skipped", "submitted"):
        outcomes.note(Event(kind, run))
    outcomes.note(Event("failed", run, failure=failure))
    assert outcomes == Outcomes([run], [run], [(run, failure)], [run])


def test_events_survive_as_lines_of_output(tmp_path: Path) -> None:
    (run,) = suite(tmp_path)
    event = Event("epoch", run, 3, 10, 0.3, {"val/top1": 0.25}, 1.5, "two\nlines")
    assert "\n" not in said(event)
    assert heard(said(event) + "\n", run) == event
    assert heard("@events are something else", run) is None


@pytest.mark.parametrize(
    "line",
    ["@event x", "@event", "@event 3", "@event {}", '@event {"kind": "step", "colour": 1}', '@event {"kind": "party"}',
     '@event {"kind": "failed"}', '@event {"kind": ["step"]}'],
)  # fmt: skip
def test_what_is_no_event_on_the_way_is_not_heard(tmp_path: Path, line: str) -> None:
    """A model may print anything; how a run ended is told otherwise."""
    (run,) = suite(tmp_path)
    assert heard(line, run) is None

"""SLURM's jobs: the script that `sbatch` is given, and real jobs by submitit's local executor."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from cvbench.events import Event
from cvbench.executors import slurm
from cvbench.executors.base import Job, OnEvent
from cvbench.executors.execute import execute
from cvbench.store import Store
from tests.executors import fake_slurm
from tests.executors.suites import PLUGIN, assert_same_bits, machine, suite
from tests.executors.test_retrying import PLUGIN as MOODY

pytest.importorskip("submitit")

# As sbatch answers, and keeps what it was given.
SBATCH = """#!/bin/sh
cp "$1" "$(dirname "$0")/script.sh"
echo "Submitted batch job 4711"
"""


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a `sbatch` that keeps the script and a `srun`, first in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": "#!/bin/sh\nexit 1\n"}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def test_the_job_script_asks_for_what_machine_yaml_says(tmp_path: Path, sbatch: Path) -> None:
    asked_for = {"partition": "gpu", "account": "vision", "qos": "long", "constraint": "a100|h100",
                 "time": "1-06:00:00", "memory": "32GiB", "requeues": 2}  # fmt: skip
    on = machine(
        tmp_path, executor="slurm", accelerator="cuda", devices=2, threads=4, workers=3, jobs=5, slurm=asked_for
    )
    runs = suite(tmp_path, seeds=[0, 1, 2])
    events: list[Event] = []
    outcomes = execute(runs, tmp_path / "runs", on, on_event=events.append, detach=True)
    assert outcomes.submitted == runs
    assert [event.message.partition(",")[0] for event in events] == ["job 4711_0", "job 4711_1", "job 4711_2"]
    lines = (sbatch / "script.sh").read_text().splitlines()
    asked = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH --")}
    assert asked >= {
        "job-name=cvbench", "partition=gpu", "account=vision", "qos=long", "constraint='a100|h100'", "gres=gpu:2",
        "time=1800", "mem=32768M", "nodes=1", "ntasks-per-node=1", "cpus-per-task=14", "array=0-2%3",
        "signal=USR2@60", "open-mode=append",
    }  # fmt: skip
    (command,) = (line for line in lines if line.startswith("srun "))
    assert f"{sys.executable} -u -m submitit.core._submit {tmp_path}/runs/slurm/%j" in command
    folder = tmp_path / "runs" / "slurm"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.rglob("*_submitted.pkl"))) == 3


@pytest.mark.parametrize(("jobs", "waits"), [(1, [None, "afterany:1", "afterany:2"]), (None, [None, None, None])])
def test_the_limit_of_jobs_is_that_of_all_arrays(
    tmp_path: Path, sbatch: Path, monkeypatch: pytest.MonkeyPatch, jobs: int | None, waits: list[str | None]
) -> None:
    """Five runs, where SLURM takes two an array; of the last run alone it makes none."""
    monkeypatch.setattr(slurm, "MOST_IN_ARRAY", 2)
    numbered = 'here=$(dirname "$0")\necho >> $here/asked\nn=$(wc -l < $here/asked)\ncp "$1" $here/script$n.sh\n'
    (sbatch / "sbatch").write_text(f'#!/bin/sh\n{numbered}echo "Submitted batch job $n"\n')
    on = machine(tmp_path, executor="slurm", jobs=jobs)
    runs = suite(tmp_path, seeds=[0, 1, 2, 3, 4])
    assert execute(runs, tmp_path / "runs", on, detach=True).submitted == runs
    scripts = [(sbatch / f"script{number}.sh").read_text() for number in (1, 2, 3)]
    found = [re.search(r"^#SBATCH --dependency=(\S+)", script, re.MULTILINE) for script in scripts]
    assert [one and one[1] for one in found] == waits
    assert [f"--array=0-1%{jobs or 2}\n" in script for script in scripts] == [True, True, False]


def test_sbatch_that_refuses_is_told(tmp_path: Path, sbatch: Path) -> None:
    (sbatch / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpuu' >&2\nexit 1\n")
    on = machine(tmp_path, executor="slurm", slurm={"partition": "gpuu"})
    with pytest.raises(ValueError, match=r"could not be submitted.*invalid partition specified: gpuu"):
        execute(suite(tmp_path), tmp_path / "runs", on)


def test_without_slurm_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"executor slurm: .*cluster: local"):
        execute(suite(tmp_path), tmp_path / "runs", machine(tmp_path, executor="slurm"))


def test_only_a_queue_can_be_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected executor slurm with detach, but got 'local'"):
        execute(suite(tmp_path), tmp_path / "runs", machine(tmp_path), detach=True)


def test_real_jobs_as_processes_of_this_machine(tmp_path: Path) -> None:
    (run,) = suite(tmp_path)
    store, events = Store(tmp_path / "runs"), list[Event]()
    on = machine(tmp_path, executor="slurm", slurm={"cluster": "local"})
    assert execute([run], store, on, on_event=events.append).done == [run]
    assert [event.kind for event in events if event.kind != "step"] == ["start", "epoch", "test", "done"]
    assert_same_bits(run, store, tmp_path)


def test_in_a_job_a_killed_run_is_tried_again_as_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moody_there.py").write_text(MOODY)
    monkeypatch.syspath_prepend(tmp_path)
    model = {"name": "moody_there:dies_once", "options": {"mark": str(tmp_path / "died")}}
    (run,) = suite(tmp_path, models=[model])
    store, events = Store(tmp_path / "runs"), list[Event]()
    on = machine(tmp_path, executor="slurm", slurm={"cluster": "local"}, checkpoint_every=1e-9)
    assert execute([run], store, on, on_event=events.append).done == [run]
    told = [event.kind for event in events if event.kind in ("start", "retry", "resume", "done")]
    assert told == ["start", "retry", "resume", "done"]
    record = store.record(run)
    assert record is not None
    assert record.execution is not None
    assert record.execution.resumed == 1


def test_in_a_job_a_run_that_is_late_is_ended_as_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moody_late.py").write_text(MOODY)
    monkeypatch.syspath_prepend(tmp_path)
    (run,) = suite(tmp_path, models=["moody_late:hangs"])
    on = machine(tmp_path, executor="slurm", slurm={"cluster": "local"}, time_limit=5)
    ((_, failure),) = execute([run], tmp_path / "runs", on).failed
    assert failure.kind == "time_limit"


def test_a_job_whose_log_is_full_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    def one_event(job: Job, path: object, tell: OnEvent) -> Event:
        tell(Event("start", job.run))
        return Event("done", job.run)

    (run,) = suite(tmp_path)
    monkeypatch.setattr(slurm, "perform", one_event)
    monkeypatch.setattr(sys, "stdout", Full())
    job = Job(run, tmp_path, machine(tmp_path), "missing", None)
    assert slurm.Requeued(job, ())() == Event("done", run)


def test_an_array_of_which_one_job_dies_and_one_goes_back_into_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_slurm.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(slurm, "ASK_SECONDS", 1.0)  # what a job that died became of, only sacct knows
    (tmp_path / "queued.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    runs = suite(tmp_path, models=["queued:preempted_once", "queued:loses_its_job"])
    store, events = Store(tmp_path / "runs"), list[Event]()
    outcomes = execute(runs, store, machine(tmp_path, executor="slurm", jobs=2), on_event=events.append)
    assert [run.model.name for run in outcomes.done] == ["queued:preempted_once"]
    assert store.record(runs[0]) is not None
    starts = [event.run.model.name for event in events if event.kind == "start"]
    assert sorted(starts) == ["queued:loses_its_job", "queued:preempted_once", "queued:preempted_once"]
    ((run, failure),) = outcomes.failed
    assert (run.model.name, failure.kind) == ("queued:loses_its_job", "killed")
    assert failure.message.startswith("SLURM's job 4711_1 ended without a word (FAILED)")
    assert store.failure(run) is not None

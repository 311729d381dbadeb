"""SLURM's jobs: the script that `sbatch` is given, and real jobs by submitit's local executor."""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

import pytest

from cvbench.cli import main
from cvbench.events import Event
from cvbench.executors import slurm
from cvbench.executors.base import Job, OnEvent
from cvbench.executors.execute import execute
from cvbench.failure import Failure
from cvbench.queued import queued
from cvbench.store import Store
from tests.executors import fake_slurm
from tests.executors.suites import PLUGIN, assert_same_bits, machine, suite
from tests.executors.test_retrying import PLUGIN as MOODY

pytest.importorskip("submitit")

PRINTS = '''
"""Models that are linear, and tell a secret."""
import os, signal, subprocess, sys
from cvbench.models.classification.linear import build as linear

def tells(info):
    print("here is my", os.environ["HF_TOKEN"], flush=True)
    print("here is my", os.environ["HF_TOKEN"], file=sys.stderr, flush=True)
    subprocess.run("echo here is my $HF_TOKEN", shell=True)
    return linear(info)

def tells_and_dies(info):
    tells(info)
    os.kill(os.getpid(), signal.SIGKILL)
'''
WAITS = """
import time
from pathlib import Path
from cvbench.models.classification.linear import build as linear

def build(info, *, mark):
    while not Path(mark).exists():
        time.sleep(0.1)
    return linear(info)
"""

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


def test_a_run_whose_job_is_in_the_queue_is_not_submitted_again(
    tmp_path: Path, sbatch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on, runs, store = machine(tmp_path, executor="slurm"), suite(tmp_path, seeds=[0, 1, 2]), Store(tmp_path / "runs")

    def detached(*queue: str) -> list[str]:
        answer = "".join(f"{job}\n" for job in queue)
        (sbatch / "squeue").write_text(f"#!/bin/sh\necho \"$@\" >'{sbatch}/asked'\ncat <<END\n{answer}END\nexit 1\n")
        (sbatch / "squeue").chmod(0o755)
        (sbatch / "script.sh").unlink(missing_ok=True)
        events: list[Event] = []
        assert len(execute(runs, store, on, rerun="all", on_event=events.append, detach=True).submitted) == 3
        return [event.message.partition(",")[0] for event in sorted(events, key=lambda event: event.run.seed)]

    assert detached("4711_0") == ["job 4711_0", "job 4711_1", "job 4711_2"]
    all_three = [f"queued already as job 4711_{index}" for index in range(3)]
    assert detached("4711_0", "4711_1", "4711_2") == all_three
    assert not (sbatch / "script.sh").exists()
    assert "--array --format=%i --jobs=4711" in (sbatch / "asked").read_text()
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "small.yaml"]) == 0
    assert "3 of them in the queue already: job 4711_0, job 4711_1, job 4711_2" in capsys.readouterr().out
    store.fail(runs[0], Failure.of(runs[0], ValueError("x")))  # which is the end of its job, too
    assert detached("4711_0", "4711_2") == ["job 4711_0", "job 4711_1", "queued already as job 4711_2"]
    assert "#SBATCH --array=0-1%" in (sbatch / "script.sh").read_text()
    (store.folder(runs[1]) / ".submitted").write_text('{"cluster": "slurm", "job_id": "--me"}')
    assert detached("--me", "4711_2")[1] == "job 4711_1"
    (sbatch / "squeue").unlink()
    assert queued(store, runs) == {}


# submitit lets go of its process, as it should: the job outlives whoever submitted it.
@pytest.mark.filterwarnings("ignore:.*Popen.__del__:pytest.PytestUnraisableExceptionWarning")
def test_a_detached_job_of_this_machine_is_known_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    monkeypatch.syspath_prepend(tmp_path)
    (run,) = suite(tmp_path, models=[{"name": "waits:build", "options": {"mark": str(tmp_path / "go")}}])
    store, events = Store(tmp_path / "runs"), list[Event]()
    on = machine(tmp_path, executor="slurm", slurm={"cluster": "local"})
    for _ in range(2):
        assert execute([run], store, on, on_event=events.append, detach=True).submitted == [run]
    first, second = (event.message.partition(",")[0] for event in events)
    assert second == f"queued already as {first}"
    (tmp_path / "go").touch()
    while queued(store, [run]):
        time.sleep(0.01)
    assert execute([run], store, on, detach=True).skipped == [run]
    assert not (store.folder(run) / ".submitted").exists()


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


def test_no_secret_that_a_run_prints_stays_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past all loggers, by the run's own process and by one that it starts; also where it is killed."""
    (tmp_path / "prints.py").write_text(PRINTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_swordfish")
    runs = suite(tmp_path, models=["prints:tells", "prints:tells_and_dies"])
    on = machine(tmp_path, executor="slurm", slurm={"cluster": "local"}, retries={"killed": 0})
    (tmp_path / "runs" / "slurm").mkdir(parents=True, mode=0o755)
    outcomes = execute(runs, tmp_path / "runs", on)
    assert (outcomes.done, [run for run, _ in outcomes.failed]) == ([runs[0]], [runs[1]])
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert [path for path in files if b"hf_swordfish" in path.read_bytes()] == []
    logs = "".join(path.read_text() for path in (tmp_path / "runs" / "slurm").rglob("*_log.*"))
    assert logs.count("here is my [hidden]") == 6
    assert (tmp_path / "runs" / "slurm").stat().st_mode & 0o777 == 0o700


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

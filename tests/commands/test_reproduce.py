"""`cvbench reproduce` on a real run, once for real and else with the second run made up."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cvbench.cli import main
from cvbench.executors.base import Outcomes
from cvbench.plan import plan
from cvbench.record import Record, read_record, write_record
from cvbench.spec import RunSpec
from cvbench.store import Failure, Store
from cvbench.suite import load_suite
from tests.test_harness import machine

Cvbench = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record.json of a real run in a store."""
    from cvbench.harness import run as run_in_harness

    folder = tmp_path_factory.mktemp("original")
    file = folder / "bench.yaml"
    file.write_text("task: classification\ndatasets: [digits]\nmodels: [linear]\nrecipe: {epochs: 1, lr: 1e-2}\n")
    (run,) = plan(load_suite([file]))
    store = Store(folder / "runs")
    with store.lock(run):
        run_in_harness(run, machine(folder), store.begin(run))
        store.finish(run)
    return store.folder(run) / "record.json"


@pytest.fixture
def cvbench(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cvbench:
    """Runs `cvbench reproduce … --json`: exit code, what it printed, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def call(*arguments: Any) -> tuple[int, Any, str]:
        capfd.readouterr()
        code = main(["reproduce", *map(str, arguments), "--json", "--data-root", str(tmp_path)])
        out, err = capfd.readouterr()
        return code, json.loads(out) if out else None, err

    return call


def copied(original: Path, folder: Path, **changes: Any) -> Path:
    """The record alone, with fields changed, as somebody else would get it."""
    path = folder / "record.json"
    write_record(read_record(original).model_copy(update=changes), path)
    return path


def instead(monkeypatch: pytest.MonkeyPatch, record: Record | None) -> list[RunSpec]:
    """Puts a made-up second run in the place of training; returns the list of what was asked for."""
    asked: list[RunSpec] = []

    def execute(runs: list[RunSpec], store: Store, *_: Any, **__: Any) -> Outcomes:
        asked.extend(runs)
        if record is None:
            return Outcomes(failed=[(runs[0], Failure.of(runs[0], MemoryError("no room")))])
        store.folder(runs[0]).mkdir(parents=True)
        write_record(record, store.folder(runs[0]) / "record.json")
        return Outcomes(done=list(runs))

    monkeypatch.setattr("cvbench.executors.execute.execute", execute)
    return asked


def fingerprint(folder: Path) -> dict[str, tuple[int, str]]:
    """Time and content of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, sha256(path.read_bytes()).hexdigest()) for path in files}


def test_a_run_comes_out_to_the_bit_and_the_original_stays(
    original: Path, cvbench: Cvbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    store = original.parents[3]
    before = fingerprint(store)
    code, told, _ = cvbench(original.parent.name[:6], "--store", store)
    assert (code, told["reproduced"], told["same_machine"], told["tolerance"]) == (0, True, True, 0.0)
    assert {one["verdict"] for one in told["metrics"]} == {"equal"}
    assert {one["metric"] for one in told["metrics"]} == set(read_record(original).metrics)
    assert told["same_predictions"] is True
    assert told["noise"]["inside"] is True
    assert told["changed"] == []
    assert fingerprint(store) == before
    assert not list(temporary.iterdir())


def test_numbers_that_do_not_come_out(
    original: Path, cvbench: Cvbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = read_record(original)
    value = kept.metrics["test/top1"]
    path = copied(original, tmp_path, metrics=kept.metrics | {"test/top1": value + 0.005})
    asked = instead(monkeypatch, kept)
    code, told, _ = cvbench(path)
    assert (code, told["reproduced"]) == (1, False)
    assert {one["metric"]: one["verdict"] for one in told["metrics"] if one["verdict"] != "equal"} == {
        "test/top1": "differs"
    }
    assert told["noise"] is None  # its evidence is not beside this copy
    assert asked == [kept.spec]
    code, told, _ = cvbench(path, "--tolerance", "0.006")
    assert (code, told["reproduced"]) == (0, True)


def test_elsewhere_a_tolerance_holds(
    original: Path, cvbench: Cvbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = read_record(original)
    execution = kept.execution.model_copy(update={"device_name": "another CPU"})
    near = kept.metrics | {"test/top1": kept.metrics["test/top1"] - 0.009}
    instead(monkeypatch, kept)
    code, told, _ = cvbench(copied(original, tmp_path, metrics=near, execution=execution))
    assert (code, told["same_machine"], told["tolerance"]) == (0, False, 0.01)
    assert [one["what"] for one in told["changed"]] == ["device_name"]
    far = kept.metrics | {"test/top1": kept.metrics["test/top1"] - 0.011}
    code, _, _ = cvbench(copied(original, tmp_path, metrics=far, execution=execution))
    assert code == 1


def test_other_data_and_moved_on_code_are_refused_unless_asked_for(
    original: Path, cvbench: Cvbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = read_record(original)
    asked = instead(monkeypatch, kept)
    path = copied(original, tmp_path, dataset=kept.dataset.model_copy(update={"revision": "bbbbbbbbbbbb"}))
    code, told, err = cvbench(path)
    assert (code, told, asked) == (2, None, [])
    assert f"data revision: the record's is bbbbbbbbbbbb, here is {kept.dataset.revision}" in err
    assert "--anyway" in err
    code, told, _ = cvbench(path, "--anyway")
    assert code == 0
    assert any("bbbbbbbbbbbb" in one for one in told["obstacles"])
    assert {one["what"] for one in told["changed"]} == {"data revision"}


def test_a_run_that_fails_is_not_reproduced(original: Path, cvbench: Cvbench, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, None)
    code, told, _ = cvbench(original)
    assert (code, told["reproduced"], told["failure"]) == (1, False, "out_of_memory: no room")


def test_threads_are_the_records_unless_given(
    original: Path, cvbench: Cvbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def execute(runs: list[RunSpec], store: Store, machine: Any, **_: Any) -> Outcomes:
        seen.append(machine)
        return Outcomes(failed=[(runs[0], Failure.of(runs[0], MemoryError()))])

    monkeypatch.setattr("cvbench.executors.execute.execute", execute)
    execution = read_record(original).execution.model_copy(update={"threads": 7, "devices": 2})
    path = copied(original, tmp_path, execution=execution)
    cvbench(path)
    cvbench(path, "--threads", "3")
    assert [(one.accelerator, one.devices, one.threads, one.jobs) for one in seen] == [
        ("cpu", 2, 7, 1),
        ("cpu", 2, 3, 1),
    ]


def test_never_over_a_run_that_is_there(original: Path, cvbench: Cvbench) -> None:
    before = fingerprint(original.parents[3])
    for into in (original.parents[3], original.parents[3] / ".." / "runs"):
        code, _, err = cvbench(original, "--into", into)
        assert code == 2
        assert "has this run already" in err
    assert fingerprint(original.parents[3]) == before


def test_the_new_run_can_be_kept(
    original: Path, cvbench: Cvbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = read_record(original)
    instead(monkeypatch, kept)
    code, told, _ = cvbench(original, "--into", tmp_path / "again")
    assert (code, told["folder"]) == (0, str(tmp_path / "again"))
    assert Store(tmp_path / "again").record(kept.spec) == kept
    assert cvbench(original, "--into", tmp_path / "again")[0] == 2

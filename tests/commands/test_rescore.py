"""`cvbench rescore` as people call it: stale records are mended, and what cannot be is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cvbench.cli import main
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import Record, write_record
from cvbench.store import Store
from tests import records
from tests.stores import keep, share

OLD, NEW = records.spec("old"), records.spec("new")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Of 60 images 45 are right; evaluator 0 said 0.5 of the old run, and the new one says 0.9, by hand."""
    monkeypatch.chdir(tmp_path)
    store = Store("runs")
    for run, value, version in ((OLD, 0.5, 0), (NEW, 0.9, EVALUATOR_VERSION)):
        record = keep(store, run, share(60, 45))
        changed = {"metrics": record.metrics | {"test/top1": value}, "evaluator_version": version}
        write_record(record.model_copy(update=changed), store.folder(run) / "record.json")
    return store


def of(store: Store, run) -> Record:
    record = store.record(run)
    assert record is not None
    return record


def test_stale_records_are_mended(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert store.state(OLD, None) == "stale"
    assert main(["rescore"]) == 0
    assert capsys.readouterr().out == "digits/old seed 0: test/top1 0.500000 -> 0.750000\n1 rescored\n"
    assert (of(store, OLD).metrics["test/top1"], of(store, NEW).metrics["test/top1"]) == (0.75, 0.9)
    assert store.state(OLD, None) == "done"
    assert main(["rescore"]) == 0
    assert capsys.readouterr().out == "0 rescored\n"


def test_edited_records_are_mended_where_it_is_asked_for(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rescore", "--all", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["changes"] for one in told["runs"]} == {
        "digits/new seed 0": {"test/top1": [0.9, 0.75]},
        "digits/old seed 0": {"test/top1": [0.5, 0.75]},
    }
    assert of(store, NEW).metrics["test/top1"] == 0.75


def test_a_dry_run_writes_nothing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    before = (store.folder(OLD) / "record.json").read_bytes()
    assert main(["rescore", "--dry-run"]) == 0
    assert "1 would be rescored" in capsys.readouterr().out
    assert (store.folder(OLD) / "record.json").read_bytes() == before


def test_what_cannot_be_rescored_is_exit_1_and_the_rest_goes_on(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    (store.folder(NEW) / "evidence.npz").unlink()
    assert main(["rescore", "--all"]) == 1
    told = capsys.readouterr()
    assert told.err == f"digits/new seed 0 ({NEW.run_id}): its evidence is not here, or cannot be read\n"
    assert "1 rescored" in told.out
    assert of(store, OLD).metrics["test/top1"] == 0.75


def test_a_run_that_lies_there_twice_is_rescored_once(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    copied = store.folder(OLD).with_name("copy")
    copied.mkdir()
    (copied / "record.json").write_bytes((store.folder(OLD) / "record.json").read_bytes())
    assert main(["rescore"]) == 0
    assert capsys.readouterr().out.endswith("1 rescored\n")


def test_a_record_that_somebody_else_wrote_meanwhile_is_left(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cvbench import rescoring

    real = rescoring.rescored

    def slow(record, evidence):
        new = real(record, evidence)
        other = record.model_copy(update={"metrics": record.metrics | {"test/top1": 0.123}})
        write_record(other, store.folder(record.spec) / "record.json")
        return new

    monkeypatch.setattr(rescoring, "rescored", slow)
    assert main(["rescore"]) == 1
    assert "written by somebody else meanwhile; rescore again" in capsys.readouterr().err
    assert of(store, OLD).metrics["test/top1"] == 0.123


def test_only_the_runs_of_a_benchmark(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text(
        "task: classification\ndatasets: [digits]\nmodels: [linear]\nseeds: [0]\nrecipe: {epochs: 1}\n"
    )
    assert main(["rescore", "mine.yaml", "--all"]) == 0
    assert capsys.readouterr().out == "0 rescored\n"
    assert of(store, OLD).evaluator_version == 0


def test_no_store_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rescore", "--store", "nowhere"]) == 2
    assert "no folder 'nowhere'" in capsys.readouterr().err

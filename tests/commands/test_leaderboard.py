"""`cvbench leaderboard --check --store`: a published board against the runs it came from, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cvbench.cli import main
from cvbench.evidence import RunEvidence
from cvbench.index import Index
from cvbench.leaderboard import rank
from cvbench.page.files import publish
from cvbench.page.index import write_index
from cvbench.store import Store
from tests import records
from tests.stores import keep, share

PLAN = records.plan(("good", "poor"), seeds=(0, 1))


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store, and the board of it below `leaderboards`."""
    monkeypatch.chdir(tmp_path)
    store = Store("runs")
    kept = [keep(store, run, share(40, 30 - 10 * (run.label == "poor") + run.seed)) for run in PLAN]
    publish(rank(records.suite(), PLAN, kept, RunEvidence(store, Index(None))), Path("leaderboards/quick"))
    write_index(Path("leaderboards"))
    return store


CHECK = ["leaderboard", "--check", "--store", "runs"]


def test_a_board_that_follows_from_its_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(CHECK) == 0
    assert capsys.readouterr().out == "leaderboards: every board renders to its files and follows from runs\n"
    assert main(CHECK[:2]) == 0


def test_a_board_that_was_changed_and_rendered_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Its files follow from board.json, and only the store tells."""
    from cvbench.board import read_board

    path = Path("leaderboards/quick/board.json")
    data = json.loads(path.read_text())
    row = data["boards"][0]["rows"][1]
    row["interval"] = {"low": 0.5, "high": 0.52, "image_only": False, "few_positives": 0}
    path.write_text(json.dumps(data))
    publish(read_board(path), path.parent)
    write_index(Path("leaderboards"))
    assert main(CHECK[:2]) == 0
    capsys.readouterr()
    assert main([*CHECK, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert any("poor: Expected interval" in problem for problem in told["problems"])


def test_another_store(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main(["leaderboard", "--check", "--store", "empty"]) == 1
    assert capsys.readouterr().err.count("is not in this store") == 4
    assert main(["leaderboard", "--check", "--store", "nowhere"]) == 2
    assert "nowhere: no such folder; name it with --store" in capsys.readouterr().err

"""`cvbench claims` as people call it: what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cvbench.cli import main
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import write_record
from cvbench.store import Store
from tests import records

CLAIM = ("- {task: classification, dataset: digits, model: lenet, metric: top1, unit: '%', tolerance: 0.5, "
         "source: LeCun 1998, claimed: ")  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a claims.yaml of one claim, 95, and a store in which three seeds measured 94.8."""
    monkeypatch.chdir(tmp_path)
    Path("claims.yaml").write_text(f"claims:\n  {CLAIM}95}}\n")
    for run in records.plan():
        home = Store("runs").folder(run)
        home.mkdir(parents=True)
        write_record(records.record(run, 0.948, evaluator_version=EVALUATOR_VERSION), home / "record.json")
    return tmp_path


def test_a_claim_that_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    line = capsys.readouterr().out.splitlines()[1].split()
    assert line == ["digits/lenet", "top1", "94.80", "95.00", "-0.20", "0.50", "%", "3", "holds", "LeCun", "1998"]


def test_a_claim_that_differs_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.yaml").write_text(f"claims:\n  {CLAIM}96}}\n  {CLAIM.replace('lenet', 'mlp')}96}}\n")
    assert main(["claims", "--claims", "other.yaml", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"holds": 0, "differs": 1, "not measured": 1, "another protocol": 0}
    assert told["held"][0]["difference"] == pytest.approx(-1.2)
    assert told["held"][0]["claim"]["source"] == "LeCun 1998"
    assert told["held"][1]["measured"] is None


def test_shipped_claims_are_taken_where_there_are_none_here(capsys: pytest.CaptureFixture[str]) -> None:
    Path("claims.yaml").unlink()
    assert main(["claims"]) == 0
    told = capsys.readouterr().out
    assert "imagenet/torchvision/alexnet top1 (IMAGENET1K_V1)" in told
    assert "not measured" in told.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("claims --store nowhere", "no folder 'nowhere'"),
        ("claims --claims nowhere.yaml", "nowhere.yaml: cannot be read"),
        ("claims --calims x.yaml", "--calims"),
    ],
)
def test_mistakes_are_exit_2(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    assert main(line.split()) == 2
    assert message in capsys.readouterr().err


def test_an_empty_store_measures_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main(["claims", "--store", "empty"]) == 0
    assert "1 not measured" in capsys.readouterr().out


def test_nothing_heavy_is_imported(folder: Path) -> None:
    repository = Path(__file__).resolve().parents[2]
    code = "import sys; from cvbench.cli import main; main(['claims']); print({'torch', 'pandas'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(repository)},
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["set()"], done.stderr

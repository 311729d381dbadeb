"""`cvbench compare` as people call it: what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cvbench.cli import main
from cvbench.store import Store
from tests import records
from tests.stores import keep, share


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a store: `good` has 50 of 60 right and 48 of 60, `poor` 24 twice, `once` 49."""
    monkeypatch.chdir(tmp_path)
    for name, counts in (("good", (50, 48)), ("poor", (24, 24)), ("once", (49,))):
        for seed, count in enumerate(counts):
            keep(Store("runs"), records.spec(name, seed), share(60, count))
    return tmp_path


def test_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "good", "poor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "digits: top1 %, higher is better"
    # 98 / 120, and 2 / 60 / root 2
    assert lines[1].split() == ["good", "81.67", "±", "2.36", "(2", "seeds)"]
    assert lines[2].split() == ["poor", "40.00", "±", "0.00", "(2", "seeds)"]
    assert lines[3].startswith("  difference  +41.67, 95 % interval +")
    assert lines[4].startswith("  good is better; one new run of good beats one of poor with probability 1.00")
    assert lines[5].startswith("  (paired bootstrap over images, variance over seeds")


def test_by_a_metric_of_which_less_is_better(capsys: pytest.CaptureFixture[str]) -> None:
    """Confidence is 0.75: the errors are 0.083 and 0.05 against 0.35."""
    assert main(["compare", "poor", "good", "--metric", "ece", "--on", "digits"]) == 0
    told = capsys.readouterr().out
    assert "digits: ece %, lower is better" in told
    assert "difference  +28.33" in told
    assert "good is better; one new run of poor beats one of good with probability 0.00" in told


def test_what_chance_may_have_done_is_not_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "good", "once"]) == 0
    told = capsys.readouterr().out
    assert "good and once are not told apart" in told
    assert "(1 seed)" in told
    assert "McNemar" not in told


def test_two_single_runs_have_mcnemars_test(capsys: pytest.CaptureFixture[str]) -> None:
    once, poor = (Store("runs").record(records.spec(name)) for name in ("once", "poor"))
    assert main(["compare", once.run_id, poor.run_id]) == 0
    told = capsys.readouterr().out
    assert "McNemar: 25 images that" in told
    assert "0 that" in told
    assert "p < 0.0001" in told


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "good", "poor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["a"], told["b"]) == ("good", "poor")
    (one,) = told["compared"]
    assert one["difference"] == pytest.approx(98 / 120 - 0.4)
    assert one["a"] == {"mean": pytest.approx(98 / 120), "sd": pytest.approx(2 / 60 / 2**0.5), "n": 2}
    assert one["low"] < one["difference"] < one["high"]
    assert (one["dataset"], one["metric"], one["direction"], one["mcnemar"]) == ("digits", "top1", "max", None)


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvbench.statistics.comparison.probability_better", lambda *_: float("nan"))
    assert main(["compare", "good", "poor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert told["compared"][0]["probability_better"] is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("compare good", "requires an argument"),
        ("compare good goood", "no finished run of 'goood' here; did you mean 'good'"),
        ("compare good poor --on digts", "--on: no run on a data set 'digts' here; did you mean 'digits'"),
        ("compare good poor --metric top2", "--metric: no 'top2' in classification"),
        ("compare good poor --store nowhere", "no folder 'nowhere'"),
    ],
)
def test_mistakes_are_exit_2(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    assert main(line.split()) == 2
    assert message in capsys.readouterr().err


def test_nothing_heavy_is_imported(folder: Path) -> None:
    repository = Path(__file__).resolve().parents[2]
    code = (
        "import sys; from cvbench.cli import main; main(['compare', 'good', 'poor']); "
        "print({'torch', 'pandas', 'scipy.stats'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(repository)},
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["set()"], done.stderr

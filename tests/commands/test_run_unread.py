"""`cvbench run` whose output nobody reads, or whose board cannot be written: the suite goes on, and its end is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cvbench.cli import main

BENCHMARK = (
    "task: classification\ndatasets: [digits]\nmodels: [linear, 'broken_here:build']\nrecipe: {epochs: 1, lr: 1e-2}\n"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a benchmark of which one model fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "bench.yaml").write_text(BENCHMARK)
    (tmp_path / "broken_here.py").write_text("def build(info):\n    raise RuntimeError('no such luck')\n")
    return tmp_path


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_a_reader_that_goes_away_ends_nothing(here: Path, closed: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    streams = {name: writer if closed in (name, "both") else subprocess.PIPE for name in ("stdout", "stderr")}
    command = [sys.executable, "-m", "cvbench", "run", "bench.yaml", "--jobs", "1", "--accelerator", "cpu"]
    done = subprocess.run(command, cwd=here, text=True, timeout=300, check=False, **streams)
    os.close(writer)
    assert done.returncode == 1  # one run failed
    assert len(list(here.glob("runs/digits/*/*/record.json"))) == 1
    assert (here / "runs" / "boards" / "bench" / "board.json").is_file()
    if closed == "stdout":
        assert "no such luck" in done.stderr.rpartition("1 failed")[2]


def test_what_a_model_prints_does_not_mix_with_json(here: Path) -> None:
    (here / "loud.py").write_text(
        "import os\nfrom cvbench.models.classification.linear import build as linear\nprint('loud')\n"
        "def build(info):\n    print('loud', flush=True)\n    os.write(1, b'loud')\n    return linear(info)\n"
    )
    (here / "bench.yaml").write_text(BENCHMARK.replace("broken_here", "loud"))
    command = [sys.executable, "-m", "cvbench", "run", "bench.yaml", "--json", "--jobs", "1", "--accelerator", "cpu"]
    done = subprocess.run(command, cwd=here, text=True, timeout=300, check=True, capture_output=True)
    assert len(json.loads(done.stdout)["done"]) == 2
    assert done.stderr.count("loud") > 2


def test_a_board_is_not_written_through_a_link(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "outside").mkdir()
    (here / "runs" / "boards").mkdir(parents=True)
    (here / "runs" / "boards" / "bench").symlink_to(here / "outside")
    command = ["run", "bench.yaml", "--quiet", "--jobs", "1", "--accelerator", "cpu", "models=[linear]"]
    assert main(command) == 2
    out, err = capfd.readouterr()
    assert "linear" in out  # the table, all the same
    assert "runs/boards/bench: Expected a folder, but got a symbolic link" in err
    assert not list((here / "outside").iterdir())
    (here / "afile").touch()
    assert main([*command, "--store", "afile"]) == 2
    assert "afile: Expected a folder of runs, but got a file" in capfd.readouterr().err


def test_without_room_for_a_board_what_failed_is_told(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "runs").mkdir()
    (here / "runs" / "boards").write_text("in the way")
    assert main(["run", "bench.yaml", "--quiet", "--jobs", "1", "--accelerator", "cpu"]) == 1
    said = capfd.readouterr().err
    assert "no board: " in said
    assert "no such luck" in said.rpartition("1 failed")[2]

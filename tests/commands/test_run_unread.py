"""`cvbench run` whose output nobody reads, or whose board cannot be written: the suite goes on, and its end is told."""

from __future__ import annotations

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


def test_without_room_for_a_board_what_failed_is_told(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "runs").mkdir()
    (here / "runs" / "boards").write_text("in the way")
    assert main(["run", "bench.yaml", "--quiet", "--jobs", "1", "--accelerator", "cpu"]) == 1
    said = capfd.readouterr().err
    assert "no board: " in said
    assert "no such luck" in said.rpartition("1 failed")[2]

"""What a record says of its environment, and what it must not say."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from cvbench.environment import environment

ROOT = Path(__file__).resolve().parents[1]


def git(*arguments: str) -> str:
    outside = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", ROOT, *arguments], capture_output=True, text=True, env=outside, check=True
    ).stdout


def test_versions_and_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs the git checkout")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as inside a git hook of another repository
    found = environment.__wrapped__()
    assert set(found) == {"python", "os", "machine", "versions", "commit", "dirty"}
    assert found["versions"]["torch"] == metadata.version("torch")
    assert found["commit"] == git("rev-parse", "HEAD").strip()
    assert found["dirty"] is bool(git("status", "--porcelain", "--untracked-files=no"))


def test_no_commit_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvbench.environment.__file__", str(tmp_path / "site-packages" / "cvbench" / "environment.py"))
    found = environment.__wrapped__()
    assert (found["commit"], found["dirty"]) == (None, None)


def test_no_git_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = environment.__wrapped__()
    assert (found["commit"], found["dirty"]) == (None, None)


def test_nothing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "swordfish-7781")
    monkeypatch.setenv("USER", "somebody-9912")
    monkeypatch.setenv("HOME", "/home/somebody-9912")
    text = json.dumps(environment.__wrapped__())
    assert "swordfish" not in text
    assert "somebody" not in text
    for name in (getpass.getuser(), socket.gethostname()):
        if len(name) > 4:  # a short one could be part of anything
            assert name not in text

"""The workflow that looks at pull requests of strangers: what it may do, what it runs, and what it runs it on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cvbench.cli import main
from cvbench.data import streets

REPOSITORY = Path(__file__).resolve().parents[1]
FILE = REPOSITORY / ".github/workflows/check-submissions.yml"
TEMPLATE = REPOSITORY / ".github/PULL_REQUEST_TEMPLATE/submission.md"


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(FILE)
    return loaded


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_it_can_read_and_nothing_else(workflow: dict[str, Any]) -> None:
    assert list(workflow["on"]) == ["pull_request"]
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow["jobs"].values())
    text = FILE.read_text()
    assert "pull_request_target" not in text
    assert not re.search(r"secrets\s*[.\[]", text)
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False, False]


def test_it_starts_for_submissions(workflow: dict[str, Any]) -> None:
    paths = workflow["on"]["pull_request"]["paths"]
    assert paths == ["submissions/**"]
    # GitHub's `**` is any characters, slashes included
    pattern = re.escape(paths[0]).replace(re.escape("**"), ".*")
    assert re.fullmatch(pattern, "submissions/camvid/a-net/record.json")
    assert not re.fullmatch(pattern, "cvbench/cli.py")


def test_actions_are_pinned_and_known(workflow: dict[str, Any]) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@(v\d+(\.\d+)*|[0-9a-f]{40})", action) for action in used), used


def test_only_the_base_branch_s_code_runs(workflow: dict[str, Any]) -> None:
    first = steps(workflow)[0]["with"]
    assert first["path"] == "base"
    assert first["ref"] == "${{ github.event.pull_request.base.sha }}"
    scripts = [step for step in steps(workflow) if "run" in step]
    assert all("${{" not in step["run"] for step in scripts)  # no title or branch's name becomes a command
    installs = [line for step in scripts for line in step["run"].splitlines() if "pip install" in line]
    assert installs[-1].endswith(" ./base")
    assert not any("proposed" in line for line in installs)
    # what is the pull request's is never the working folder, which Python looks for modules in
    assert scripts[-1]["working-directory"] == "base"


def test_its_command_checks_what_is_new_or_changed(workflow: dict[str, Any], tmp_path: Path) -> None:
    """The script itself, between two checkouts as the runner has them, with this cvbench."""

    def git(*arguments: str) -> None:
        environment = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PATH": os.environ["PATH"]}
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        line = ["git", "-C", str(tmp_path / "proposed"), *who, *arguments]
        subprocess.run(line, check=True, capture_output=True, env=environment)

    for name in ("base", "proposed"):
        (tmp_path / name / "submissions" / "streets" / "old").mkdir(parents=True)
        (tmp_path / name / "submissions" / "README.md").write_text("")
    old = tmp_path / "proposed" / "submissions" / "streets" / "old" / "record.json"
    old.write_text("an old one, which nobody looks at")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "base")
    options = {"height": 32, "width": 48, "train": 800, "val": 200, "test": 400}  # of the committed board
    split = streets.build(Path(), task="classification", **options).splits["test"]
    rows = "".join(f"{name},{split.target(row)}\n" for row, name in enumerate(split.ids))
    (tmp_path / "labels.csv").write_text("id,label\n" + rows)
    told = ["--task", "classification", "--dataset", "streets", "--name", "All right", "--url", "https://example.org/"]
    given = [f"{key}={value}" for key, value in options.items()]
    line = ["submit", str(tmp_path / "labels.csv"), *told, "--store", str(tmp_path / "runs"), "--options", *given]
    assert main(line) == 0
    (made,) = (tmp_path / "runs").glob("*/*/*/record.json")
    place = tmp_path / "proposed" / "submissions" / "streets" / "odd 'name"
    place.mkdir()
    (place / "record.json").write_bytes(made.read_bytes())
    (place / "evidence.npz").write_bytes((made.parent / "evidence.npz").read_bytes())
    git("add", "-A")
    git("commit", "-qm", "a row")
    (tmp_path / "base" / "leaderboards").symlink_to(REPOSITORY / "leaderboards")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "cvbench"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cvbench "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    script = ["bash", "-e", "-o", "pipefail", "-c", steps(workflow)[-1]["run"]]

    def run() -> subprocess.CompletedProcess[str]:
        where = tmp_path / "base"
        return subprocess.run(script, cwd=where, env=environment, capture_output=True, text=True, timeout=120)

    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("../proposed/submissions/streets/odd 'name/record.json: re-scored: ")
    assert len(done.stdout.splitlines()) == 1
    (place / "record.json").write_text(made.read_text().replace('"test/top1": 1.0', '"test/top1": 0.5', 1))
    git("commit", "-qam", "edited", "--amend")
    done = run()
    assert done.returncode != 0
    assert "metrics.test/top1: Expected 1.0 from the evidence, but got 0.5" in done.stdout


def test_the_template_says_the_steps() -> None:
    text = TEMPLATE.read_text()
    for words in ("cvbench submit", "cvbench check", "submissions/<dataset>/<name>/record.json", "evidence.url"):
        assert words in text
    assert "docs/submissions.md" in text
    assert text.count("- [ ]") >= 4


def test_the_document_names_options_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    text = (REPOSITORY / "docs/submissions.md").read_text()
    for verb in ("submit", "check", "data samples"):
        capsys.readouterr()
        assert main([*verb.split(), "--help"]) == 0
        known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
        lines = re.findall(rf"cvbench {verb} (?:.*\\\n)*.*", text)
        assert lines
        named = {option for line in lines for option in re.findall(r"--[a-z][a-z-]+", line)}
        assert named <= known, named - known

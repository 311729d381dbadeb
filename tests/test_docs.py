"""Every command of docs/ is run, page by page, in an empty folder; every link inside it leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of the blocks that a reader is told to run, in order."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_every_command_works(page: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("cvbench", "python"):
        command = "-m cvbench" if name == "cvbench" else ""
        script = tmp_path / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        script.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(DOCS.parent),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    environment.pop("CVBENCH_DATA", None)
    here = tmp_path / "work"
    here.mkdir()
    for language, text in blocks(page):
        command = ["bash", "-euo", "pipefail", "-c", text] if language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{page.name}:\n{text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).is_file(), target


def test_no_page_is_lost() -> None:
    """The site's navigation names every page, and no other."""
    navigation = (DOCS.parent / "zensical.toml").read_text(encoding="utf-8")
    assert sorted(re.findall(r'"([\w/]+\.md)"', navigation)) == [page.name for page in PAGES]

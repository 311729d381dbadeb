"""What is installed: dependencies with their reasons, the wheel, and a Makefile that installs once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PYPROJECT = REPOSITORY / "pyproject.toml"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built by the backend itself, in this environment: nothing is downloaded."""
    from hatchling.build import build_wheel

    folder = tmp_path_factory.mktemp("wheel")
    here = Path.cwd()
    os.chdir(REPOSITORY)  # a build backend is called in the project's folder
    try:
        return zipfile.ZipFile(folder / build_wheel(str(folder)))
    finally:
        os.chdir(here)


def test_the_wheel_holds_benchmarks_and_data_files(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    benchmarks = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "benchmarks").glob("**/*.yaml")}
    assert benchmarks
    assert {f"cvbench/{name}" for name in benchmarks} <= names
    data = [
        path for path in (REPOSITORY / "cvbench").glob("**/*") if path.suffix in {".css", ".csv", ".j2", ".js", ".json"}
    ]
    assert {path.relative_to(REPOSITORY).as_posix() for path in data} <= names
    assert "cvbench/data/camvid_classes.csv" in names
    assert "cvbench/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "leaderboards"))]


def test_the_wheel_names_command_licence_and_python(wheel: zipfile.ZipFile) -> None:
    files = {name.partition(".dist-info/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "cvbench = cvbench.cli:main" in wheel.read(files["entry_points.txt"]).decode()
    metadata = wheel.read(files["METADATA"]).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert b"Apache License" in wheel.read(files["licenses/LICENSE"])


def test_the_wheel_finds_its_suites_without_a_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "cvbench", "list", "benchmarks"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    shipped = [path.relative_to(REPOSITORY / "benchmarks") for path in (REPOSITORY / "benchmarks").glob("**/*.yaml")]
    assert {path.with_suffix("").as_posix() for path in shipped} <= set(done.stdout.split())


def test_every_dependency_has_a_lower_bound_and_a_reason() -> None:
    text = PYPROJECT.read_text()
    project = tomllib.loads(text)["project"]
    named = [*project["dependencies"], *(item for extra in project["optional-dependencies"].values() for item in extra)]
    for requirement in named:
        if not requirement.startswith("cvbench["):
            assert re.search(r">=|==", requirement), requirement
    for requirement in project["dependencies"]:
        line = next(line for line in text.splitlines() if f'"{requirement}"' in line)
        assert "#" in line, f"{requirement}: say why"


@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_malicious_versions_of_lightning_are_ruled_out(version: str) -> None:
    from packaging.requirements import Requirement

    named = map(Requirement, tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"])
    lightning = next(requirement for requirement in named if requirement.name == "lightning")
    assert not lightning.specifier.contains(version)
    assert lightning.specifier.contains("2.6.4")


def test_optional_parts_are_no_dependencies() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    assert not [name for name in project["dependencies"] if re.match(r"wandb|tensorboard|timm|segmentation", name)]
    assert {"wandb", "tensorboard", "zoo", "dev"} <= project["optional-dependencies"].keys()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what `make` reads, with an installation that looks finished."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    for number, stamp in enumerate((".made", ".installed", ".dev")):
        (tmp_path / ".venv" / stamp).touch()
        os.utime(tmp_path / ".venv" / stamp, (2e9 + number, 2e9 + number))
    return tmp_path


def commands(checkout: Path, target: str) -> str:
    return subprocess.run(
        ["make", "--dry-run", target], cwd=checkout, capture_output=True, text=True, check=True, timeout=30
    ).stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", ["demo", "test", "slow", "speed", "check"])
def test_a_second_call_installs_nothing(checkout: Path, target: str) -> None:
    assert "pip install" not in commands(checkout, target)
    (checkout / ".venv" / (".installed" if target == "demo" else ".dev")).unlink()
    assert "pip install" in commands(checkout, target)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_changed_dependencies_are_installed(checkout: Path) -> None:
    os.utime(checkout / "pyproject.toml", (2.1e9, 2.1e9))
    assert "pip install" in commands(checkout, "test")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_an_old_python_is_refused_with_the_remedy(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    old = checkout / "python-old"
    # The script speaks as Python 3.9 would, and makes an environment if it is asked to.
    script = [
        "#!/bin/sh",
        '[ "$1" = --version ] && echo Python 3.9.2 && exit',
        '[ "$1" = -m ] && mkdir -p .venv && exit',
    ]
    old.write_text("\n".join([*script, "exit 1\n"]))
    old.chmod(0o755)
    done = subprocess.run(["make", "demo", f"PYTHON={old}"], cwd=checkout, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert "needs Python >= 3.11, but" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (checkout / ".venv" / ".made").exists()


def test_no_file_names_an_index() -> None:
    for name in ("Makefile", "pyproject.toml", ".ci/run"):
        assert not re.search(r"--(extra-)?index-url|--find-links|https?://", (REPOSITORY / name).read_text()), name

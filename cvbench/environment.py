"""What a result was made with: versions, commit, system. No secrets: no environment variables, user or host name."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("cvbench", "torch", "torchvision", "lightning", "torchmetrics", "numpy", "pillow", "timm", "scikit-learn",
             "segmentation-models-pytorch", "faster-coco-eval", "opencv-contrib-python-headless")  # fmt: skip


@cache
def environment() -> dict[str, Any]:
    """{python, os, machine, versions: {package: version}, commit, dirty}.

    commit and dirty (tracked files differ from it) are None where cvbench does not lie in its git checkout.
    """
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    commit = _git("rev-parse", "HEAD")
    return {
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "versions": versions,
        "commit": commit,
        "dirty": _dirty(_git("status", "--porcelain", "--untracked-files=no")) if commit else None,
    }


def _dirty(status: str | None) -> bool | None:
    return None if status is None else bool(status)


def _git(*arguments: str) -> str | None:
    """Git's answer about the checkout that this package lies in, or None where it lies in none."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    # Inside a git hook GIT_DIR and its like name another repository.
    outside = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, env=outside)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

"""What a result was made with: versions, commit, system. Nothing secret: no environment variables, no user, no host name."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("cvbench", "torch", "torchvision", "lightning", "torchmetrics", "numpy", "pillow", "timm", "scikit-learn",
             "segmentation-models-pytorch")  # fmt: skip


@cache
def environment() -> dict[str, Any]:
    """{python, os, machine, versions: {package: version}, commit, dirty}; commit is None outside a git checkout of cvbench."""
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
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")) if commit else None,
    }


def _git(*arguments: str) -> str | None:
    """Git's answer about the checkout that this package lies in, or None where it lies in none."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

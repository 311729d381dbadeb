"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    # One thread a test process: xdist already fills the cores, and thread counts change the bits of a sum.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real image packs, `CVBENCH_DATA` or `../shared/data`; skips where there is none."""
    root = Path(os.environ.get("CVBENCH_DATA", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        missing = f"needs the real image packs, and {root} is not there (set CVBENCH_DATA to their folder)"
        if os.environ.get("CVBENCH_REQUIRE_DATA"):  # CI, where a skip must not look like a pass
            pytest.fail(missing)
        pytest.skip(missing)
    return root

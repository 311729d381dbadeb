"""What the light verbs cost: CPU seconds of a fresh process, against a limit in seconds."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.speed.timing import Row

REPOSITORY = Path(__file__).resolve().parents[2]
TRIES = 7
# (command, most CPU seconds)
LIMITS = (
    ("--help", 0.4),
    ("plan quick", 0.6),
    ("list models", 0.6),
    ("list datasets", 0.6),
)
PLAN_LIMIT, PLAN_TRIES = 2.0, 3
# 4 datasets x 5 models x 500 seeds
TEN_THOUSAND = f"""
task: classification
datasets: [mnist, cifar10, fashion_mnist, digits]
models: [linear, mlp, lenet, zfnet, torchvision/alexnet]
seeds: {list(range(500))}
"""


def measure() -> list[Row]:
    rows = []
    for command, limit in LIMITS:
        # The best of several tries, because whatever else the machine does only ever adds.
        seconds = min(cpu_seconds(command.split()) for _ in range(TRIES))
        rows.append(Row(f"cvbench {command} (limit {limit} s)", seconds, limit, limit / seconds, 1.0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.yaml"
        file.write_text(TEN_THOUSAND)
        for option in ([], ["--json"]):
            seconds = min(cpu_seconds(["plan", str(file), *option]) for _ in range(PLAN_TRIES))
            name = " ".join(["cvbench plan", *option, f"of 10,000 runs (limit {PLAN_LIMIT} s)"])
            rows.append(Row(name, seconds, PLAN_LIMIT, PLAN_LIMIT / seconds, 1.0))
    return rows


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one `cvbench` process, with a store that is empty."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "cvbench", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

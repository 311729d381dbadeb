"""A made-up leaderboard with everything that a board can have, for the tests of pages."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image

from cvbench import __version__
from cvbench.board import (
    Board,
    CalibrationBin,
    Curve,
    Difference,
    Interval,
    Leaderboard,
    Metric,
    Picture,
    Row,
    Run,
    Score,
    Standing,
    SuiteRow,
    SuiteScore,
)
from cvbench.record import Costs
from cvbench.statistics.methods import METHODS

CLASSES = ("sky", "building", "road")
COLOURS = ((128, 128, 128), (128, 0, 0), (128, 64, 128))
TOP1 = Metric(name="top1", direction="max", definition="share of samples that are right", unit="%")
NLL = Metric(name="nll", direction="min", definition="mean negative log-likelihood", unit="")
AHEAD = Difference(value=0.1, low=0.05, high=0.15, p=0.001, probability_better=0.97)
TIED, BEHIND = Standing(rank=1, best=1, worst=2, p=0.4), Standing(rank=2, best=3, worst=3, p=1.0)


def picture(colour: tuple[int, int, int] = (200, 60, 60), kind: Any = "hard", sample: str = "test/0001") -> Picture:
    stream = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(stream, "webp")
    return Picture(sample=sample, kind=kind, score=0.25, webp=base64.b64encode(stream.getvalue()).decode())


def row(label: str = "unet", mean: float | None = 0.8, place: int = 1, **changes: Any) -> Row:
    """A finished row of three seeds around `mean`; None: all of them failed."""
    done = mean is not None
    values = [mean - 0.01, mean, mean + 0.01] if mean is not None else [None] * 3
    fields: dict[str, Any] = {
        "label": label,
        "model": "unet",
        "options": {"width": 32},
        "weights": None,
        "group_id": f"{place:012x}",
        "standing": Standing(rank=place, best=place, worst=place, p=1.0) if done else None,
        "mean": mean,
        "sd": 0.01 if done else None,
        "interval": Interval(low=mean - 0.03, high=mean + 0.03) if mean is not None else None,
        "versus_baseline": AHEAD if done else None,
        "n": 3 if done else 0,
        "planned": 3,
        "state": "3 of 3" if done else "0 of 3, 3 failed",
        "runs": tuple(
            Run(seed=seed, run_id=f"{place:06x}{seed:06x}", state="done" if done else "failed", value=value,
                reason="" if done else "LossIsNotFiniteError: the loss is nan at step 3")
            for seed, value in enumerate(values)
        ),
        "scores": {
            "top1": Score(mean=mean, sd=0.01 if done else None),
            "nll": Score(mean=0.5 if done else None, sd=0.02 if done else None),
        },
        "per_class": {"accuracy": (0.9, 0.5, None)} if done else {},
        "costs": Costs(
            parameters=place * 1_000_000, macs=place * 10_000_000, train_seconds=60.0 * place,
            test_images_per_second=500.0,
            latency_p50_seconds=0.002 * place, latency_p95_seconds=0.004 * place, peak_memory_bytes=2**29,
        ) if done else None,
        "front": ("macs", "parameters") if place < 3 and done else (),
        "recipe": {},
        "overrides": (),
        "environments": (0,) if done else (),
        "curves": tuple(
            Curve(seed=seed, epochs=(1.0, 2.0, 3.0), loss=(1.2, 0.7, 0.5), val=(0.4, None, 0.7)) for seed in range(3)
        ) if done else (),
        "calibration": tuple(
            CalibrationBin(confidence=(bin + 0.5) / 10, accuracy=(bin + 0.5) / 11, count=10 + bin) for bin in range(10)
        ) if done else (),
        "pictures": (picture(), picture((60, 60, 200), "typical", "test/0002")) if done else (),
    }  # fmt: skip
    return Row(**fields | changes)


def board(rows: tuple[Row, ...] | None = None, **changes: Any) -> Board:
    given = (
        row("unet", 0.8, 1),
        row("fcn", 0.79, 2, standing=TIED, interval=Interval(low=0.7, high=0.85, few_positives=2)),
        row("segnet", 0.6, 3, standing=BEHIND, versus_baseline=None, origin="re-scored",
            url="https://example.org/segnet"),
        row("linear", None, 4),
    )  # fmt: skip
    fields: dict[str, Any] = {
        "benchmark": "segmentation",
        "title": "Quick segmentation",
        "task": "classification",
        "mode": "train",
        "dataset": "streets",
        "options": {"height": 64},
        "protocol": {"classes": 3, "scoring_size": "native", "roles": {"train": "generated", "test": "generated"}},
        "protocol_hash": "0123456789ab",
        "revision": "ba9876543210",
        "split_sizes": {"train": 400, "val": 60, "test": 120},
        "official_sizes": {"train": 4000, "val": 600, "test": 1200},
        "classes": CLASSES,
        "colours": COLOURS,
        "absent_classes": (),
        "licence": "CC0 1.0",
        "redistributable": True,
        "metrics": (TOP1, NLL),
        "selection": ("best val/top1",),
        "recipe": {"epochs": 3, "lr": 0.003},
        "command": "cvbench run quick/segmentation",
        "baseline": "segnet",
        "jobs": 2,
        "rows": given if rows is None else rows,
    }
    return Board(**fields | changes)


def leaderboard(boards: tuple[Board, ...] | None = None, **changes: Any) -> Leaderboard:
    fields: dict[str, Any] = {
        "suite": "quick",
        "title": "quick",
        "cvbench_version": __version__,
        "evaluator_version": 1,
        "methods": METHODS,
        "environments": ({"python": "3.11.9", "device_name": "a CPU", "threads": 1},),
        "suite_scores": (
            SuiteScore(
                task="classification",
                boards=2,
                rows=(
                    SuiteRow(name="unet", score=1.0, low=1.0, high=1.4),
                    SuiteRow(name="fcn", score=2.1, low=1.2, high=3.0),
                ),
            ),
        ),
        "boards": (board(), board(task="detection", dataset="voc", redistributable=False, benchmark="detection"))
        if boards is None
        else boards,
    }  # fmt: skip
    return Leaderboard(**fields | changes)

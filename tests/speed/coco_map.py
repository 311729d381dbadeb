"""COCO's twelve box numbers of a split of COCO's size: ours against pycocotools, in CPU time and in peak memory.

Each side runs once, in a process of its own (`python -m tests.speed.coco_map SIDE`), since peak memory is a process's.
pycocotools is timed for evaluate and accumulate alone, ours from the run's evidence to the numbers.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.speed.timing import Row

IMAGES, CLASSES, DETECTIONS, TRUTHS = 5000, 80, 100, 7
TIME_TARGET, MEMORY_TARGET = 7.0, 1.0
NAMES = ["map", "map_50", "map_75", "map_small", "map_medium", "map_large"]
NAMES += ["mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large"]


def made() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Evidence and truth: 7 boxes an image, each found three times more or less well, the rest of the 100 elsewhere."""
    rng = np.random.default_rng(0)
    boxes = np.exp(rng.uniform(np.log(8), np.log(300), (IMAGES, TRUTHS, 2)))
    truth = np.concatenate([rng.uniform(0, 340, (IMAGES, TRUTHS, 2)), boxes], axis=2)
    labels = rng.integers(0, CLASSES, (IMAGES, TRUTHS))
    near = truth.repeat(3, axis=1) * rng.normal(1, 0.08, (IMAGES, 3 * TRUTHS, 4)).clip(0.5, 2)
    rest = DETECTIONS - 3 * TRUTHS
    far = np.concatenate([rng.uniform(0, 340, (IMAGES, rest, 2)), rng.uniform(8, 300, (IMAGES, rest, 2))], axis=2)
    ids = np.array([f"{number:012}" for number in range(1, IMAGES + 1)])
    evidence = {
        "ids": ids,
        "counts": np.full(IMAGES, DETECTIONS),
        "boxes_xywh": np.concatenate([near, far], axis=1).reshape(-1, 4),
        "scores": rng.random(IMAGES * DETECTIONS),
        "labels": np.concatenate([labels.repeat(3, axis=1), rng.integers(0, CLASSES, (IMAGES, rest))], axis=1).ravel(),
    }
    known = {
        "ids": ids,
        "counts": np.full(IMAGES, TRUTHS),
        "boxes_xywh": truth.reshape(-1, 4),
        "labels": labels.ravel(),
        "area": truth[..., 2:].prod(axis=2).ravel() * 0.7,
        "crowd": rng.random(IMAGES * TRUTHS) < 0.01,
        "difficult": np.zeros(IMAGES * TRUTHS, dtype=bool),
        "classes": np.array([f"class{label}" for label in range(CLASSES)]),
    }
    return evidence, known


def ours(evidence: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> tuple[float, list[float]]:
    from cvbench.metrics.box_columns import box_columns
    from cvbench.metrics.coco_map import coco_scores, coco_table

    start = time.process_time()
    numbers = coco_scores(coco_table(*box_columns(evidence, truth), CLASSES))
    return time.process_time() - start, [numbers[name] for name in NAMES]


def pycocotools(evidence: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> tuple[float, list[float]]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = np.arange(1, IMAGES + 1)
    columns = (images.repeat(TRUTHS), truth["boxes_xywh"], truth["labels"], truth["area"], truth["crowd"])
    known = COCO()
    known.dataset = {
        "images": [{"id": number} for number in images.tolist()],
        "categories": [{"id": label} for label in range(CLASSES)],
        "annotations": [
            {"id": place, "image_id": image, "bbox": box, "category_id": label, "area": area, "iscrowd": int(crowd)}
            for place, (image, box, label, area, crowd) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True), 1
            )
        ],
    }
    known.createIndex()
    rows = (images.repeat(DETECTIONS), evidence["boxes_xywh"], evidence["scores"], evidence["labels"])
    found = known.loadRes(np.column_stack(rows))
    evaluation = COCOeval(known, found, "bbox")
    start = time.process_time()
    evaluation.evaluate()
    evaluation.accumulate()
    seconds = time.process_time() - start
    evaluation.summarize()
    return seconds, evaluation.stats.tolist()


def measure() -> list[Row]:
    mine, theirs = _in_a_process("ours"), _in_a_process("pycocotools")
    assert np.allclose(mine["numbers"], theirs["numbers"], rtol=0, atol=1e-9), (mine, theirs)
    what = f"COCO's box numbers, {IMAGES} images x {CLASSES} classes x {DETECTIONS} detections"
    seconds = mine["seconds"], theirs["seconds"]
    memory = mine["gigabytes"], theirs["gigabytes"]
    return [
        Row(what, *seconds, seconds[1] / seconds[0], TIME_TARGET),
        Row("same, peak memory", *memory, memory[1] / memory[0], MEMORY_TARGET, "GB"),
    ]


def _in_a_process(side: str) -> dict[str, Any]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.speed.coco_map", side]
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=repository)
    return json.loads(done.stdout)


def _answer(side: str) -> None:
    """Prints what one side took: CPU seconds, peak memory of the process, the twelve numbers."""
    with contextlib.redirect_stdout(io.StringIO()):
        seconds, numbers = {"ours": ours, "pycocotools": pycocotools}[side](*made())
    print(json.dumps({"seconds": seconds, "gigabytes": _peak_bytes() / 1e9, "numbers": numbers}))


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage counts what the process that started this one had
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _answer(sys.argv[1])

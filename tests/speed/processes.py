"""Training on two processes of one thread against one: images a second by the record, hence by the clock on the wall.

The one measurement here that needs two free cores; where others use them, it measures those. The model is large in
arithmetic for its parameters and its maps, so that computing decides, and neither sending nor memory: with the 16
maps of the paper, two processes that share nothing at all reach no more than 1.6 times one either.
"""

from __future__ import annotations

import logging
import tempfile
from typing import Any

from cvbench.record import Record
from tests.processes import on_processes
from tests.speed.timing import Row
from tests.test_several_processes import carry_out

ROUNDS = 3
BENCHMARK: dict[str, Any] = {
    "task": "classification",
    "datasets": ["digits"],
    "models": [{"name": "resnet_cifar", "options": {"width": 64}}],
    "recipe": {"steps": 6, "batch_size": 64, "optimiser": "sgd", "lr": 0.01, "input_size": [32, 32]},
}


def measure() -> list[Row]:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seconds: dict[int, float] = {}
    for _ in range(ROUNDS):
        for world in (1, 2):
            seconds[world] = min(seconds.get(world, float("inf")), _seconds_per_image(world))
    return [Row("training, 2 processes against 1 (by image)", seconds[2], seconds[1], seconds[1] / seconds[2], 1.6)]


def _seconds_per_image(world: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        record = on_processes(world, carry_out, BENCHMARK, {"devices": world}, folder)[0]
    assert isinstance(record, Record)
    assert record.costs.train_images_per_second is not None
    return 1 / record.costs.train_images_per_second

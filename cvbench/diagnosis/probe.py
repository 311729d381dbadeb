"""A program of its own, since torch takes seconds to import: which devices there are and what they refuse, as JSON.

`python -m cvbench.diagnosis.probe` prints {torch, cuda: [names], mps, refused: {accelerator: {precision: why}}}.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any, get_args

import torch

from cvbench.devices import Accelerator, check_precision
from cvbench.spec import Precision


def probed() -> dict[str, Any]:
    """What this process sees of the machine's devices."""
    cuda = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    there: list[Accelerator] = ["cpu"]
    there += ["cuda"] if cuda and torch.cuda.is_available() else []
    there += ["mps"] if torch.backends.mps.is_available() else []
    refused: dict[str, dict[str, str]] = {name: {} for name in there}
    for accelerator in there:
        for precision in get_args(Precision):
            try:
                check_precision(precision, accelerator)
            except ValueError as error:
                refused[accelerator][precision] = str(error)
    return {"torch": torch.__version__, "cuda": cuda, "mps": "mps" in there, "refused": refused}


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a driver that is too old: what counts is that there is no device
        print(json.dumps(probed()))
    sys.stdout.flush()

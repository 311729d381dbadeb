"""`Machine`: where runs happen. Read from machine.yaml and the command line; never part of a run's hash."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from cvbench.spec import Frozen

DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cvbench"

Accelerator = Literal["auto", "cpu", "cuda", "mps"]
Tracker = Literal["none", "wandb", "tensorboard"]

_UNITS = {"": 1, "b": 1} | {
    prefix + unit: base**power
    for power, prefix in enumerate("kmgt", start=1)
    for unit, base in (("b", 1000), ("", 1024), ("ib", 1024))
}


def parse_bytes(text: str | int) -> int:
    """`4GiB`, `500MB`, `512M` (binary) or a plain number of bytes. Raises ValueError for anything else."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"Expected a size such as 4GiB, 500MB or a number of bytes, but got {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


_SECONDS = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86400}


def parse_seconds(text: str | float) -> float:
    """`90`, `90s`, `5min`, `2h` or `1.5 d` in seconds. Raises ValueError for anything else."""
    if not isinstance(text, str):
        return float(text)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _SECONDS:
        raise ValueError(f"Expected a duration such as 90s, 5min, 2h or a number of seconds, but got {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def _bytes(value: Any) -> Any:
    return parse_bytes(value) if isinstance(value, str) else value


def _seconds(value: Any) -> Any:
    return parse_seconds(value) if isinstance(value, str) else value


# Not strict: Python code gives strings as well as paths, and a job file has only strings.
LocalPath = Annotated[Path, Field(strict=False), AfterValidator(Path.expanduser)]


class Retries(Frozen):
    """How often a run is tried again by itself in one suite, by what ended it.

    killed: its process was; the next try goes on from the last checkpoint. out_of_memory: each next try takes half the
    batch at once and twice as many of them a step (`Machine.accumulate`). time_limit: it took longer than that.
    What the run itself raised, a diverged loss among it, would come again and is never tried again by itself.
    """

    killed: Annotated[int, Field(ge=0)] = 1
    out_of_memory: Annotated[int, Field(ge=0)] = 1
    time_limit: Annotated[int, Field(ge=0)] = 0


class Machine(Frozen):
    """Devices, workers, caches.

    accelerator: `auto` takes CUDA, then Apple's MPS, then the CPU. devices: processes of one run (DDP above 1).
    jobs: runs at once; absent: on a CPU as many as it has cores (at most 8, at most the runs of the plan), else 1.
    threads: of one run; absent: cores / jobs. workers: decoding processes of one run, for data that are not cached.
    cache_limit_bytes: data sets whose decoded pixels fit below it are decoded once into a memory map under `cache`;
    in YAML and on the command line a size with its unit (`4GiB`) will do. save_predictions: keep the label maps of
    the test split as PNG files in the run's folder, for segmentation.
    accumulate: parts that a device's share of a batch is taken in, one after the other, where it does not fit into
    memory at once; the gradient stays that of the whole batch (see `cvbench.tasks.accumulation`).
    checkpoint_every: seconds of training between two checkpoints that a killed run goes on from; 0: none are written.
    time_limit: seconds that one try of a run may take before it is ended; absent: any. Both take units, too (`5min`,
    `2h`). retries: what is tried again by itself.
    """

    accelerator: Accelerator = "auto"
    devices: Annotated[int, Field(ge=1)] = 1
    jobs: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    workers: Annotated[int, Field(ge=0)] = 0
    data_root: LocalPath = Path("data")
    cache: LocalPath = DEFAULT_CACHE
    cache_limit_bytes: Annotated[int, BeforeValidator(_bytes), Field(ge=0)] = 4 << 30
    tracker: Tracker = "none"
    save_predictions: bool = False
    accumulate: Annotated[int, Field(ge=1)] = 1
    checkpoint_every: Annotated[float, BeforeValidator(_seconds), Field(ge=0)] = 300.0
    time_limit: Annotated[float, BeforeValidator(_seconds), Field(gt=0)] | None = None
    retries: Retries = Retries()

    def batch_per_device(self, batch_size: int) -> int:
        """What each device of a run takes of a global batch at once. Raises ValueError where it would not be whole."""
        if batch_size % (self.devices * self.accumulate):
            parts = f" in {self.accumulate} parts each" if self.accumulate > 1 else ""
            rule = f"Expected recipe.batch_size to be a multiple of {self.devices} devices{parts}, but got {batch_size}"
            raise ValueError(f"{rule}; the global batch size is part of the recipe and is never changed")
        return batch_size // (self.devices * self.accumulate)


def load_machine(path: Path | str | None = None, **overrides: Any) -> Machine:
    """The machine of `path` (machine.yaml; None: the defaults), changed by those overrides that are not None.

    Relative paths in the file start at its folder. Raises SpecError (a ValueError) that names every mistake at once:
    file, line, key, value, rule and the nearest valid key.
    """
    from cvbench.yamlfile import Document, SpecError, read_yaml

    document = read_yaml(Path(path)) if path is not None else Document("machine", {}, {})
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise SpecError([document.problem((), f"Expected keys such as `devices: 2`, but got {data!r}")])
    given = {key: value for key, value in overrides.items() if value is not None}
    for key in ("data_root", "cache"):
        if path is not None and isinstance(data.get(key), str):
            data[key] = str(Path(path).parent / Path(data[key]).expanduser())
    try:
        return Machine.model_validate(data | given)
    except ValidationError as error:
        problems = []
        for found in error.errors():
            key = str(found["loc"][0]) if found["loc"] else ""
            option = "--" + key.removesuffix("_bytes").replace("_", "-")
            source = Document(option, {}, {}) if key in given else document
            problems.append(source.problem(found["loc"], _explain(found)))
        raise SpecError(problems) from error


def _explain(error: Any) -> str:
    *above, key = map(str, error["loc"] or ("",))
    if error["type"] == "extra_forbidden":
        known = (Retries if above else Machine).model_fields
        close = difflib.get_close_matches(key, known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        return f"unknown key {key!r}; {remedy}"
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "Expected")
    return f"{key}: {message}" + ("" if "but got" in message else f", but got {error['input']!r}")

"""`Machine`: where runs happen. Read from machine.yaml and the command line; never part of a run's hash."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from cvbench.clusters import Ray, Slurm
from cvbench.spec import Frozen
from cvbench.units import as_bytes, as_seconds

DEFAULT_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cvbench"

Accelerator = Literal["auto", "cpu", "cuda", "mps"]
Tracker = Literal["none", "wandb", "tensorboard"]
Executor = Literal["local", "ray", "slurm"]
Strategy = Literal["ddp", "fsdp"]

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


class Share(NamedTuple):
    """A global batch on a machine: images of one backward pass on one device, and such passes to one step."""

    batch_per_device: int
    accumulate: int


class Machine(Frozen):
    """Devices, workers, caches, clusters.

    executor: who runs the runs: processes of this machine, a Ray cluster (`ray`), SLURM's queue (`slurm`).
    accelerator: `auto` takes CUDA, then Apple's MPS, then the CPU. devices: processes of one run on each node.
    nodes: machines that carry out each run together, `devices` processes on each. They start `cvbench run` under srun
    or torchrun, or one by one with their number `node_rank` (from 0) and one `rendezvous`, HOST:PORT of the first node
    that all can reach; the store lies on a disk that they share.
    strategy: how several processes share a training: `ddp`, each with the whole model; `fsdp`, each with a part of
    parameters, gradients and the optimiser's state, for models that would not fit.
    accumulate: backward passes to one optimiser step, at least; largest_batch_per_device: chosen so that no device gets
    more images at once. Neither changes the global batch size, which is the recipe's, nor the gradient, which stays
    that of the whole batch (see `cvbench.tasks.accumulation`).
    jobs: runs at once; absent: on a CPU as many as it has cores (at most 8, at most the runs of the plan), on GPUs as
    many as have `devices` each, on a cluster as many as it has room for, on several nodes 1. threads: of each process
    of a run; absent: cores / (jobs * devices), on a cluster 1. workers: decoding processes of one run, for data that
    are not cached.
    cache_limit_bytes: data sets whose decoded pixels fit below it are decoded once into a memory map under `cache`;
    in YAML and on the command line a size with its unit (`4GiB`) will do. save_predictions: keep the label maps of
    the test split as PNG files in the run's folder, for segmentation.
    checkpoint_every: seconds of training between two checkpoints that a killed run goes on from; 0: none are written.
    time_limit: seconds that one try of a run may take before it is ended; absent: any. Both take units, too (`5min`,
    `2h`). retries: what is tried again by itself.
    """

    executor: Executor = "local"
    ray: Annotated[Ray, Field(strict=False)] = Ray()
    slurm: Annotated[Slurm, Field(strict=False)] = Slurm()
    accelerator: Accelerator = "auto"
    devices: Annotated[int, Field(ge=1)] = 1
    nodes: Annotated[int, Field(ge=1)] = 1
    node_rank: Annotated[int, Field(ge=0)] | None = None
    rendezvous: Annotated[str, Field(pattern=r"^[^\s:]+:[0-9]{1,5}$")] | None = None
    strategy: Strategy = "ddp"
    accumulate: Annotated[int, Field(ge=1)] = 1
    largest_batch_per_device: Annotated[int, Field(ge=1)] | None = None
    jobs: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    workers: Annotated[int, Field(ge=0)] = 0
    data_root: LocalPath = Path("data")
    cache: LocalPath = DEFAULT_CACHE
    cache_limit_bytes: Annotated[int, BeforeValidator(as_bytes), Field(ge=0)] = 4 << 30
    tracker: Tracker = "none"
    save_predictions: bool = False
    checkpoint_every: Annotated[float, BeforeValidator(as_seconds), Field(ge=0)] = 300.0
    time_limit: Annotated[float, BeforeValidator(as_seconds), Field(gt=0)] | None = None
    retries: Annotated[Retries, Field(strict=False)] = Retries()

    @property
    def world(self) -> int:
        """Processes of one run, on all nodes."""
        return self.devices * self.nodes

    @property
    def queued(self) -> bool:
        """Whether runs go to a cluster, of whose nodes nothing is known here."""
        return self.executor == "slurm" or (self.executor == "ray" and self.ray.address is not None)

    @property
    def sharded(self) -> bool:
        """Whether each process holds only a part of a model in training."""
        return self.strategy == "fsdp" and self.world > 1

    def share(self, batch_size: int) -> Share:
        """How a global batch is divided, with as little accumulation as the machine allows.

        Raises ValueError where it cannot be divided evenly: every process and every backward pass gets as many images.
        """
        each, rest = divmod(batch_size, self.world)
        among = f"{self.world} devices" if self.nodes == 1 else f"{self.nodes} nodes x {self.devices} devices"
        remedy = "the global batch size is part of the recipe and is never changed"
        if rest:
            raise ValueError(f"Expected recipe.batch_size to be a multiple of {among}, but got {batch_size}; {remedy}")
        most = self.largest_batch_per_device or each
        for accumulate in range(self.accumulate, each + 1):
            if each % accumulate == 0 and each // accumulate <= most:
                return Share(each // accumulate, accumulate)
        raise ValueError(
            f"Expected recipe.batch_size to be at least {among} x {self.accumulate} accumulated passes, but got "
            f"{batch_size}; {remedy}"
        )

    def batch_per_device(self, batch_size: int) -> int:
        """Images that a device gets at once; see `share`."""
        return self.share(batch_size).batch_per_device


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
    where = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {"ray": Ray, "slurm": Slurm, "retries": Retries}
        shape = parts[str(error["loc"][0])] if len(error["loc"]) > 1 else Machine
        close = difflib.get_close_matches(str(error["loc"][-1]), shape.model_fields, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(shape.model_fields)}"
        return f"unknown key {where!r}; {remedy}"
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "Expected")
    message = re.sub(r"a valid dictionary or instance of \w+", "a mapping of keys", message)
    return f"{where}: {message}" + ("" if "but got" in message else f", but got {error['input']!r}")

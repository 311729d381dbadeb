"""Options and small habits that several verbs share."""

from __future__ import annotations

import fnmatch
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from pydantic_core import to_json
from rich.console import Console

from cvbench.machine import Accelerator, Executor, Machine, Strategy, Tracker, load_machine
from cvbench.units import parse_bytes
from cvbench.unread import tell

if TYPE_CHECKING:
    from cvbench.spec import RunSpec

DEFAULT_STORE = Path("runs")

Paths = Annotated[
    str, Parameter(name="PATH", help="Benchmark files, folders or shipped suites such as quick; and dotted.key=value.")
]
DataRoot = Annotated[
    Path | None, Parameter(name="--data-root", env_var="CVBENCH_DATA", help="Folder of the data packs [default: data].")
]
Store = Annotated[Path, Parameter(name="--store", help="Folder of runs, records and boards.")]
Only = Annotated[
    str | None,
    Parameter(name="--only", help="Runs whose DATASET/MODEL, BENCHMARK/DATASET/MODEL, name or run id fits this GLOB."),
]
Plugins = Annotated[
    bool, Parameter(name="--plugins", help="Run also code that is not cvbench's own, where the record names it.")
]
Json = Annotated[bool, Parameter(name="--json", help="Write JSON, and nothing else, to stdout.")]
MachineFile = Annotated[
    Path | None, Parameter(name="--machine", help="machine.yaml: devices, workers and caches of this machine.")
]


@Parameter(name="*")
@dataclass(frozen=True)
class MachineOptions:
    """Where runs happen. What is not given comes from machine.yaml, else from the defaults in `cvbench.machine`."""

    machine: MachineFile = None
    data_root: DataRoot = None
    executor: Annotated[
        Executor | None, Parameter(help="Who runs the runs: this machine, a Ray cluster, SLURM [default: local].")
    ] = None
    accelerator: Annotated[Accelerator | None, Parameter(help="Kind of device [default: auto].")] = None
    devices: Annotated[int | None, Parameter(help="Devices of one run, on each node [default: 1].")] = None
    nodes: Annotated[int | None, Parameter(help="Machines that carry out each run together [default: 1].")] = None
    node_rank: Annotated[
        int | None, Parameter(help="Which node this is, from 0; not needed under torchrun or srun.")
    ] = None
    rendezvous: Annotated[
        str | None, Parameter(help="HOST:PORT of node 0 where the nodes meet; not needed under torchrun or srun.")
    ] = None
    strategy: Annotated[
        Strategy | None, Parameter(help="ddp: each device has the whole model; fsdp: a part of it [default: ddp].")
    ] = None
    accumulate: Annotated[
        int | None, Parameter(help="Backward passes to one step, for less memory at the same batch size [default: 1].")
    ] = None
    largest_batch_per_device: Annotated[
        int | None, Parameter(help="Most images of one pass on one device; more are accumulated.")
    ] = None
    jobs: Annotated[int | None, Parameter(help="Runs at once [default: as many as there are cores, or GPUs for].")] = (
        None
    )
    threads: Annotated[int | None, Parameter(help="Threads of one run [default: cores / jobs].")] = None
    workers: Annotated[
        int | None, Parameter(help="Processes that decode images which are not cached [default: 0].")
    ] = None
    cache: Annotated[Path | None, Parameter(help="Folder of decoded datasets [default: ~/.cache/cvbench].")] = None
    cache_limit: Annotated[str | None, Parameter(help="Largest dataset to cache, such as 4GiB [default: 4GiB].")] = None
    save_predictions: Annotated[
        bool | None, Parameter(negative=(), help="Keep predicted label maps of the test split as PNG files.")
    ] = None
    checkpoint_every: Annotated[
        str | None, Parameter(help="Time between checkpoints that a killed run goes on from; 0: none [default: 5min].")
    ] = None
    time_limit: Annotated[str | None, Parameter(help="Longest time of a run, such as 2h [default: none].")] = None
    tracker: Annotated[Tracker | None, Parameter(help="Where to log as well [default: none].")] = None

    def load(self) -> Machine:
        """The machine that these options and machine.yaml describe. Raises SpecError."""
        return load_machine(
            self.machine,
            data_root=self.data_root,
            executor=self.executor,
            accelerator=self.accelerator,
            devices=self.devices,
            nodes=self.nodes,
            node_rank=self.node_rank,
            rendezvous=self.rendezvous,
            strategy=self.strategy,
            accumulate=self.accumulate,
            largest_batch_per_device=self.largest_batch_per_device,
            jobs=self.jobs,
            threads=self.threads,
            workers=self.workers,
            cache=self.cache,
            cache_limit_bytes=None if self.cache_limit is None else parse_bytes(self.cache_limit),
            checkpoint_every=self.checkpoint_every,
            time_limit=self.time_limit,
            tracker=self.tracker,
            save_predictions=self.save_predictions,
        )


def paths_and_overrides(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits positional arguments: `dotted.key=value` changes a benchmark, everything else names one."""
    overrides = [text for text in given if re.match(r"[A-Za-z_][\w./:-]*=", text) and not Path(text).exists()]
    return [text for text in given if text not in overrides], overrides


def key_values(given: Sequence[str], of: str) -> dict[str, Any]:
    """Options as `key=value`, values read as YAML reads them. of: what has these options, for the error."""
    from cvbench.yamlfile import parse_value

    pairs = [text.partition("=") for text in given]
    for key, equals, _ in pairs:
        if not equals:
            raise ValueError(f"Expected an option of {of} as key=value, but got {key!r}")
    return {key: parse_value(value) for key, _, value in pairs}


def select(planned: Sequence[RunSpec], only: str | None) -> list[RunSpec]:
    """The runs that GLOB names, see `--only`. Raises ValueError with the names there are when it fits none."""
    if only is None:
        return list(planned)
    chosen = [run for run in planned if fits(run, only)]
    if not chosen:
        known = sorted({_names(run)[0] for run in planned})
        shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
        raise ValueError(f"--only: Expected a GLOB that fits some run, but {only!r} fits none of: {shown}")
    return chosen


def fits(run: RunSpec, only: str | None, *, by_id: bool = True) -> bool:
    """Whether GLOB names this run. by_id: its run id is one of its names."""
    names = _names(run) if by_id else _names(run)[:-1]
    return only is None or any(fnmatch.fnmatchcase(name, only) for name in names)


def _names(run: RunSpec) -> tuple[str, ...]:
    name = f"{run.dataset.name}/{run.label or run.model.name}"
    return name, f"{run.benchmark}/{name}", run.name, run.run_id


class Output(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would end the process; `cli.main` knows what to do


def console() -> Console:
    """Stdout, coloured on terminals only (and never under NO_COLOR); lines of a file or pipe are not cut."""
    wide = not sys.stdout.isatty()
    return Output(file=sys.stdout, width=240 if wide else None, highlight=False, soft_wrap=wide)


def print_json(value: Any) -> None:
    """The one thing that `--json` writes to stdout."""
    # Python's own encoder is in Python as soon as it indents: a second for a plan of 4,000 runs.
    print(to_json(value, indent=1, fallback=str).decode())


def say(message: str, *, quiet: bool = False) -> None:
    """Something for people to know, which is not the result: to stderr."""
    if not quiet:
        tell(message)

"""`cvbench try`: somebody's model on tiny data of its task."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import Json

STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow"}


def try_(
    model: Annotated[str, Parameter(help="package.module:build, or any name that a benchmark may give a model.")],
    /,
    *given: Annotated[str, Parameter(help="Options of the model as key=value, such as width=16.")],
    task: Annotated[
        str | None, Parameter(help="Of what it is a model [default: what it serves, else classification].")
    ] = None,
    input_size: Annotated[
        tuple[int, int] | None, Parameter(help="Height and width of the images [default: 64 96].")
    ] = (None),
    quick: Annotated[bool, Parameter(help="Without what starts other processes.")] = False,
    json: Json = False,
) -> int:
    """Try a model: build it, train a step, save and load it, and hold what it returns against its task's contract.

    Runs the model's own code. Downloads nothing unless that does.
    """
    from cvbench.commands.model_names import checked_size, named_models

    asked, *more = named_models([model, *given], task)
    if more:
        raise ValueError(f"Expected options of {model} as key=value, but got {more[0].label!r}")
    size = checked_size(input_size)
    from cvbench.data.streets import SMALLEST

    if size is not None and min(size) < SMALLEST:
        raise ValueError(
            f"--input-size: Expected a height and width of at least {SMALLEST}, but got {size[0]} {size[1]}"
        )
    from cvbench.trial import SIZE, try_model

    size, found = size or SIZE, []
    if not json:
        print(f"{asked.label}, {asked.task}, images of {'x'.join(map(str, size))}")
    for check in try_model(asked.ref, asked.task, size=size, quick=quick):
        found.append(check)
        if not json:
            told = f"{check.told}: {check.remedy}" if check.remedy else check.told
            line = f"{check.state:<8} {check.name:<26} {told}".rstrip()
            options.console().print(line, style=STYLES[check.state], markup=False)
    if json:
        checks = [dataclasses.asdict(check) for check in found]
        options.print_json({"model": asked.label, "task": asked.task, "input_size": size, "checks": checks})
    else:
        counts = (f"{sum(check.state == state for check in found)} {state}" for state in STYLES)
        print(", ".join(counts))
    return 1 if any(check.state == "failed" for check in found) else 0

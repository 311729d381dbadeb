"""`cvbench new`: asks for task and images, and writes a benchmark for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cvbench.commands import options


def new(
    *,
    task: Annotated[str | None, Parameter(help="classification, segmentation, detection or captioning.")] = None,
    images: Annotated[
        Path | None,
        Parameter(
            help="Folder of class folders; of images/ and masks/; of images/ and boxes; or of images and captions."
        ),
    ] = None,
    out: Annotated[Path | None, Parameter(help="The YAML file to write.")] = None,
    overwrite: Annotated[bool, Parameter(help="Replace OUT where it is there, without asking.")] = False,
) -> int:
    """Write a commented benchmark for your own images. Asks for what the options do not say."""
    from cvbench import new as benchmark

    known = list(benchmark.OWN_DATA)
    task = task or _ask(f"Task ({', '.join(known[:-1])} or {known[-1]})", "--task")
    if task not in known:
        from cvbench.catalog import nearest

        raise ValueError(f"--task: Expected one of {', '.join(known)}, but got {task!r}{nearest(task, known)}")
    images = images or Path(_ask("Folder of the images", "--images")).expanduser()
    found = benchmark.look(task, images)
    splits = ", ".join(f"{role} {count}" for role, count in found.splits.items())
    classes = f"{len(found.classes)} classes; " if found.classes else ""
    options.say(f"{images}: {classes}{splits}")
    default = Path("benchmarks") / f"{images.resolve().name}.yaml"
    out = out or Path(_ask("Write to", "--out", default=str(default))).expanduser()
    if out.is_dir():
        raise ValueError(f"{out}: is a folder; name the YAML file to write")
    if out.exists() and not overwrite:
        answer = _ask(f"{out} is there already. Replace it? (y/N)", "--overwrite", default="n")
        if answer.lower() not in ("y", "yes"):
            raise ValueError(f"{out}: left as it was; name another file with --out, or give --overwrite")
    benchmark.write(task, found, out, replace=out.exists())
    print(f"Wrote {out}. Next: cvbench plan {out}")
    return 0


def _ask(question: str, option: str, default: str = "") -> str:
    """One line from stdin. Raises ValueError where nobody answers, naming the option that would have."""
    shown = f"{question} [{default}]: " if default else f"{question}: "
    print(shown, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        print(file=sys.stderr)
        raise ValueError(f"nobody answered; give {option}")
    answer = line.strip() or default
    if not answer:
        raise ValueError(f"{question}: Expected an answer, but got an empty line; give it, or use {option}")
    return answer

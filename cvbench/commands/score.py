"""`cvbench score`: predictions that were made elsewhere, against the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import Json

# Per-class metric -> when a class has no value; as `metrics/<task>.py: per_class` defines them.
_UNDEFINED = {
    "accuracy": "not in the truth",
    "iou": "in neither truth nor predictions",
    **dict.fromkeys(("ap", "ap_50", "voc07_ap", "voc_ap"), "no truth box that counts"),
}


def score(
    task: Annotated[str, Parameter(help="captioning, classification, detection or segmentation.")],
    /,
    *,
    truth: Annotated[
        Path, Parameter(help="CSV id,label; COCO instances.json or captions.json; or a folder of label PNGs.")
    ],
    predictions: Annotated[
        Path,
        Parameter(help="CSV id,label[,p_0,p_1…]; COCO results.json; or a folder of label PNGs with equal names."),
    ],
    classes: Annotated[
        str | None,
        Parameter(
            help="classification: class names in order, comma separated; segmentation: how many; give it where the "
            "truth may lack the last classes, or predictions of these count as no class at all."
        ),
    ] = None,
    ignore: Annotated[int | None, Parameter(help="segmentation: the label that never counts [default: 255].")] = None,
    train: Annotated[
        Path | None, Parameter(help="captioning: captions.json of what the model was trained on, for `novel`.")
    ] = None,
    json: Json = False,
) -> int:
    """Score somebody's predictions against the truth."""
    from cvbench.scoring.by_name import scoring_of

    score_files: Callable[..., dict[str, Any]] = scoring_of(task).score_files
    given = {"classes": classes, "ignore": ignore, "train": train}
    result = score_files(truth, predictions, **_taken(task, score_files, given))
    if json:
        options.print_json(result)
    else:
        _show(result)
    return 0


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",")]


def _count(given: str) -> int:
    if not given.isdecimal():
        raise ValueError(f"--classes: Expected the number of classes, but got {given!r}")
    return int(given)


# Parameter of a `score_files` -> the option that gives it, and how.
_TAKEN_FROM: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "classes": ("classes", _names),
    "num_classes": ("classes", _count),
    "ignore_index": ("ignore", int),
    "train": ("train", Path),
}


def _taken(task: str, score_files: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options on the command line as the task's parameters. Raises ValueError for one that it does not have."""
    wanted = {name: _TAKEN_FROM[name] for name in signature(score_files).parameters if name in _TAKEN_FROM}
    told = {name for name, value in given.items() if value is not None}
    extra = sorted(told - {option for option, _ in wanted.values()})
    if extra:
        has = ", ".join(f"--{option}" for option, _ in wanted.values()) or "no options"
        raise ValueError(f"--{extra[0]}: Expected an option of {task}, which has {has}; leave it out")
    return {name: read(given[option]) for name, (option, read) in wanted.items() if option in told}


def _headline(result: dict[str, Any]) -> str:
    if "classes" in result:
        return f"{result['task']}, {result['samples']} samples, {len(result['classes'])} classes"
    return f"{result['task']}, {result['samples']} images, {result['references']} references"


def _show(result: dict[str, Any]) -> None:
    print(_headline(result))
    width = max(map(len, [*result["metrics"], *result["absent"]]), default=0)
    for name, value in result["metrics"].items():
        print(f"  {name:<{width}}  {value:.6f}")
    for name, reason in result["absent"].items():
        print(f"  {name:<{width}}  — {reason}")
    for metric, values in result["per_class"].items():
        print(f"{metric} per class")
        longest = max(map(len, values), default=0)
        for name, value in values.items():
            shown = f"— {_UNDEFINED.get(metric, 'not defined')}" if value is None else f"{value:.6f}"
            print(f"  {name:<{longest}}  {shown}")

"""`cvbench score`: predictions that were made elsewhere, against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import Json

# Per-class metric -> when a class has no value; as `metrics/<task>.py: per_class` defines them.
_UNDEFINED = {"accuracy": "not in the truth", "iou": "in neither truth nor predictions"}


def score(
    task: Annotated[str, Parameter(help="classification or segmentation.")],
    /,
    *,
    truth: Annotated[Path, Parameter(help="CSV id,label; or a folder of label PNGs.")],
    predictions: Annotated[
        Path, Parameter(help="CSV id,label[,p_0,p_1…]; or a folder of label PNGs with equal names.")
    ],
    classes: Annotated[
        str | None,
        Parameter(
            help="classification: class names in order, comma separated; segmentation: how many; give it where the "
            "truth may lack the last classes, or predictions of these count as no class at all."
        ),
    ] = None,
    ignore: Annotated[int | None, Parameter(help="segmentation: the label that never counts [default: 255].")] = None,
    json: Json = False,
) -> int:
    """Score somebody's predictions against the truth."""
    from cvbench import catalog
    from cvbench.scoring import SCORERS

    if task not in SCORERS:
        raise ValueError(f"Expected a task that can be scored, but got {task!r}{catalog.nearest(task, SCORERS)}")
    result = SCORERS[task](truth, predictions, **_extra(task, classes, ignore))
    if json:
        options.print_json(result)
    else:
        _show(result)
    return 0


def _extra(task: str, classes: str | None, ignore: int | None) -> dict[str, Any]:
    if task == "classification":
        if ignore is not None:
            raise ValueError("--ignore is for segmentation: every row of a classification CSV counts")
        return {} if classes is None else {"classes": [name.strip() for name in classes.split(",")]}
    extra: dict[str, Any] = {} if ignore is None else {"ignore_index": ignore}
    if classes is not None:
        if not classes.isdecimal():
            raise ValueError(f"--classes: Expected the number of classes of {task}, but got {classes!r}")
        extra["num_classes"] = int(classes)
    return extra


def _show(result: dict[str, Any]) -> None:
    print(f"{result['task']}, {result['samples']} samples, {len(result['classes'])} classes")
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

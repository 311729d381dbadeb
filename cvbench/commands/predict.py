"""`cvbench predict`: let a finished run's model look at images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import Json, Plugins

DEFAULT_OUT = Path("predictions")


def predict(
    run: Annotated[Path, Parameter(help="Folder of a finished run: STORE/DATASET/MODEL/RUN_ID.")],
    /,
    *images: Annotated[Path, Parameter(help="Image files.")],
    out: Annotated[Path, Parameter(help="Folder for what is drawn, and for predictions.json.")] = DEFAULT_OUT,
    plugins: Plugins = False,
    json: Json = False,
) -> int:
    """Let a finished run's model look at images: top-5 classes, coloured masks, boxes, or captions."""
    if not images:
        raise ValueError("name at least one image")
    from cvbench.predict import predict as look

    found = look(run, images, out, plugins=plugins)
    if json:
        options.print_json(found)
        return 0
    for facts in found:
        print(_line(facts))
    print(f"Drawn into {out.resolve()}")
    return 0


def _line(facts: dict[str, Any]) -> str:
    """`a.png: cat 93.1 %, dog 4.0 %` or `a.png: car 0.93, car 0.71`: the surest first, whatever the task calls them."""
    told = [_told(key, value) for key, value in facts.items() if key != "image"]
    return f"{facts['image']}: {'; '.join(told)}"


def _told(key: str, value: Any) -> str:
    if isinstance(value, dict):  # shares of classes
        largest = sorted(value.items(), key=lambda item: -item[1])
        value = [{"label": name, "probability": share} for name, share in largest]
    if not isinstance(value, list):
        return f"{key} {value}"
    shown = [
        f"{item['label']} {100 * item['probability']:.1f} %" if "probability" in item
        else f"{item['label']} {item['score']:.2f}"
        for item in value[:5]
    ]  # fmt: skip
    more = [f"and {len(value) - 5} more {key}"] if len(value) > 5 and key == "boxes" else []
    return ", ".join(shown + more) or f"no {key}"

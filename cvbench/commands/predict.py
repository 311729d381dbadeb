"""`cvbench predict`: let a finished run's model look at images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import Json

DEFAULT_OUT = Path("predictions")


def predict(
    run: Annotated[Path, Parameter(help="Folder of a finished run: STORE/DATASET/MODEL/RUN_ID.")],
    /,
    *images: Annotated[Path, Parameter(help="Image files.")],
    out: Annotated[Path, Parameter(help="Folder for what is drawn, and for predictions.json.")] = DEFAULT_OUT,
    json: Json = False,
) -> int:
    """Let a finished run's model look at images: top-5 classes, or coloured masks beside the image."""
    if not images:
        raise ValueError("name at least one image")
    from cvbench.predict import predict as look

    found = look(run, images, out)
    if json:
        options.print_json(found)
        return 0
    for facts in found:
        print(_line(facts))
    print(f"Drawn into {out.resolve()}")
    return 0


def _line(facts: dict[str, Any]) -> str:
    """`a.png: cat 93.1 %, dog 4.0 %`: shares and probabilities, largest first, whatever the task calls them."""
    told = []
    for key, value in facts.items():
        if isinstance(value, list):
            value = {item["label"]: item["probability"] for item in value if {"label", "probability"} <= item.keys()}
        if isinstance(value, dict):
            largest = sorted(value.items(), key=lambda item: -item[1])[:5]
            told.append(", ".join(f"{name} {100 * share:.1f} %" for name, share in largest))
        elif key != "image":
            told.append(f"{key} {value}")
    return f"{facts['image']}: {'; '.join(told)}"

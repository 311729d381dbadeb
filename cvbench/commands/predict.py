"""`cvbench predict`: let a finished run's model look at images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import Json


def predict(
    run: Annotated[Path, Parameter(help="Folder of a finished run: STORE/DATASET/MODEL/RUN_ID.")],
    images: Annotated[list[Path], Parameter(help="Image files.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Folder for what is drawn: coloured masks beside the images.")] = None,
    json: Json = False,
) -> int:
    """Let a finished run's model look at images: top-5 classes, or coloured masks beside the image."""
    from cvbench.predict import predict as look

    results = look(run, images, out)
    if json:
        options.print_json(results)
        return 0
    for result in results:
        print(result if isinstance(result, str) else _line(result))
    if out is not None:
        print(f"Drawn into {out.resolve()}")
    return 0


def _line(result: object) -> str:
    return str(result)

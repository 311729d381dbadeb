"""`cvbench export`: a finished run's evidence in the files that others score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import Json


def export(
    run: Annotated[Path, Parameter(help="Folder of a finished run: STORE/DATASET/MODEL/RUN_ID.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder for the files.")],
    json: Json = False,
) -> int:
    """Write a finished run's predictions and truth as files: in COCO's JSON, for detection and captioning."""
    from cvbench.export import export as write

    written = [str(path) for path in write(run, out)]
    if json:
        options.print_json(written)
    else:
        print("\n".join(written))
    return 0

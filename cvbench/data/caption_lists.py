"""Lists of the images that belong to a split, held against the captions and the images that are there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from cvbench.data.base import DataError
from cvbench.data.box_files import contained, stem
from cvbench.data.caption_entries import Captions, read_lines
from cvbench.data.caption_files import CaptionFiles

# The role of a split; None: all images, where nothing splits them.
R = TypeVar("R", bound=str | None)


def read_list(path: Path, ending: str = "") -> list[str]:
    """The images that a list names, one a line; `ending` (".jpg") is put to each.

    Raises:
        DataError: bytes that are no UTF-8, an image twice, or a name that leaves the folder.
    """
    lines: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name = contained(line.strip() + ending, f"{path}:{number}")
        if name in lines:
            raise DataError(f"{path}:{number}: line {lines[name]} has {name} already; remove one of them")
        lines[name] = number
    return list(lines)


def check_captioned(named: Mapping[R, Sequence[str]], captions: Captions, source: Path) -> None:
    """Raises DataError for an image of a split without captions. source: where they were looked for."""
    for role, names in named.items():
        if lacking := [name for name in names if name not in captions]:
            raise DataError(
                f"{source}: expected one caption or more of {lacking[0]}, which is named for {role}, but it has none"
                f"{_more(lacking)}; write one, or remove the image from its split"
            )


def check_there(names: Sequence[str], there: Collection[str], folder: Path, source: Path, remedy: str) -> None:
    """Raises DataError for images that are not in `folder`. source: what names them. remedy: half a sentence."""
    if absent := [name for name in names if name not in there]:
        shown = ", ".join(absent[:3]) + (", …" if len(absent) > 3 else "")
        raise DataError(
            f"{source}: names {len(names):,} images, but {len(absent):,} of them are not in {folder}, such as {shown}; "
            f"{remedy}"
        )


def check_known(captions: Captions, there: Collection[str], folder: Path, source: Path) -> None:
    """Raises DataError for captions of images that are not in `folder`; after `check_there`, which counts those of the
    splits.
    """
    if unknown := [name for name in captions if name not in there]:
        raise DataError(
            f"{source}: has captions of {unknown[0]}, but there is no such image in {folder}, nor in any split"
            f"{_more(unknown)}; correct the name, unpack the images again, or remove the captions"
        )


def _more(names: Sequence[str]) -> str:
    """How many there are besides the first, in words."""
    return f" (and {len(names) - 1:,} more)" if len(names) > 1 else ""


def in_roles(named: Mapping[R, Sequence[str]], folder: Path, captions: Captions) -> dict[R, CaptionFiles]:
    """The splits of these images; an id is the file's name without its ending."""
    return {
        role: CaptionFiles(folder, names, [stem(name) for name in names], [captions[name] for name in names])
        for role, names in named.items()
    }

"""Reading Ultralytics' label files: one text file an image, a line a box."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvbench.data.base import DataError
from cvbench.data.boxes import Boxes
from cvbench.yamlfile import SpecError, read_yaml


def read_labels(path: Path, num_classes: int) -> Boxes:
    """The boxes of one image: lines `class cx cy width height`, the last four shares of the image's width and height.

    xywh are left, top, width, height, in the same shares. A file that is not there, or empty: no boxes.

    Raises:
        DataError: a line of other than five numbers, a class without a name, or a share outside 0..1.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        return Boxes.none()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a text file with one box a line, but it cannot be read ({error})") from None
    rows = [_row(line, f"{path}:{number}", num_classes) for number, line in enumerate(lines, 1) if line.strip()]
    table = np.array(rows, np.float64).reshape(-1, 5)
    sides = table[:, 3:]
    return Boxes.of(np.concatenate([table[:, 1:3] - sides / 2, sides], axis=1), table[:, 0].astype(np.int64))


def _row(line: str, where: str, num_classes: int) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in line.split())
    except ValueError:
        values = ()
    if len(values) != 5:
        kind = " (more are polygons, which are not boxes)" if len(values) > 6 else ""
        raise DataError(
            f"{where}: expected five numbers `class cx cy width height`, but got {line.strip()[:80]!r}{kind}; correct "
            "the line, or export boxes"
        )
    label, *shares = values
    if not (label.is_integer() and 0 <= label < num_classes):
        raise DataError(
            f"{where}: expected a class from 0 to {num_classes - 1}, as there are {num_classes} names, but got "
            f"{line.split()[0]}; correct the line, or the list of names"
        )
    if not all(0 <= share <= 1 for share in shares):  # NaN is not either
        wrong = next(share for share in shares if not 0 <= share <= 1)
        raise DataError(
            f"{where}: expected cx cy width height as shares of the image, 0 to 1, but got {wrong:g}; divide pixels by "
            "the image's width and height"
        )
    return values


def names_in_yaml(path: Path) -> tuple[str, ...] | None:
    """`names` of a data.yaml, a list or a mapping from 0, 1, 2 …; None where the file has no such key.

    Raises:
        DataError: the file is no plain YAML, or its names are neither.
    """
    try:
        data: Any = read_yaml(path).data
    except SpecError as error:
        raise DataError(f"{error}; correct the file, or set the option `classes`") from None
    names = data.get("names") if isinstance(data, dict) else None
    if names is None:
        return None
    if isinstance(names, dict):
        wanted = [str(number) for number in range(len(names))]
        names = [names[key] for key in wanted] if set(names) == set(wanted) else None
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise DataError(f"{path}: expected `names` as a list, or as a mapping from 0, 1, 2 …; correct the file")
    return tuple(str(name) for name in names)


def checked_names(names: Sequence[str], source: str) -> tuple[str, ...]:
    """Raises DataError where there is no name, or one twice."""
    if not names or len(set(names)) < len(names):
        raise DataError(f"{source}: expected one class name or more, each once, but got {', '.join(names) or 'none'}")
    return tuple(names)

"""Which files are to be checked, and the reading of one."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from cvbench.record import Record, read_record

RECORD = "record.json"
# A record of a thousand classes with a dozen metrics of each has half a megabyte.
MOST_BYTES = 16 << 20


def record_files(given: Sequence[str]) -> list[Path]:
    """The files that these files, folders (all record.json below) and globs name, each once, sorted for each of them.

    Raises ValueError for one that names none.
    """
    found: dict[Path, None] = {}
    for one in given:
        path = Path(one)
        if path.is_dir():
            files = sorted(path.rglob(RECORD))
        elif path.is_symlink() or path.exists():
            files = [path]
        else:
            files = [Path(name) for name in sorted(glob.glob(one, recursive=True)) if not Path(name).is_dir()]
        if not files:
            raise ValueError(f"{one}: Expected a {RECORD}, a folder with some below it, or a glob that fits some")
        found |= dict.fromkeys(files)
    return list(found)


def read_checked(path: Path) -> Record:
    """A stranger's record. Raises ValueError for a link, a file that is too large, and as `read_record`."""
    if path.is_symlink() or not path.is_file():
        raise ValueError("Expected a file, but got a link or something else")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"Expected at most {MOST_BYTES >> 20} MiB, but got {path.stat().st_size} bytes")
    try:
        return read_record(path)
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{path}: ")) from None

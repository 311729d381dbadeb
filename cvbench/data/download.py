"""Fetches what may be fetched, by checksum: `cvbench data fetch NAME`.

A dataset's own file says where its data come from, as literals: `FILES` (URL -> "sha256:…" or "md5:…") and `FOLDER`
(where they belong below the data root; archives are unpacked there). A dataset without `FILES` needs no download, or
its licence does not allow one: then its `build` says how to get it.
"""

from __future__ import annotations

import difflib
import importlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

from cvbench.data.archive import unpack
from cvbench.data.base import DataError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
TIMEOUT_SECONDS = 60

# (file name, bytes so far, bytes in all or 0 where the server does not say)
Progress = Callable[[str, int, int], None]


def fetch(name: str, root: Path, progress: Progress | None = None) -> list[Path]:
    """Downloads the dataset `name` below `root`; what is there already with the right checksum is left alone.

    Files are checked before they take their place. One that stood there with another content is kept beside the new
    one, as NAME.replaced. An archive is deleted after unpacking, and not fetched while the dataset builds without it.

    Returns:
        The files written; for an archive the folder it was unpacked in. Empty: everything was there.

    Raises:
        ValueError: no such dataset.
        DataError: it may not be fetched and is not there (the text says how to get it), the download failed, or its
            checksum is wrong: then nothing was changed.
    """
    module = _module(name)
    files: dict[str, str] | None = getattr(module, "FILES", None)
    if not files:
        module.build(root)  # says what is missing and how to get it; complete, or generated: nothing to do
        return []
    folder = root / getattr(module, "FOLDER", ".")
    written = []
    for url, checksum in files.items():
        target = folder / Path(urlparse(url).path).name
        if target.name.endswith(ARCHIVES):
            if not _builds(module, root):
                _fetch_archive(url, checksum, folder, progress)
                written.append(folder)
        elif not (target.exists() and _matches(target, checksum)):
            with _workspace(folder) as temporary:
                fresh = _download(url, checksum, Path(temporary), target, progress)
                if target.exists():
                    os.replace(target, target.with_name(f"{target.name}.replaced"))
                os.replace(fresh, target)
            written.append(target)
    return written


def _fetch_archive(url: str, checksum: str, folder: Path, progress: Progress | None) -> None:
    with _workspace(folder) as temporary:
        target = folder / Path(urlparse(url).path).name
        if target.exists() and _matches(target, checksum):  # put there by hand
            unpack(target, folder)
        else:
            unpack(_download(url, checksum, Path(temporary), target, progress), folder)


def _workspace(folder: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error}); give another data root with --data-root") from error


def _download(url: str, checksum: str, folder: Path, target: Path, progress: Progress | None) -> Path:
    import pooch  # imports requests: only for downloads

    pooch.get_logger().setLevel("ERROR")
    bar: Any = _Bar(target.name, progress) if progress else False
    try:
        downloader = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT_SECONDS)
        fresh = Path(pooch.retrieve(url, known_hash=None, fname=target.name, path=folder, downloader=downloader))
    except Exception as error:  # requests, urllib3 and the socket each have their own
        raise DataError(
            f"{url}: could not be downloaded ({error}). Check the network, or get it by hand and put it at {target}"
        ) from error
    if not _matches(fresh, checksum):
        raise DataError(
            f"{url}: expected {checksum}, but what came is {_hash(fresh, checksum)} ({fresh.stat().st_size} bytes): "
            "damaged on the way, or changed at the source. It was deleted and nothing else was touched; try again, or "
            f"get it from the dataset's own site and put it at {target}"
        )
    return fresh


def _matches(path: Path, checksum: str) -> bool:
    return _hash(path, checksum) == checksum


def _hash(path: Path, like: str) -> str:
    from hashlib import file_digest

    algorithm = like.partition(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{file_digest(file, algorithm).hexdigest()}"


def _builds(module: ModuleType, root: Path) -> bool:
    try:
        module.build(root)
    except DataError:
        return False
    return True


def _module(name: str) -> ModuleType:
    """The dataset's own file. Only files of this package that have a `build` count."""
    files = Path(__file__).parent.glob("*.py")
    names = sorted(path.stem for path in files if "\ndef build(" in path.read_text("utf-8"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        guess = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"Expected a dataset, one of {', '.join(names)}, but got {name!r}.{guess}")
    return importlib.import_module(f"cvbench.data.{name}")


class _Bar:
    """What pooch asks of a progress bar, passed on as plain numbers."""

    total = 0

    def __init__(self, name: str, progress: Progress) -> None:
        self.name, self.progress, self.done = name, progress, 0

    def update(self, count: int) -> None:
        # pooch resets at the end and then adds the whole size once more
        self.done = min(self.done + count, self.total) if self.total else self.done + count
        self.progress(self.name, self.done, self.total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass

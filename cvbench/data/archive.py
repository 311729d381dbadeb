"""Unpacks downloaded archives without trusting them."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from cvbench.data.base import DataError

LIMIT_BYTES = 64 * 2**30  # unpacked; the largest archive that we fetch is far below


def unpack(archive: Path | str, folder: Path | str, limit_bytes: int = LIMIT_BYTES) -> None:
    """Unpacks a tar (any compression) or zip archive into `folder`; all of it or nothing.

    Only plain files and folders are accepted, with relative names that stay inside. Permissions and owners are ignored.
    Members are written beside their final place first, so that an archive that turns out bad leaves nothing behind.

    Raises:
        DataError: a member's name is absolute or climbs out with `..`, a member is a link or a device, the content
            exceeds `limit_bytes`, or the archive is damaged or of another kind.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as temporary:
        written = 0
        try:
            for name, size, content in _members(Path(archive)):
                written += size
                if written > limit_bytes:
                    raise DataError(f"{archive}: unpacks to more than {limit_bytes} bytes; nothing was unpacked")
                target = Path(temporary, _checked(archive, name))
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(target, "wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
        except DataError:
            raise
        except Exception as error:  # damaged bytes raise TarError, BadZipFile, zlib.error, LZMAError, EOFError, …
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise DataError(f"{archive}: cannot be unpacked ({reason}); delete it and fetch it again") from error
        for source in (path for path in Path(temporary).rglob("*") if path.is_file()):
            target = folder / source.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(name, size, open content) of each plain file; folders are passed over, anything else is refused."""
    if zipfile.is_zipfile(archive) and not tarfile.is_tarfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                kind = entry.external_attr >> 16 & 0o170000  # the Unix file type, 0 where the packer wrote none
                if kind not in (0, 0o100000, 0o040000):
                    raise DataError(f"{archive}: member {entry.filename!r} is a link or a device; nothing was unpacked")
                if not entry.is_dir():
                    with zipped.open(entry) as stream:
                        yield entry.filename, entry.file_size, stream
    else:
        with tarfile.open(archive) as tarred:
            for member in tarred:
                if member.isdir():
                    continue
                content = tarred.extractfile(member) if member.isreg() else None
                if content is None:
                    raise DataError(f"{archive}: member {member.name!r} is a link or a device; nothing was unpacked")
                yield member.name, member.size, content


def _checked(archive: Path | str, name: str) -> PurePosixPath:
    """The member's path, refused where it is absolute (on any system) or has `..` in it."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts or "\0" in name or not path.parts:
        raise DataError(
            f"{archive}: member {name!r} would be written outside the data folder; nothing was unpacked. "
            "Do not use this archive: get it from the dataset's own site."
        )
    return path

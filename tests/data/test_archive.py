from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from cvbench.data.archive import unpack
from cvbench.data.base import DataError


def tar(path: Path, *members: tuple[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            if isinstance(content, bytes):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                content.name = name
                archive.addfile(content)
    return path


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def zipped(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar(tmp_path: Path, mode: str):
    archive = tar(tmp_path / "a.tar", ("d", special(tarfile.DIRTYPE)), ("d/x", b"1"), ("./d/e/y", b"22"), mode=mode)
    unpack(archive, tmp_path / "out")
    assert everything(tmp_path / "out") == {"d/x": b"1", "d/e/y": b"22"}


def test_zip(tmp_path: Path):
    unpack(zipped(tmp_path / "a.zip", ("d/", b""), ("d/x", b"1"), ("y", b"22")), tmp_path / "out")
    assert everything(tmp_path / "out") == {"d/x": b"1", "y": b"22"}


def test_what_was_there_stays_and_is_replaced_by_name(tmp_path: Path):
    (tmp_path / "out" / "d").mkdir(parents=True)
    (tmp_path / "out" / "d" / "x").write_bytes(b"old")
    (tmp_path / "out" / "d" / "other").write_bytes(b"mine")
    unpack(tar(tmp_path / "a.tgz", ("d/x", b"new")), tmp_path / "out")
    assert everything(tmp_path / "out") == {"d/x": b"new", "d/other": b"mine"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["d"]  # no temporary folder left


BAD_NAMES = ["../evil", "/evil", "d/../../evil", "..\\evil", "C:\\evil", "C:evil", "\\evil"]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("make", [tar, zipped])
def test_names_that_climb_out(tmp_path: Path, name: str, make):
    archive = make(tmp_path / "a.bin", ("good", b"1"), (name, b"boo"))
    with pytest.raises(DataError, match=r"a\.bin: member .* would be written outside the data folder"):
        unpack(archive, tmp_path / "in" / "out")
    assert everything(tmp_path) == {"a.bin": archive.read_bytes()}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_in_tar(tmp_path: Path, kind: bytes):
    archive = tar(tmp_path / "a.tgz", ("link", special(kind, "/etc")), ("link/passwd", b"boo"))
    with pytest.raises(DataError, match="'link' is a link or a device"):
        unpack(archive, tmp_path / "out")
    assert everything(tmp_path / "out") == {}


def test_link_in_zip(tmp_path: Path):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="'link' is a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("make", [tar, zipped])
def test_too_large(tmp_path: Path, make):
    archive = make(tmp_path / "a.bin", ("x", b"0" * 600), ("y", b"0" * 600))
    with pytest.raises(DataError, match="unpacks to more than 1000 bytes"):
        unpack(archive, tmp_path / "out", limit_bytes=1000)
    assert everything(tmp_path / "out") == {}
    unpack(archive, tmp_path / "out", limit_bytes=1200)


@pytest.mark.parametrize("make", [tar, zipped])
def test_truncated(tmp_path: Path, make):
    import random

    archive = make(tmp_path / "a.bin", ("x", random.Random(0).randbytes(5000)), ("y", b"1"))
    archive.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"a\.bin: cannot be unpacked .* fetch it again"):
        unpack(archive, tmp_path / "out")
    assert everything(tmp_path / "out") == {}


def test_no_archive(tmp_path: Path):
    (tmp_path / "a.zip").write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(tmp_path / "a.zip", tmp_path / "out")

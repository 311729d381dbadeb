from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cvbench.data.base import DataError
from cvbench.data.revision import revision, revision_of


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "2.png").write_bytes(b"12345")
    (tmp_path / "a" / "10.png").write_bytes(b"123")
    (tmp_path / "list.txt").write_bytes(b"2\n10\n")
    return tmp_path


def test_equals_the_definition(pack: Path):
    lines = b"a/10.png\t3\na/2.png\t5\n" + b"list.txt\n" + hashlib.sha256(b"2\n10\n").hexdigest().encode() + b"\n"
    expected = hashlib.sha256(lines).hexdigest()[:12]
    assert revision(pack, ["a/2.png", "a/10.png"], ["list.txt"]) == expected
    assert revision_of({"a/2.png": 5, "a/10.png": 3}, {"list.txt": hashlib.sha256(b"2\n10\n").hexdigest()}) == expected


def test_order_kind_of_path_and_place_do_not_matter(pack: Path, tmp_path_factory: pytest.TempPathFactory):
    first = revision(pack, ["a/2.png", "a/10.png"], ["list.txt"])
    assert revision(str(pack), [pack / "a" / "10.png", "a/2.png", "a/2.png"], [pack / "list.txt"]) == first
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "moved"
    pack.rename(elsewhere)
    assert revision(elsewhere, ["a/2.png", "a/10.png"], ["list.txt"]) == first


def test_what_changes_it(pack: Path):
    def now() -> str:
        return revision(pack, ["a/2.png", "a/10.png"], ["list.txt"])

    first = now()
    (pack / "list.txt").write_bytes(b"10\n2\n")
    relabelled = now()
    (pack / "a" / "2.png").write_bytes(b"123456")
    assert len({first, relabelled, now()}) == 3
    assert revision(pack, ["a/2.png"], ["list.txt"]) != now()


def test_pixels_are_not_read(pack: Path):
    first = revision(pack, ["a/2.png"])
    (pack / "a" / "2.png").write_bytes(b"54321")
    assert revision(pack, ["a/2.png"]) == first


@pytest.mark.parametrize("arguments", [(["a/3.png"], []), ([], ["a/3.png"])])
def test_missing_file_is_named(pack: Path, arguments: tuple[list[str], list[str]]):
    with pytest.raises(DataError, match=r"a/3\.png: no such file"):
        revision(pack, *arguments)

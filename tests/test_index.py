"""The index of a store: it remembers, notices every change, and is never in anybody's way."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cvbench import index as module
from cvbench.index import FILE, Index
from tests.stores import settle

REPOSITORY = Path(__file__).resolve().parents[1]


class Reader:
    """Reads a file and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, path: Path) -> bytes:
        self.times += 1
        return path.read_bytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a" / "record.json"
    path.parent.mkdir()
    path.write_bytes(b"one")
    settle(tmp_path)
    return path


def read(root: Path | None, path: Path) -> tuple[bytes, int]:
    reader = Reader()
    with Index(root) as index:
        return index.content(path, reader), reader.times


def test_a_file_is_read_once(tmp_path: Path, file: Path) -> None:
    assert read(tmp_path, file) == (b"one", 1)
    assert read(tmp_path, file) == (b"one", 0)
    assert read(None, file) == (b"one", 1)


def test_every_change_of_a_file_is_noticed(tmp_path: Path, file: Path) -> None:
    read(tmp_path, file)
    file.write_bytes(b"three")
    assert read(tmp_path, file) == (b"three", 1)
    settle(tmp_path)
    read(tmp_path, file)
    # written in place, as long as before, its time set back
    before = file.stat()
    time.sleep(0.05)
    file.write_bytes(b"seven")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read(tmp_path, file) == (b"seven", 1)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        read(tmp_path, file)


def test_a_change_under_a_still_index_is_noticed_by_the_next(tmp_path: Path, file: Path) -> None:
    with Index(tmp_path, still=True) as index:
        before = index.stamp(file)
        file.write_bytes(b"three")
        settle(tmp_path)
        assert index.stamp(file) == before
        assert index.content(file) == b"three"
    assert read(tmp_path, file) == (b"three", 1)  # what was kept has the stamp of before
    assert read(tmp_path, file) == (b"three", 0)
    with Index(tmp_path) as index:
        before = index.stamp(file)
        file.write_bytes(b"five")
        assert index.stamp(file) != before


def test_what_was_written_this_moment_is_not_kept(tmp_path: Path, file: Path) -> None:
    """It may be written again before the clock of the file system ticks."""
    file.write_bytes(b"two")
    assert [read(tmp_path, file)[1], read(tmp_path, file)[1]] == [1, 1]


def test_what_was_computed_is_kept_by_its_key(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        assert index.computed("a") is None
        index.keep("a", {"n": 1}, b"\x00\x01")
        assert index.computed("a") == ({"n": 1}, b"\x00\x01")
        index.keep("a", {"n": 2}, b"")
    with Index(tmp_path) as index:
        assert index.computed("a") == ({"n": 2}, b"")
        assert index.computed("b") is None


def test_what_was_written_out_into_empty_tables_is_found(tmp_path: Path, file: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_FLUSH_SECONDS", -1)
    reader = Reader()
    with Index(tmp_path) as index:
        index.keep("a", {"n": 1}, b"x")
        assert index.computed("a") == ({"n": 1}, b"x")
        assert [index.content(file, reader) for _ in range(2)] == [b"one", b"one"]
    assert reader.times == 1


def test_what_was_computed_before_it_was_stopped_is_kept(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Index(tmp_path) as index:
            index.keep("a", {}, b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with Index(tmp_path) as index:
        assert index.computed("a") == ({}, b"x")


def filled(root: Path, keys: int = 200) -> None:
    with Index(root) as index:
        for number in range(keys):
            index.keep(str(number), {}, bytes(8000))


@pytest.mark.parametrize("damage", ["text", "cut", "holes"])
def test_a_damaged_one_is_made_anew(tmp_path: Path, damage: str) -> None:
    filled(tmp_path)
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes({"text": b"no database at all, but longer than a hundred bytes" * 3,
                      "cut": whole[: len(whole) // 3],
                      "holes": whole[:4096] + b"\xff" * (len(whole) - 4096)}[damage])  # fmt: skip
    with Index(tmp_path) as index:
        for number in range(200):  # some answers may be there yet, none may be wrong
            assert index.computed(str(number)) in (None, ({}, bytes(8000)))
        index.keep("new", {}, b"x")
    with Index(tmp_path) as index:
        assert index.computed("new") == ({}, b"x")


def test_one_of_another_version_or_somebody_elses_is_emptied(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute('CREATE TABLE "cats ""and"" dogs" (name TEXT)')
        database.execute("CREATE TABLE files (path TEXT PRIMARY KEY) WITHOUT ROWID")
        database.execute("PRAGMA user_version = 99")
    database.close()
    with Index(tmp_path) as index:
        index.keep("a", {}, b"x")
    with Index(tmp_path) as index:
        assert index.computed("a") == ({}, b"x")
    with sqlite3.connect(tmp_path / FILE) as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    database.close()
    assert names == {"files", "computed"}


def test_facts_that_are_no_json_count_as_not_there(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("UPDATE computed SET about = '{'")
    database.close()
    with Index(tmp_path) as index:
        assert index.computed("0") is None


@pytest.mark.parametrize("opened", ["before", "after"])
def test_a_locked_one_is_done_without(tmp_path: Path, file: Path, opened: str, monkeypatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.05)
    filled(tmp_path, 1)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    if opened == "after":
        other.execute("BEGIN EXCLUSIVE")
    index = Index(tmp_path)
    if opened == "before":
        other.execute("BEGIN EXCLUSIVE")
    with index:
        assert index.content(file) == b"one"
        assert index.computed("0") is None
        index.keep("1", {}, b"")
        other.execute("ROLLBACK")
        other.close()
        assert index.computed("0") is None  # it waited once and asks no more
    with Index(tmp_path) as index:
        assert index.computed("0") == ({}, bytes(8000))


def test_on_a_read_only_disk_what_is_there_is_used(tmp_path: Path, file: Path, monkeypatch) -> None:
    filled(tmp_path, 1)
    connect = sqlite3.connect
    monkeypatch.setattr(
        module.sqlite3, "connect", lambda path, **more: connect(f"file:{path}?mode=ro", uri=True, **more)
    )
    with Index(tmp_path) as index:
        assert index.computed("0") == ({}, bytes(8000))
        assert index.content(file) == b"one"
        index.keep("1", {}, b"")
    monkeypatch.undo()
    with Index(tmp_path) as index:
        assert index.computed("1") is None
        assert index.computed("0") == ({}, bytes(8000))  # and still is


@pytest.mark.parametrize("root", ["nowhere", "folder"])
def test_where_there_can_be_none_everything_is_read(tmp_path: Path, root: str) -> None:
    """No folder; a folder of its name."""
    (tmp_path / "folder" / FILE).mkdir(parents=True)
    with Index(tmp_path / root) as index:
        index.keep("a", {}, b"x")
        assert index.computed("a") is None
    assert not (tmp_path / "nowhere").exists()


def test_a_long_computation_holds_no_lock(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.05)
    filled(tmp_path, 1)
    with Index(tmp_path) as slow:
        slow.keep("slow", {}, b"")
        filled(tmp_path, 3)
        with Index(tmp_path) as other:
            assert other.computed("2") is not None
    with Index(tmp_path) as index:
        assert index.computed("slow") is not None


WRITER = """
import sys
from pathlib import Path
from cvbench import index as module
module._FLUSH_SECONDS = 0.0
print("ready", flush=True)
sys.stdin.readline()
with module.Index(Path(sys.argv[1])) as index:
    for number in range(40):
        index.keep(f"{sys.argv[2]} {number}", {"n": number}, bytes(5000))
"""


def test_two_processes_write_one(tmp_path: Path) -> None:
    """Both make it, and write again and again at the same time."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], env={**os.environ,
                         "PYTHONPATH": str(REPOSITORY)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    with Index(tmp_path) as index:
        for name in "ab":
            assert [index.computed(f"{name} {n}") for n in range(40)] == [({"n": n}, bytes(5000)) for n in range(40)]


def test_who_comes_second_does_not_empty_what_the_first_made(tmp_path: Path, monkeypatch) -> None:
    """Both found no tables; by the time that the second may write, they are there."""
    filled(tmp_path, 1)
    real, answers = module._version, [0]
    monkeypatch.setattr(module, "_version", lambda database: answers.pop() if answers else real(database))
    with Index(tmp_path) as index:
        assert index.computed("0") == ({}, bytes(8000))
    assert answers == []

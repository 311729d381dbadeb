"""`Index`: one SQLite file in a store that remembers what was read from many: records, curves, scores on resamples.

A cache and nothing else: whatever is in it can be read or computed again, and a store without it, or on a read-only
disk, only takes longer. What was read from a file counts as long as the file's stamp stays; what was computed is kept
by the hash of what it follows from.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

FILE = ".index.sqlite"
_VERSION = 2  # of the tables, and of what is made of a file before it is kept; another one is emptied
_TABLES = ("files", "computed")
_PATIENCE_SECONDS = 5.0  # with another process that writes
_FLUSH_SECONDS = 5.0  # at most so much is lost when the machine stops, and no lock is held in between
# A file that was changed so shortly ago may change again without a new stamp: clocks of file systems tick slowly.
_TICK_NS = 2 * 10**9


class Stamp(NamedTuple):
    """What tells that a file is as it was: any write or move gives another one.

    mtime_ns, ctime_ns: of the last change of its content, and of anything about it. The latter cannot be set back.
    """

    mtime_ns: int
    ctime_ns: int
    size_bytes: int
    inode: int

    @property
    def settled(self) -> bool:
        """Whether a later change is sure to show."""
        return time.time_ns() - self.mtime_ns > _TICK_NS


def stamp_of(path: Path | str) -> Stamp:
    """Raises OSError where there is no file."""
    about = os.stat(path)
    return Stamp(about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino)


class Index:
    """Use it in a `with` block: what is new is written now and then, and at its end.

    Errors of the database are never the caller's. root: of the store; None: it remembers nothing. still: no file is
    expected to change while this is in use, so each is asked for its stamp once; one that does change is noticed by the
    next index, since its content is kept under the stamp of before.
    """

    def __init__(self, root: Path | None, *, still: bool = False) -> None:
        self.root, self.still = root, still
        self._stamps: dict[str, Stamp] = {}
        self._prefix = f"{root}{os.sep}"
        self._database = _opened(root / FILE) if root is not None else None
        #: tables of which each question would be in vain: a first board asks thousands
        self._empty = {name for name in _TABLES if self._database is not None and _is_empty(self._database, name)}
        self._unwritten: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._written_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._give_up()

    def stamp(self, path: Path | str) -> Stamp:
        """Raises OSError where there is no file."""
        key = str(path)
        stamp = self._stamps.get(key)
        if stamp is None:
            stamp = stamp_of(key)
            if self.still:
                self._stamps[key] = stamp
        return stamp

    def content(self, path: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> bytes:
        """What `read(path)` gives, or gave when the file was as it is now. Raises OSError where there is no file."""
        if self.root is None:
            return read(path)
        stamp = self.stamp(path)
        key, about = str(path).removeprefix(self._prefix), " ".join(map(str, stamp))
        found = self._find("files", key)
        if found is not None and found[0] == about:
            return found[1]
        content = read(path)
        if stamp.settled:
            self._keep("files", key, about, content)
        return content

    def computed(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """Facts and numbers that were kept under this key."""
        found = self._find("computed", key)
        try:
            return None if found is None else (json.loads(found[0]), found[1])
        except ValueError:
            return None

    def keep(self, key: str, facts: dict[str, Any], numbers: bytes) -> None:
        """Keeps them, in the place of what had this key. The facts or the key must say all that they follow from."""
        self._keep("computed", key, json.dumps(facts), numbers)

    def _find(self, table: str, key: str) -> tuple[str, bytes] | None:
        if (table, key) in self._unwritten:
            return self._unwritten[table, key]
        if self._database is None or table in self._empty:
            return None
        question = f"SELECT about, CAST(content AS BLOB) FROM {table} WHERE key = ?"
        try:
            row = self._database.execute(question, (key,)).fetchone()
        except sqlite3.OperationalError:  # another process has held it for long: no waiting for each of many questions
            self._give_up()
        except sqlite3.DatabaseError:
            self._renew()
        else:
            return None if row is None else (str(row[0]), bytes(row[1]))
        return None

    def _keep(self, table: str, key: str, about: str, content: bytes) -> None:
        if self._database is None:
            return
        self._unwritten[table, key] = about, content
        if time.monotonic() - self._written_at > _FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        """Writes what is new, all of it or nothing."""
        if self._database is None or not self._unwritten:
            return
        self._empty -= {table for table, _ in self._unwritten}
        rows = [(table, (key, *row)) for (table, key), row in self._unwritten.items()]
        try:
            with self._database:
                for table in _TABLES:
                    of = [row for name, row in rows if name == table]
                    self._database.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", of)
        except sqlite3.OperationalError:  # the disk is full or may not be written, or another process is writing
            pass
        except sqlite3.DatabaseError:
            self._renew()
        self._unwritten.clear()
        self._written_at = time.monotonic()

    def _renew(self) -> None:
        """In the place of a damaged database a new one."""
        assert self.root is not None
        self._give_up()
        if _removed(self.root / FILE):
            self._database = _opened(self.root / FILE)

    def _give_up(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _opened(path: Path) -> sqlite3.Connection | None:
    """The database, made anew where it is damaged or of another version; None where it cannot be, or is not ours."""
    if path.is_symlink():  # whatever it leads to would be written
        return None
    for _ in range(2):
        try:
            database = sqlite3.connect(path, timeout=_PATIENCE_SECONDS)
        except sqlite3.Error:
            return None
        try:
            if not _is_ours(database):
                database.close()
                return None
            _prepare(database)
            return database
        except sqlite3.OperationalError:  # locked, read-only, full
            database.close()
            return None
        except sqlite3.DatabaseError:  # no database, or a cut one
            database.close()
            if not _removed(path):
                return None
    return None


def _prepare(database: sqlite3.Connection) -> None:
    """Empty tables where those of this version are not there."""
    if _version(database) == _VERSION:
        return
    database.execute("BEGIN IMMEDIATE")
    if _version(database) != _VERSION:  # else another process was first
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
        for (name,) in database.execute(tables).fetchall():
            quoted = name.replace('"', '""')
            database.execute(f'DROP TABLE "{quoted}"')
        for name in _TABLES:
            database.execute(f"CREATE TABLE {name} (key TEXT PRIMARY KEY, about TEXT NOT NULL, content BLOB NOT NULL)")
        database.execute(f"PRAGMA user_version = {_VERSION}")
    database.commit()


def _is_ours(database: sqlite3.Connection) -> bool:
    """Whether it is an index, of whatever version, or empty: somebody else's tables are not ours to drop."""
    names = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return _version(database) > 0 or names <= set(_TABLES)


def _is_empty(database: sqlite3.Connection, table: str) -> bool:
    try:
        return database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None
    except sqlite3.Error:  # the next question deals with it
        return False


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _removed(path: Path) -> bool:
    """With the journal of a write that was cut short, which belongs to that file alone."""
    try:
        path.with_name(path.name + "-journal").unlink(missing_ok=True)
        path.unlink()
    except OSError:
        return False
    return True

"""`Index`: one SQLite file in a store that remembers what was read from many: records, curves, scores on resamples.

A cache and nothing else: whatever is in it can be read or computed again, and a store without it, or on a read-only
disk, only takes longer. What was read from a file counts as long as the file's size and time of change stay; what was
computed is kept by the hash of what it follows from.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FILE = ".index.sqlite"
_VERSION = 1  # of the tables; another one is emptied
_TABLES = """
CREATE TABLE files (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE computed (key TEXT PRIMARY KEY, facts TEXT NOT NULL, numbers BLOB NOT NULL) WITHOUT ROWID;
"""


class Index:
    """Use it in a `with` block: what is new is written at its end. Errors of the database are never the caller's.

    root: of the store; None: it remembers nothing.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._database = _opened(root / FILE) if root is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.commit()
            self._database.close()
            self._database = None

    def content(self, path: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> bytes:
        """What `read(path)` gives, or gave when the file was as it is now. Raises OSError where there is no file."""
        if self.root is None:
            return read(path)
        about = path.stat()
        stamp = f"{about.st_mtime_ns} {about.st_size} {about.st_ino}"
        key = path.relative_to(self.root).as_posix()
        found = self._one("SELECT content FROM files WHERE path = ? AND stamp = ?", key, stamp)
        if found is not None:
            return bytes(found[0])
        content = read(path)
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", key, stamp, content)
        return content

    def computed(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """Facts and numbers that were kept under this key."""
        found = self._one("SELECT facts, numbers FROM computed WHERE key = ?", key)
        return None if found is None else (json.loads(found[0]), found[1])

    def keep(self, key: str, facts: dict[str, Any], numbers: bytes) -> None:
        """Keeps them, in the place of what had this key. The facts or the key must say all that they follow from."""
        self._write("INSERT OR REPLACE INTO computed VALUES (?, ?, ?)", key, json.dumps(facts), numbers)

    def _one(self, query: str, *values: Any) -> Any:
        if self._database is None:
            return None
        try:
            return self._database.execute(query, values).fetchone()
        except sqlite3.Error:
            return None

    def _write(self, statement: str, *values: Any) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):  # another suite is writing, or the disk is full
                self._database.execute(statement, values)


def _opened(path: Path) -> sqlite3.Connection | None:
    """The database, made anew where it is damaged or of another version; None where it cannot be, or is not ours."""
    if path.is_symlink():  # whatever it leads to would be written
        return None
    for _ in range(2):
        try:
            database = sqlite3.connect(path, timeout=2.0)
        except sqlite3.Error:
            return None
        try:
            if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                if not set(names) <= {"files", "computed"}:
                    database.close()
                    return None
                for name in names:
                    database.execute(f"DROP TABLE {name}")
                database.executescript(_TABLES)
                database.execute(f"PRAGMA user_version = {_VERSION}")
                database.commit()
            return database
        except sqlite3.OperationalError:  # locked, read-only, full
            database.close()
            return None
        except sqlite3.DatabaseError:  # no database, or a cut one
            database.close()
            try:
                path.unlink()
            except OSError:
                return None
    return None

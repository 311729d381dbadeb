"""Captions as text files give them, line by line: checked, cleaned, and put together by image."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cvbench.data.base import DataError

# What would break a line or a column of the formats that captions are written and scored in.
_CONTROLS = {**dict.fromkeys(range(32), " "), **dict.fromkeys((0x7F, 0x85, 0x2028, 0x2029), " ")}

#: the captions of each image, by its path below the images' folder
Captions = dict[str, list[str]]


class Entry(NamedTuple):
    """One caption. image: its file below the images' folder. where: the file and line or entry, for messages."""

    image: str
    caption: str
    where: str


def grouped(entries: Iterable[Entry]) -> Captions:
    """The captions of each image, both in the order of the entries. Raises DataError for a caption that is none."""
    captions: Captions = {}
    for entry in entries:
        captions.setdefault(entry.image, []).append(cleaned(entry.caption, f"{entry.where}: {entry.image}"))
    return captions


def cleaned(caption: str, where: str) -> str:
    """The caption without white space around it; tabs, line ends and other control characters become spaces.

    Raises:
        DataError: nothing is left, or it has half a character (a lone surrogate), which no file can hold.

    >>> cleaned(" A dog\\truns .\\n", "a.json")
    'A dog runs .'
    """
    text = (caption if caption.isprintable() else caption.translate(_CONTROLS)).strip()
    if not text:
        raise DataError(
            f"{where}: expected a caption, but got {caption!r:.60}, nothing but spaces; write one, or remove the entry"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: expected text, but got half a character ({error}); write the caption anew") from None
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without their ends, which are of any system's. Raises DataError for other bytes."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; the dataset is incomplete, copy or unpack it again") from None
    try:
        # not splitlines: it also splits at characters that may stand in a caption
        return content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: expected UTF-8 text ({error}); save the file as UTF-8") from None


def read_tokens(path: Path, separator: str = "\t") -> Iterator[Entry]:
    """Flickr's token files: `name.jpg#0<TAB>caption`.

    Raises:
        DataError: a line of another form, or a number that an image has twice.
    """
    seen: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        key, tab, caption = line.partition(separator)
        image, mark, place = key.rpartition("#")
        if not (tab and mark and image and place.strip().isdecimal()):
            raise DataError(f"{path}:{number}: expected `name.jpg#0<TAB>caption`, but got {line!r:.80}; correct it")
        if key in seen:
            raise DataError(
                f"{path}:{number}: expected each number of an image once, but line {seen[key]} has {key} already; "
                "give one of them another, or remove it"
            )
        seen[key] = number
        yield Entry(image, caption, f"{path}:{number}")


class Row(NamedTuple):
    """One row of a table. values: by column. where: the file and line, for messages."""

    values: dict[str, str]
    where: str


def read_table(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a CSV file whose header names `columns`, and perhaps those of `optional`; others are passed over.

    Raises:
        DataError: no such header, a row of another length, bad quotation marks.
    """
    rows = csv.reader((f"{line}\n" for line in read_lines(path)), strict=True)
    header: list[str] | None = None
    try:
        for row in rows:
            if not any(field.strip() for field in row):
                continue
            if header is None:
                header = _header(path, row, columns)
                chosen = [(place, name) for place, name in enumerate(header) if name in (*columns, *optional)]
                continue
            where = f"{path}:{rows.line_num}"
            if len(row) != len(header):
                raise DataError(
                    f"{where}: expected {len(header)} columns as in the header, but got {len(row)}; put a caption with "
                    'commas between quotation marks: "A dog, running"'
                )
            yield Row({name: row[place] for place, name in chosen}, where)
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: not valid CSV ({error}); write the table anew") from None
    if header is None:
        raise DataError(f"{path}: expected a table with the columns {', '.join(columns)}, but it is empty")


def _header(path: Path, row: Sequence[str], columns: Sequence[str]) -> list[str]:
    header = [name.strip().lower() for name in row]
    if any(header.count(name) != 1 for name in columns):
        other = next((sign for sign in (";", "\t", "|") if len(row) == 1 and sign in row[0]), None)
        remedy = "write it as the first line" if other is None else f"save the table with commas instead of {other!r}"
        raise DataError(
            f"{path}:1: expected a header with the columns {', '.join(columns)}, but got {', '.join(row)[:80]!r}; "
            f"{remedy}"
        )
    return header

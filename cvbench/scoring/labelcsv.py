"""Label tables: CSV files `id,label[,p_0,…]` of true or predicted classes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# How far a row of probabilities may be from summing to 1: six decimals of two thousand classes stay within it.
SUM_TOLERANCE = 1e-3


class LabelTable(NamedTuple):
    """A CSV `id,label[,p_0,…]`: ids, labels as written, line of each row, probabilities float64 (N, C) or None."""

    path: Path
    ids: list[str]
    labels: list[str]
    lines: list[int]
    probabilities: NDArray[np.float64] | None

    def rows(self, places: Sequence[int]) -> LabelTable:
        """Those rows, in that order."""
        return self._replace(
            ids=[self.ids[place] for place in places],
            labels=[self.labels[place] for place in places],
            lines=[self.lines[place] for place in places],
            probabilities=None if self.probabilities is None else self.probabilities[places],
        )


def read_labels(path: Path) -> LabelTable:
    """Reads and checks a label CSV in UTF-8.

    Raises:
        ValueError: unreadable, another header, a row of another length, an id that stands twice, an empty cell, or
            probabilities that are no distribution; names file, line, value, rule and remedy.
    """
    ids: dict[str, int] = {}
    labels: list[str] = []
    rows: list[NDArray[np.float64]] = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            for cells in reader:
                if not cells:
                    continue
                where = f"{path}:{reader.line_num}"
                if len(cells) != len(header):
                    raise ValueError(f"{where}: expected {len(header)} values as in the header, but got {len(cells)}")
                name, label = cells[0].strip(), cells[1].strip()
                if not name or not label:
                    raise ValueError(f"{where}: expected an id and a label, but got {name!r}, {label!r}; fill them in")
                if name in ids:
                    raise ValueError(
                        f"{where}: expected every id once, but line {ids[name]} has {name!r} too; remove one"
                    )
                ids[name] = reader.line_num
                labels.append(label)
                if len(header) > 2:
                    rows.append(_probabilities(cells[2:], where))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path}: expected a UTF-8 CSV with the header id,label, but reading it gave: {error}"
        ) from None
    if not ids:
        raise ValueError(f"{path}: expected at least one row below the header, but got none")
    return LabelTable(path, list(ids), labels, list(ids.values()), np.stack(rows) if rows else None)


def _check_header(path: Path, header: list[str]) -> None:
    expected = ["id", "label", *(f"p_{index}" for index in range(len(header) - 2))]
    if len(header) < 2 or header != expected:
        wrong = next((f"{got!r} for {want!r}" for got, want in zip(header, expected, strict=False) if got != want), "")
        raise ValueError(
            f"{path}:1: expected the header id,label[,p_0,p_1,…], but got {wrong or ','.join(header) or 'nothing'}; "
            "put the columns in this order and number the classes from 0"
        )


def _probabilities(cells: list[str], where: str) -> NDArray[np.float64]:
    try:
        row = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except ValueError:
        column = next(index for index, cell in enumerate(cells) if not _is_number(cell))
        raise ValueError(f"{where}: expected p_{column} to be a number, but got {cells[column]!r}") from None
    bad = ~((row >= 0) & (row <= 1 + SUM_TOLERANCE))  # written so that NaN is bad
    if bad.any():
        column = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{where}: expected p_{column} to be a probability in [0, 1], but got {cells[column]}; write softmax "
            "outputs, not logits or percent"
        )
    if abs(row.sum() - 1) > SUM_TOLERANCE:
        raise ValueError(
            f"{where}: expected p_0,…,p_{len(row) - 1} to sum to 1 within {SUM_TOLERANCE}, but got {row.sum():.6g}; "
            "write softmax outputs with enough digits"
        )
    return np.minimum(row, 1)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

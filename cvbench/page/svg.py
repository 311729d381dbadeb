"""board.svg: the headline tables as one picture as wide as a README, from board.json alone.

Our own few lines and not a library's exporter, so that its bytes do not change with a version. It names no address to
fetch, holds no script, and brings its background along: legible on light and dark pages, wherever it is shown.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from cvbench.board import Board, Leaderboard
from cvbench.page import columns, sentences, text
from cvbench.page.columns import Column

WIDTH, MARGIN, LINE = 900, 20, 24
FONT_SIZE, CELL = 12, 8  # pixels; monospaced fonts are 0.6 em wide, the widest 0.62
LONGEST_NAME = 32  # cells of a name in a table
_NOTE = "Mean ± standard deviation over seeds."
_RANKED = " In brackets 95 % intervals; equal ranks are ties."


class Words(NamedTuple):
    """Text from x, or up to it where its look has `end`. look: classes of the style sheet."""

    x: int
    y: int
    words: str
    look: str


def render(leaderboard: Leaderboard) -> str:
    """Equal leaderboards give equal bytes."""
    words = [Words(MARGIN, LINE + 8, f"cvbench: {leaderboard.title}", "bold")]
    rules: list[int] = []
    y = LINE + 8
    for board in leaderboard.boards:
        y += LINE + LINE // 2
        words += _heading(leaderboard, board, y)
        table = _table(board)
        words += [piece for row in range(-1, len(board.rows)) for piece in _line(board, table, row, y + LINE)]
        rules += [y + LINE * (row + 1) + 8 for row in range(len(board.rows) + 1)]
        y += LINE * (len(board.rows) + 1)
        notes = _notes(board)
        words += [Words(MARGIN, y + LINE * number, note, "dim") for number, note in enumerate(notes, 1)]
        y += LINE * len(notes)
    y += LINE + 8
    ranked = any(row.standing for board in leaderboard.boards for row in board.rows)
    words.append(Words(MARGIN, y, _NOTE + _RANKED * ranked, "dim"))
    return _template().render(
        title=f"cvbench: {leaderboard.title}",
        size=FONT_SIZE,
        width=WIDTH,
        height=y + 16,
        rules=rules,
        left=MARGIN,
        right=WIDTH - MARGIN,
        words=words,
    )


def _heading(leaderboard: Leaderboard, board: Board, y: int) -> list[Words]:
    tested = board.split_sizes.get("test")
    facts = f"{len(board.classes)} classes, {tested:,} test images" if tested is not None else ""
    room = (WIDTH - 2 * MARGIN) // CELL - text.cells(facts) - columns.PADDING
    name = text.shortened(text.xml(sentences.heading(leaderboard, board)), room)
    return [Words(MARGIN, y, name, "bold"), *([Words(WIDTH - MARGIN, y, facts, "dim end")] if facts else [])]


def _table(board: Board) -> list[tuple[int, Column]]:
    """(x, column) of those that fit, spread over the width: where it starts, or where a numeric one ends."""
    found = [
        column._replace(cells=tuple(text.shortened(text.xml(cell), LONGEST_NAME) for cell in column.cells))
        if not column.numeric and column.kind != "runs"
        else column
        for column in columns.headline(board)
        if column.importance >= columns.HEADLINE_IMPORTANCE
    ]
    kept, _ = columns.fit(found, (WIDTH - 2 * MARGIN) // CELL)
    spare = WIDTH - 2 * MARGIN - CELL * sum(column.width for column in kept)
    table, used = [], 0
    for index, column in enumerate(kept):
        start = MARGIN + CELL * used + spare * index // (len(kept) - 1)
        used += column.width
        table.append((start + CELL * column.width if column.numeric else start, column))
    return table


def _notes(board: Board) -> list[str]:
    """What must stand beside the numbers wherever they are shown, a line each; the rest is on the page."""
    found = [*sentences.pack(board), *sentences.ranking(board), *sentences.marks(board)]
    return [line for note in found for line in wrap(text.xml(note), (WIDTH - 2 * MARGIN) // CELL)]


def _line(board: Board, table: list[tuple[int, Column]], row: int, y: int) -> list[Words]:
    """One line of the table; row -1: its head."""
    pieces = []
    for x, column in table:
        look = "dim" if row < 0 else "bold" if column.kind == "primary" else "text"
        if row >= 0 and column.kind == "runs" and board.rows[row].n < board.rows[row].planned:
            look = "warn"
        words = column.head if row < 0 else column.cells[row]
        pieces.append(Words(x, y + LINE * (row + 1), words, f"{look} end" if column.numeric else look))
    return pieces


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=text.xml,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("board.svg.j2")

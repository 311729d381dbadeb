"""The board on a terminal, in as many columns as fit."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from cvbench.board import Board, Leaderboard
from cvbench.page import columns, sentences

_LOOKS = {"primary": "bold"}


def show(leaderboard: Leaderboard, console: Console) -> None:
    """Prints every board; columns that do not fit are left out, by importance, and named."""
    for board in leaderboard.boards:
        console.print()
        console.print(_BoardView(leaderboard, board))


class _BoardView:
    def __init__(self, leaderboard: Leaderboard, board: Board) -> None:
        self.leaderboard, self.board = leaderboard, board

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        kept, dropped = columns.fit(columns.headline(self.board), options.max_width)
        yield Text(sentences.heading(self.leaderboard, self.board), style="bold")
        # One space each side of a cell, none at the edges; no frame, so that a narrow terminal holds more.
        table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
        for column in kept:
            table.add_column(Text(column.head), justify="right" if column.numeric else "left", overflow="fold")
        for row, cells in zip(self.board.rows, zip(*(column.cells for column in kept), strict=True), strict=True):
            looks = {"primary": "bold", "runs": "yellow" if row.n else "red"} if row.n < row.planned else _LOOKS
            table.add_row(*(Text(cell, looks.get(column.kind, "")) for column, cell in zip(kept, cells, strict=True)))
        yield table
        for row, lines in sentences.unfinished(self.board):
            for line in lines:
                yield Text(f"{row.label} {line}", style="red" if " failed" in line else "yellow")
        for note in sentences.notes(self.board):
            yield Text(note, style="dim")
        if dropped:
            yield Text(f"(not shown here: {', '.join(column.head for column in dropped)})", style="dim")

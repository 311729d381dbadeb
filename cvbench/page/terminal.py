"""The board on a terminal, in as many columns as fit, and as a picture for a README."""

from __future__ import annotations

import io
import re

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from cvbench.board import Board, Leaderboard
from cvbench.page import columns
from cvbench.page.columns import Column

# One space each side of a cell, none at the edges; no frame, so that a narrow terminal holds more.
_PADDING = 2
_PICTURE_WIDTH = 104


def show(leaderboard: Leaderboard, console: Console) -> None:
    """Prints every board; columns that do not fit are left out, by importance, and named."""
    for board in leaderboard.boards:
        console.print()
        console.print(_BoardView(leaderboard, board))


def svg(leaderboard: Leaderboard) -> str:
    """All boards as one SVG without scripts or anything to fetch; equal leaderboards give equal bytes."""
    from rich._export_format import CONSOLE_SVG_FORMAT

    console = Console(
        record=True, width=_PICTURE_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    show(leaderboard, console)
    # Rich asks a CDN for its font; a page may not, and any monospace font does, because rich sets each text's length.
    style = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    style = style.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace")
    return console.export_svg(title=f"cvbench: {leaderboard.title}", code_format=style)


class _BoardView:
    def __init__(self, leaderboard: Leaderboard, board: Board) -> None:
        self.leaderboard, self.board = leaderboard, board

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        kept, dropped = fit(columns.headline(self.board), options.max_width)
        yield Text(columns.heading(self.leaderboard, self.board), style="bold")
        table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
        for column in kept:
            table.add_column(Text(column.head), justify="right" if column.numeric else "left", overflow="fold")
        for row, cells in zip(self.board.rows, zip(*(column.cells for column in kept), strict=True), strict=True):
            texts = [Text(cell) for cell in cells]
            texts[1].stylize("bold")
            if row.n < row.planned:
                texts[2].stylize("yellow" if row.n else "red")
            table.add_row(*texts)
        yield table
        for row, lines in columns.unfinished(self.board):
            for line in lines:
                yield Text(f"{row.label} {line}", style="red" if " failed" in line else "yellow")
        if dropped:
            yield Text(f"(not shown here: {', '.join(column.head for column in dropped)})", style="dim")


def fit(table: list[Column], width: int) -> tuple[list[Column], list[Column]]:
    """(kept, left out): the columns that must stay, then, by importance, each that still fits `width` cells."""
    kept = {column.head for column in table if column.importance >= 100}
    for column in sorted(table, key=lambda column: -column.importance):
        if _width([other for other in table if other.head in kept | {column.head}]) <= width:
            kept.add(column.head)
    return [c for c in table if c.head in kept], [c for c in table if c.head not in kept]


def _width(table: list[Column]) -> int:
    return sum(max(map(cell_len, [column.head, *column.cells])) + _PADDING for column in table) - _PADDING

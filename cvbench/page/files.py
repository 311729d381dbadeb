"""A published board: board.json first, then every other file from it alone; and the check that they still agree."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from cvbench.board import Leaderboard, freeze, frozen, read_board
from cvbench.page import html, index, markdown, svg, table_csv
from cvbench.page.consistency import inconsistencies
from cvbench.record import write_atomically

# File name -> how it is made from the board; `check` and `publish` know no others.
RENDERERS: dict[str, Callable[[Leaderboard], str]] = {
    "metrics.csv": table_csv.render,
    "leaderboard.md": markdown.render,
    "board.svg": svg.render,
    "index.html": html.render,
}


def publish(leaderboard: Leaderboard, folder: Path) -> list[Path]:
    """Freezes the leaderboard into `folder` and renders all files from what was frozen; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    board = folder / "board.json"
    freeze(leaderboard, board)
    paths = [board]
    leaderboard = read_board(board)
    for name, render in RENDERERS.items():
        write_atomically(folder / name, render(leaderboard))
        paths.append(folder / name)
    return paths


def check(folder: Path) -> list[str]:
    """What is wrong with a published board; empty when its files are, byte for byte, what board.json says.

    Also compares board.json with itself: its means, counts and order must follow from the runs it lists.
    """
    path = folder / "board.json"
    try:
        leaderboard = read_board(path)
    except FileNotFoundError:
        return [f"{path}: not there; render it with `cvbench leaderboard`"]
    except ValueError as error:
        return [str(error)]
    expected = {"board.json": frozen(leaderboard)}
    expected |= {name: render(leaderboard) for name, render in RENDERERS.items()}
    differences = [_difference(folder / name, content) for name, content in expected.items()]
    return [text for text in differences if text] + [f"{path}: {text}" for text in inconsistencies(leaderboard)]


def check_all(root: Path) -> list[str]:
    """`check` of every board below `root`, and of the lists of them; a folder without any board is a problem too."""
    boards = {path.parent for path in root.glob("**/board.json")}
    rendered = {path.parent for name in RENDERERS for path in root.glob(f"**/{name}")}
    # where there is no board but some are below, an index.html lists those
    lists = {folder for folder in rendered | {root} if folder not in boards and _holds(folder, boards)}
    lists -= {folder for folder in lists if any((folder / name).exists() for name in RENDERERS if name != index.NAME)}
    folders = sorted(boards | (rendered - lists))
    if not folders:
        return [f"{root}: no board.json below it"]
    expected = {folder / index.NAME: index.render(index.suites_below(folder)) for folder in sorted(lists)}
    differences = [_difference(path, content) for path, content in expected.items()]
    return [problem for folder in folders for problem in check(folder)] + [text for text in differences if text]


def _holds(folder: Path, boards: set[Path]) -> bool:
    return any(folder in board.parents for board in boards)


def _difference(path: Path, expected: str) -> str | None:
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return f"{path}: not there; render it again with `cvbench leaderboard`"
    if found == expected.encode():
        return None
    lines = zip_longest(expected.encode().split(b"\n"), found.split(b"\n"))
    number, (ours, theirs) = next((n, pair) for n, pair in enumerate(lines, 1) if pair[0] != pair[1])
    return f"{path}:{number}: Expected {_line(ours)}, as board.json says, but found {_line(theirs)}"


def _line(line: bytes | None) -> str:
    if line is None:
        return "the end of the file"
    shown = line.decode("utf-8", "backslashreplace")
    return repr(shown if len(shown) <= 120 else shown[:119] + "…")

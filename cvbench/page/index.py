"""index.html of a folder of boards: what suites there are and who is best on each of their boards."""

from __future__ import annotations

from pathlib import Path

from cvbench.board import Leaderboard, read_board
from cvbench.page.html import page
from cvbench.page.views import tabs
from cvbench.record import write_atomically

NAME = "index.html"


def render(suites: dict[str, Leaderboard | None]) -> str:
    """suites: folder, relative and with `/`, -> its board; None where that cannot be read, which the page says."""
    found = [
        (folder, leaderboard, tabs(leaderboard) if leaderboard else [])
        for folder, leaderboard in sorted(suites.items())
    ]
    return page("suites.html.j2", title="Leaderboards", suites=found)


def suites_below(root: Path) -> dict[str, Leaderboard | None]:
    """Every board.json in the folders below `root`."""
    found: dict[str, Leaderboard | None] = {}
    for path in root.glob("*/**/board.json"):
        try:
            leaderboard = read_board(path)
        except ValueError:
            leaderboard = None
        found[path.parent.relative_to(root).as_posix()] = leaderboard
    return found


def write_index(root: Path) -> Path | None:
    """Writes the folder's index.html anew; nothing, and None, where no boards lie below or the folder is of one."""
    if (root / "board.json").exists() or not (suites := suites_below(root)):
        return None
    write_atomically(root / NAME, render(suites))
    return root / NAME

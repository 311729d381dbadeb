"""From what a store holds to a board: shared by `run` and `leaderboard`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cvbench.commands import options
from cvbench.unread import discard

if TYPE_CHECKING:
    from cvbench.board import Leaderboard
    from cvbench.spec import RunSpec, Suite
    from cvbench.store import Failure, Store


def finished(
    suite: Suite,
    store: Store,
    data_root: Path,
    overrides: Sequence[str],
    *,
    published: bool = False,
    quiet: bool = False,
) -> Leaderboard:
    """The leaderboard of all runs of a suite: of those without a usable record it says why.

    published: for others' eyes, so without pictures of data that are not ours to show.
    """
    from cvbench.assemble import assemble

    return assemble(
        suite,
        store,
        data_root,
        overrides,
        published=published,
        tell=lambda line: options.say(line, quiet=quiet),
    )


def publish_board(leaderboard: Leaderboard, folder: Path) -> Path:
    """Writes the board's files into `folder`, and anew the list of boards beside it; returns `folder`."""
    from cvbench.page.files import publish
    from cvbench.page.index import write_index

    publish(leaderboard, folder)
    write_index(folder.parent)
    return folder


def show_table(leaderboard: Leaderboard) -> None:
    """The board as tables on stdout."""
    from cvbench.page.terminal import show

    show(leaderboard, options.console())


def show_failures(failed: Sequence[tuple[RunSpec, Failure]], store: Store) -> None:
    """What failed and why, a row each, on stderr: the last thing that a person sees."""
    if not failed:
        return
    from rich.markup import escape
    from rich.table import Table

    console = options.Output(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 240, soft_wrap=True)
    head = f"\n{len(failed)} failed (the next `cvbench run` tries again what has no record):"
    table = Table(box=None, pad_edge=False)
    for column in ("run", "what", "tries", "why, and where its log is"):
        table.add_column(column, justify="right" if column == "tries" else "left", overflow="fold")
    for run, failure in failed:
        reason = f"{failure.message.strip() or 'no message'}\nlog: {store.folder(run)}"
        tries = str(len(failure.attempts) or 1)
        table.add_row(*map(escape, (run.name, failure.kind.replace("_", " "), tries, reason)))
    try:
        console.print(head)
        console.print(table)
    except BrokenPipeError:
        discard(sys.stderr)

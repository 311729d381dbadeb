"""A leaderboard cut into what a page shows: tabs, boards and cards, each with its fragment."""

from __future__ import annotations

import re
from typing import NamedTuple

from cvbench.board import Board, Leaderboard, Row
from cvbench.page import columns, sentences
from cvbench.page.charts import intervals
from cvbench.page.charts.scale import Scale

# Above so many classes a card shows the worst only; board.json has all of them.
MOST_CLASSES = 40


class Card(NamedTuple):
    """A row and its fragment. tie: where in its tie group it stands, empty where it shares its rank with none."""

    row: Row
    anchor: str
    tie: str


class View(NamedTuple):
    """A board. axis: what all its intervals are drawn on; None where there is nothing to draw."""

    board: Board
    anchor: str
    heading: str
    table: list[columns.Column]
    axis: Scale | None
    cards: list[Card]


class Tab(NamedTuple):
    """All boards of a task."""

    task: str
    anchor: str
    boards: list[View]


class Fragments:
    """Gives each name an id of its own that a person can read: `segmentation-streets-unet`."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, *names: str) -> str:
        words = re.sub("[^a-z0-9]+", "-", " ".join(names).lower()).strip("-") or "row"
        found, number = words, 1
        while found in self._taken:
            number += 1
            found = f"{words}-{number}"
        self._taken.add(found)
        return found


def tabs(leaderboard: Leaderboard) -> list[Tab]:
    """Tasks in the order of their first board."""
    fragments = Fragments()
    for fixed in ("top", "best", "scores", "methods", "environments", "about"):  # of the page itself
        fragments.of(fixed)
    found: dict[str, Tab] = {}
    for board in leaderboard.boards:
        tab = found.get(board.task) or Tab(board.task, fragments.of("task", board.task), [])
        found[board.task] = tab
        tab.boards.append(_view(leaderboard, board, fragments))
    return list(found.values())


def best(board: Board) -> list[Row]:
    """The rows of rank 1; without ranks the first that has a mean."""
    first = [row for row in board.rows if row.standing and row.standing.rank == 1]
    return first or [row for row in board.rows if row.mean is not None and not row.standing][:1]


def card_costs(row: Row) -> list[tuple[str, str]]:
    """(head, cost) of what is known."""
    values = [(head, show, getattr(row.costs, field, None)) for field, head, show, _ in columns.COSTS]
    return [(head, show(value)) for head, show, value in values if value is not None]


class ClassTable(NamedTuple):
    """Classes down, metrics across. lines: (class, its place among the classes, a value a metric)."""

    metrics: list[str]
    lines: list[tuple[str, int, list[float | None]]]
    all_shown: bool


def per_class(board: Board, row: Row) -> ClassTable | None:
    """In the order of the classes; of very many the lowest by the first metric."""
    metrics = list(row.per_class)
    if not metrics or not board.classes:
        return None
    lines = [
        (name, place, [row.per_class[metric][place] for metric in metrics]) for place, name in enumerate(board.classes)
    ]
    if len(lines) <= MOST_CLASSES:
        return ClassTable(metrics, lines, True)
    known = sorted((line for line in lines if line[2][0] is not None), key=lambda line: line[2][0] or 0.0)
    return ClassTable(metrics, known[:MOST_CLASSES], False)


def _view(leaderboard: Leaderboard, board: Board, fragments: Fragments) -> View:
    anchor = fragments.of(board.task, board.dataset)
    ranks = [row.standing.rank if row.standing else None for row in board.rows]
    cards = [Card(row, fragments.of(anchor, row.label), _tie(ranks, place)) for place, row in enumerate(board.rows)]
    heading = sentences.heading(leaderboard, board).removesuffix(f": {board.task}")
    return View(board, anchor, heading, columns.headline(board), intervals.axis(board), cards)


def _tie(ranks: list[int | None], place: int) -> str:
    rank = ranks[place]
    if rank is None or ranks.count(rank) < 2:
        return ""
    first, last = ranks.index(rank), len(ranks) - 1 - ranks[::-1].index(rank)
    return " ".join(filter(None, ("tied", "first" * (place == first), "last" * (place == last))))

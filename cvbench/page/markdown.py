"""leaderboard.md: a board that reads well on a repository's page, from board.json alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cvbench.board import Board, Leaderboard, SuiteScore
from cvbench.page import columns, sentences, text

# Above so many, a table of classes helps nobody on a page; board.json has all of them.
MOST_CLASSES = 40


class Markup(str):
    """Markdown that we made: printed as it is. Every other value is escaped."""


def render(leaderboard: Leaderboard) -> str:
    return _environment().get_template("leaderboard.md.j2").render(leaderboard=leaderboard)


@cache
def _environment() -> Environment:
    # Jinja's autoescape knows HTML only; `finalize` sees every value that a template prints, so none can be forgotten.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,
        finalize=lambda value: value if isinstance(value, Markup) else text.markdown(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "code": lambda value: Markup(text.code(value)),
        "settings": text.settings,
        "letter": columns.letter,
    }
    environment.globals |= {
        "heading": sentences.heading,
        "protocol": sentences.protocol,
        "unfinished": sentences.unfinished,
        "notes": sentences.notes,
        "headline": _headline,
        "more": _more,
        "per_class": _per_class,
        "suite_heading": sentences.suite_heading,
        "suite_score": _suite_score,
        "most_classes": MOST_CLASSES,
    }
    return environment


def _headline(board: Board) -> Markup:
    return _table([column for column in columns.headline(board) if column.importance >= columns.HEADLINE_IMPORTANCE])


def _more(board: Board) -> Markup | None:
    """The columns that the headline leaves out, where there are any."""
    table = columns.headline(board)
    rest = [column for column in table if column.importance < columns.HEADLINE_IMPORTANCE]
    return _table([column for column in table if column.kind == "model"] + rest) if rest else None


def _per_class(board: Board, name: str) -> Markup:
    """Classes down, models across: few of these, many of those."""
    rows = [row for row in board.rows if name in row.per_class]
    return _table(
        [
            columns.Column("class", board.classes, numeric=False),
            *(columns.Column(row.label, tuple(map(text.percent, row.per_class[name]))) for row in rows),
        ]
    )


def _suite_score(score: SuiteScore) -> Markup:
    return _table(
        [
            columns.Column("model" if score.task else "backbone", tuple(row.name for row in score.rows), numeric=False),
            columns.Column("score", tuple(f"{row.score:.2f}" for row in score.rows)),
            columns.Column("95 %", tuple(f"[{row.low:.2f}, {row.high:.2f}]" for row in score.rows)),
        ]
    )


def _table(table: list[columns.Column]) -> Markup:
    head = [text.markdown(column.head) for column in table]
    rule = ["---:" if column.numeric else ":---" for column in table]
    body: list[Any] = [map(text.markdown, cells) for cells in zip(*(column.cells for column in table), strict=True)]
    return Markup("\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *body]))

"""index.html of a suite: one file that needs no other, from board.json alone."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cvbench.board import Board, Leaderboard
from cvbench.page import columns, sentences, text
from cvbench.page.charts import calibration, curves, intervals, pareto
from cvbench.page.views import Tab, best, card_costs, per_class, tabs
from cvbench.page.webp import is_webp

_HERE = Path(__file__).parent
MOST_COLOURS = 64  # classes of a legend


def render(leaderboard: Leaderboard) -> str:
    """Equal leaderboards give equal bytes."""
    found = tabs(leaderboard)
    return page("suite.html.j2", title=leaderboard.title, leaderboard=leaderboard, tabs=found, facts=_facts(found))


def page(template: str, **values: Any) -> str:
    """A whole page: template with our style and script, and a policy that lets nothing else run or load."""
    style, script = (_static(name) for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template(template)
        .render(style=Markup(style), script=Markup(script), policy=policy, **values)
    )


def link(url: str) -> str | None:
    """The address where it is one of the web, else None: what has another scheme is only shown."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    clean = url.isprintable() and not set(url) & set(" \"'<>\\`")
    return url if clean and parts.scheme in ("http", "https") and parts.hostname else None


def _facts(found: list[Tab]) -> list[tuple[str, str]]:
    """How much there is, for the head of the page."""
    boards = [view.board for tab in found for view in tab.boards]
    rows = [row for board in boards for row in board.rows]
    done, planned = sum(row.n for row in rows), sum(row.planned for row in rows)
    runs = f"{done:,}" if done == planned else f"{done:,} of {planned:,}"
    counts = [
        ("task", len(found)),
        ("data set", len({(board.dataset, text.settings(board.options)) for board in boards})),
        ("model", len({row.label for row in rows})),
    ]
    return [(f"{number:,}", name if number == 1 else f"{name}s") for name, number in counts] + [(runs, "finished runs")]


def _plain(value: Any) -> Any:
    """What a template prints: what a page can hold; markup of our own stays."""
    return value if isinstance(value, Markup) else text.printable(value)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        finalize=_plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"settings": text.settings, "setting": text.setting, "letter": columns.letter}
    environment.globals |= {
        "sentences": sentences,
        "columns": columns,
        "text": text,
        "charts": {"intervals": intervals, "pareto": pareto, "curves": curves, "calibration": calibration},
        "is_webp": is_webp,
        "link": link,
        "best": best,
        "per_class": per_class,
        "card_costs": card_costs,
        "legend": _legend,
    }
    return environment


def _legend(board: Board) -> list[tuple[str, str]]:
    """(class, colour as SVG takes it); none where pictures are not coloured by class."""
    if board.colours is None or len(board.colours) > MOST_COLOURS:
        return []
    named = zip(board.classes, board.colours, strict=False)
    return [(name, f"rgb({red},{green},{blue})") for name, (red, green, blue) in named]


@cache
def _static(name: str) -> str:
    return (_HERE / "static" / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"

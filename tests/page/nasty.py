"""Names that would do harm where they are not text, for every rendering."""

from __future__ import annotations

from typing import Any

from cvbench.board import Leaderboard, Picture
from tests.boards import board, leaderboard, row

NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror="document.title=`gone`">',
    "=cmd|' /C calc'!A0",
    "[x](javascript:alert(1))",
    "![x](https://example.com/y.png) [z](//example.com)",
    "{{ 7 * 7 }}{% raw %}",
    "\u202e\u05dc\u05b6\u05e0\u05d8 長い\u200f 'quoted' & &amp;",
    "]]></title></style></svg><b>",
)
URL = "javascript:alert(document.domain)//https://example.org"


def everywhere(name: str) -> Leaderboard:
    """A leaderboard that has this text wherever a board can hold one."""
    said: dict[str, Any] = {name: name}
    rows = (
        row(name, 0.8, 1, model=name, options=said, weights={"source": name}, backbone=name, url=URL,
            origin="self-reported", recipe=said, overrides=(name,), group_id=name,
            pictures=(Picture(sample=name, kind="hard", score=0.5, webp=name),),
            per_class={name: (0.5, 0.25, None)}),
        row("other", 0.7, 2),
        row("failed " + name, None, 3),
    )  # fmt: skip
    failed = rows[2].model_copy(
        update={"runs": tuple(run.model_copy(update={"reason": name, "run_id": name}) for run in rows[2].runs)}
    )
    one = board(
        (*rows[:2], failed), title=name, dataset=name, task=name, options=said, classes=(name, "b", "c"),
        licence=name, command=f"cvbench run {name}", revision=name, protocol_hash=name, baseline="other",
        selection=(name,), absent_metrics=said, absent_classes=(name,), recipe=said, benchmark=name,
        protocol={"roles": said, name: name}, split_sizes={name: 3, "test": 2}, official_sizes={name: 5},
    )  # fmt: skip
    return leaderboard((one, board()), title=name, suite="quick", methods=said, environments=(said,))

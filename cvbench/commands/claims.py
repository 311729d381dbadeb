"""`cvbench claims`: published numbers against what a store's runs measured. Imports no torch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import DEFAULT_STORE, Json, Store

if TYPE_CHECKING:
    from cvbench.claims import Held

LOCAL = Path("claims.yaml")
STYLES = {"holds": "green", "differs": "red", "another protocol": "yellow", "not measured": "dim"}


def claims(
    *,
    claims: Annotated[
        Path | None,
        Parameter(help="File of published numbers [default: claims.yaml here, else the one that cvbench ships]."),
    ] = None,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """Hold finished runs against published numbers: measured, claimed, difference, verdict."""
    from cvbench.claims import VERDICTS, hold
    from cvbench.claims_file import SHIPPED, load_claims
    from cvbench.record import load_records

    file = claims or (LOCAL if LOCAL.is_file() else SHIPPED)
    held = hold(load_claims(file), load_records(store))
    counts = {verdict: Counter(one.verdict for one in held)[verdict] for verdict in VERDICTS}
    if json:
        options.print_json({"claims": file, "counts": counts, "held": [_as_json(one) for one in held]})
    else:
        _show(held)
        print(f"{file}: {', '.join(f'{count} {verdict}' for verdict, count in counts.items() if count)}")
    return 1 if counts["differs"] else 0


def _as_json(one: Held) -> dict[str, Any]:
    told = {name: getattr(one, name) for name in ("verdict", "measured", "difference", "seeds", "group_id", "reason")}
    return {"name": one.claim.name, **told, "claim": one.claim.model_dump(mode="json")}


def _show(held: list[Held]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("claim", "measured", "claimed", "difference", "tolerance", "unit", "seeds", "verdict", ""):
        text = column in ("claim", "unit", "verdict", "")
        table.add_column(column, justify="left" if text else "right", no_wrap=column not in ("claim", ""))
    for one in held:
        low, high = one.claim.claimed
        cells = (
            one.claim.name,
            "" if one.measured is None else f"{one.measured:.2f}",
            f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}",
            "" if one.difference is None else f"{one.difference:+.2f}",
            f"{one.claim.tolerance:.2f}",
            one.claim.unit,
            str(one.seeds or ""),
            Text(one.verdict, style=STYLES[one.verdict]),
            one.reason or one.claim.source,
        )
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    options.console().print(table)

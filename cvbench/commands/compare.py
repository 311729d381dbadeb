"""`cvbench compare`: is A better than B, by how much, and could it be chance. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cvbench.commands import options
from cvbench.commands.options import DEFAULT_STORE, Json, Store

if TYPE_CHECKING:
    from cvbench.comparing import Compared


def compare(
    a: Annotated[str, Parameter(help="A label, a model's name, or the beginning of a run_id or group_id.")],
    b: Annotated[str, Parameter(help="What A is held against, named likewise.")],
    /,
    *,
    on: Annotated[str | None, Parameter(help="Only this data set [default: all that both have runs on].")] = None,
    metric: Annotated[str | None, Parameter(help="Another metric than the runs' primary one.")] = None,
    store: Store = DEFAULT_STORE,
    json: Json = False,
) -> int:
    """Compare two models over the same images and seeds: difference, 95 % interval, p, probability that A is better."""
    from cvbench.comparing import compare_models
    from cvbench.evidence import RunEvidence
    from cvbench.index import Index
    from cvbench.record import load_records
    from cvbench.store import Store as RunStore

    records = load_records(store)
    with Index(store) as index:
        evidence = RunEvidence(RunStore(store), index, tell=options.say)
        found = compare_models(a, b, records, evidence, on=on, metric=metric)
    if json:
        options.print_json({"a": a, "b": b, "compared": [_as_json(one) for one in found]})
    else:
        _show(a, b, found)
    return 0


def _as_json(one: Compared) -> dict[str, Any]:
    sides = {name: {"mean": row.mean, "sd": row.sd, "n": row.n} for name, row in (("a", one.a), ("b", one.b))}
    facts = {"dataset": one.dataset, "options": one.options, "metric": one.metric, "direction": one.direction}
    single = None if one.mcnemar is None else one.mcnemar._asdict()
    result = {
        name: None if value != value else value for name, value in one.result._asdict().items()
    }  # JSON has no NaN
    return facts | sides | result | {"mcnemar": single}


def _show(a: str, b: str, found: list[Compared]) -> None:
    from cvbench.page import text

    for one in found:
        times, digits = (100, 2) if one.unit in ("%", "x100") else (1, 3)
        unit = {"%": " %", "x100": " x100"}.get(one.unit, "")
        result = one.result
        about = f" ({text.settings(one.options)})" if one.options else ""
        print(f"{one.dataset}{about}: {one.metric}{unit}, {'higher' if one.direction == 'max' else 'lower'} is better")
        width = max(len(a), len(b))
        for name, row in ((a, one.a), (b, one.b)):
            spread = text.spread(row.mean, row.sd, hundredfold=times == 100)
            print(f"  {name:<{width}}  {spread}  ({row.n} {'seed' if row.n == 1 else 'seeds'})")
        difference, *ends = (f"{value * times:+.{digits}f}" for value in (result.difference, result.low, result.high))
        print(f"  difference  {difference}, 95 % interval {' to '.join(ends)}, {_p(result.p)}")
        better = f"one new run of {a} beats one of {b} with probability {result.probability_better:.2f}"
        print(f"  {_verdict(a, b, one)}; {better}")
        if one.mcnemar is not None:
            alone = f"{one.mcnemar.a_only} images that {a} alone has right, {one.mcnemar.b_only} that {b} alone has"
            print(f"  McNemar: {alone}, {_p(one.mcnemar.p)}")
        print(f"  ({result.method})")


def _p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.4f}"


def _verdict(a: str, b: str, one: Compared) -> str:
    from cvbench.statistics.ranking import ALPHA

    if not one.result.p <= ALPHA:
        return f"{a} and {b} are not told apart"
    ahead = (one.result.difference > 0) == (one.direction == "max")
    return f"{a if ahead else b} is better"

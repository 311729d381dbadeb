"""Which rows are on the front of accuracy against cost: no other row is both better and cheaper."""

from __future__ import annotations

from collections.abc import Mapping


def front(points: Mapping[str, tuple[float, float]]) -> set[str]:
    """The names that no other name dominates; after V. Pareto, as multi-objective optimisation has it.

    points: name -> (worth, the higher the better; cost, the lower the better). One dominates another that is at most as
    good and at least as dear, and not equal in both; equals are both on the front.
    """
    found: set[str] = set()
    best, cost_of_best = None, 0.0
    for name, (worth, cost) in sorted(points.items(), key=lambda item: (item[1][1], -item[1][0])):
        if best is None or worth > best or (worth, cost) == (best, cost_of_best):
            found.add(name)
            best, cost_of_best = worth, cost
    return found

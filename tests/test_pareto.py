"""Fronts against the definition, pair by pair."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cvbench.pareto import front

FEW = st.sampled_from([-1.0, 0.0, 0.5, 1.0, float("inf")])  # so that many are equal


def test_by_hand() -> None:
    points = {"cheap": (0.6, 1.0), "dear": (0.9, 9.0), "worse": (0.5, 2.0), "as good, dearer": (0.9, 10.0),
              "twin": (0.9, 9.0), "as dear, worse": (0.8, 9.0), "between": (0.7, 3.0)}  # fmt: skip
    assert front(points) == {"cheap", "between", "dear", "twin"}
    assert front({}) == set()
    assert front({"alone": (-3.0, 5.0)}) == {"alone"}


@given(st.lists(st.tuples(FEW, FEW), max_size=8))
def test_a_row_is_on_it_exactly_if_none_dominates_it(points: list[tuple[float, float]]) -> None:
    expected = {
        str(place)
        for place, (worth, cost) in enumerate(points)
        if not any(w >= worth and c <= cost and (w, c) != (worth, cost) for w, c in points)
    }
    assert front({str(place): point for place, point in enumerate(points)}) == expected

"""`tune:` spelt out: products, lists, one name for one thing, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from cvbench.candidates import TuneError, candidates, named, nested


def values(tune: Any) -> list[dict[str, Any]]:
    return [candidate.values for candidate in candidates(tune)]


def test_the_product_of_lists_with_the_last_key_changing_fastest() -> None:
    assert values({"lr": [0.1, 0.2], "weight_decay": [0, 0.01]}) == [
        {"lr": 0.1, "weight_decay": 0}, {"lr": 0.1, "weight_decay": 0.01},
        {"lr": 0.2, "weight_decay": 0}, {"lr": 0.2, "weight_decay": 0.01},
    ]  # fmt: skip


def test_a_list_is_taken_item_by_item() -> None:
    assert values([{"lr": 0.1}, {"lr": 0.2, "epochs": 20}, {}]) == [{"lr": 0.1}, {"lr": 0.2, "epochs": 20}, {}]


def test_a_key_of_augment_has_one_name_however_it_is_written() -> None:
    expected = [{"augment.flip": False}, {"augment.flip": True}]
    assert values({"augment.flip": [False, True]}) == expected
    assert values({"augment": {"flip": [False, True]}}) == expected
    assert values({"augment": [{"flip": False}, {"flip": True}]}) == expected
    assert values([{"augment": {"flip": False}}, {"augment.flip": True}]) == expected
    assert nested({"lr": 1, "augment.flip": True, "augment.shift": 2}) == {
        "lr": 1,
        "augment": {"flip": True, "shift": 2},
    }


def test_values_that_are_lists_themselves() -> None:
    assert values({"input_size": [[32, 32], [64, 64]]}) == [{"input_size": [32, 32]}, {"input_size": [64, 64]}]


def test_each_value_knows_where_it_stands() -> None:
    product = candidates({"lr": [1, 2], "augment": {"flip": [True]}})
    assert (product[1].place, product[1].places) == ((), {"lr": ("lr", 1), "augment.flip": ("augment", "flip", 0)})
    listed = candidates([{"lr": 1}, {"augment": {"flip": True}}])
    assert (listed[1].place, listed[1].places) == ((1,), {"augment.flip": (1, "augment")})


def test_no_tune_is_no_candidates() -> None:
    assert candidates(None) == []


def test_names() -> None:
    assert named({"lr": 0.00001, "input_size": [32, 48], "optimiser": "sgd", "augment.flip": False}) == (
        "lr 1e-05, input_size [32, 48], optimiser sgd, augment.flip false"
    )
    assert named({}) == "as written"


@pytest.mark.parametrize(
    ("tune", "place", "message"),
    [
        ({}, (), "Expected at least 2 candidates, but got none; leave `tune` out to tune nothing"),
        ([], (), "Expected at least 2 candidates, but got none; leave `tune` out to tune nothing"),
        ({"lr": [1]}, (), "Expected at least 2 candidates, but got one, which would be the recipe itself"),
        ([{"lr": 1}], (), "Expected at least 2 candidates, but got one, which would be the recipe itself"),
        ({"lr": []}, ("lr",), r"Expected at least one value to try, but got \[\]"),
        ({"lr": 0.1}, ("lr",), "Expected a list of values to try, but got 0.1"),
        ({"augment": {"flip": True}}, ("augment", "flip"), "Expected a list of values to try, but got True"),
        ({"augment": {}}, ("augment",), "Expected a list of values to try, but got {}"),
        ("lr", (), "Expected a list of values for each key, or a list of candidates, but got 'lr'"),
        (3, (), "Expected a list of values for each key, or a list of candidates, but got 3"),
        ([{"lr": 1}, 3], (1,), "Expected a mapping of keys of the recipe, but got 3"),
        ({"lr": [1] * 5, "gamma": [1] * 13}, (), "Expected at most 64 candidates, but got 5 × 13 = 65;"),  # noqa: RUF001
        ([{"lr": n} for n in range(65)], (), "Expected at most 64 candidates, but got 65; every model trains each"),
        ([{"augment": {"flip": True}, "augment.flip": False}, {}], (0, "augment.flip"), "'augment.flip' stands twice"),
        (
            {"augment.flip": [True], "augment": {"flip": [False]}},
            ("augment", "flip"),
            "'augment.flip' stands twice; keep",
        ),
        ({"augment": [3, 4], "augment.flip": [True]}, ("augment.flip", 0), "'augment' and 'augment.flip' stand both"),
    ],
)
def test_what_is_no_tune(tune: Any, place: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TuneError, match=message) as raised:
        candidates(tune)
    assert raised.value.place == place


def test_as_many_as_may_be() -> None:
    assert len(values({"lr": list(range(8)), "gamma": list(range(8))})) == 64

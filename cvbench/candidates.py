"""`tune:` of a recipe spelt out into the candidates that every model tries. Knows nothing of a recipe's keys."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

# More is a search for the best recipe, which is another job than comparing models.
MOST = 64

Place = tuple[str | int, ...]


class TuneError(ValueError):
    """What is wrong with a `tune:`. place: where below it."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


class Candidate(NamedTuple):
    """values: key of the recipe -> value, a key of `augment` as `augment.flip`. place, places: where the candidate and
    each of its values stand below `tune`.
    """

    values: dict[str, Any]
    place: Place
    places: dict[str, Place]


def candidates(tune: Any) -> list[Candidate]:
    """The product of `{lr: [1e-3, 3e-3], augment.flip: [false, true]}`, its last key changing fastest; or the items of
    `[{lr: 1e-3}, {lr: 3e-3, epochs: 20}]`. None: no candidates. Raises TuneError.
    """
    if tune is None:
        return []
    if isinstance(tune, Mapping):
        lists: dict[str, tuple[Place, list[Any]]] = {}
        for key, (place, values) in _lists(tune):
            if key in lists:
                raise TuneError(place, f"{key!r} stands twice; keep one")
            lists[key] = place, values
        found = _product(lists)
    elif isinstance(tune, Sequence) and not isinstance(tune, str):
        found = _listed(tune)
    else:
        raise TuneError((), f"Expected a list of values for each key, or a list of candidates, but got {tune!r}")
    if len(found) < 2:
        got = "one, which would be the recipe itself" if found else "none"
        raise TuneError((), f"Expected at least 2 candidates, but got {got}; leave `tune` out to tune nothing")
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """As `Recipe.changed` takes it: `{"augment.flip": True}` -> `{"augment": {"flip": True}}`."""
    change: dict[str, Any] = {}
    for key, value in values.items():
        outer, dot, inner = key.partition(".")
        if dot:
            change.setdefault(outer, {})[inner] = value
        else:
            change[key] = value
    return change


def named(values: Mapping[str, Any]) -> str:
    """A candidate's name, for people.

    >>> named({"lr": 1e-3, "augment.flip": True, "schedule": "cosine"})
    'lr 0.001, augment.flip true, schedule cosine'
    """
    shown = [f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
    return ", ".join(shown) or "as written"


def _lists(
    tune: Mapping[str, Any], above: str = "", place: Place = ()
) -> Iterator[tuple[str, tuple[Place, list[Any]]]]:
    """key -> (where its values stand, the values); `augment: {flip: […]}` says the same as `augment.flip: […]`."""
    for key, value in tune.items():
        here = (*place, key)
        if isinstance(value, Mapping) and not above and value:
            yield from _lists(value, f"{key}.", here)
        elif not isinstance(value, list | tuple):
            raise TuneError(here, f"Expected a list of values to try, but got {value!r}")
        elif not value:
            raise TuneError(here, "Expected at least one value to try, but got []")
        else:
            yield above + key, (here, list(value))


def _product(lists: dict[str, tuple[Place, list[Any]]]) -> list[Candidate]:
    sizes = [len(values) for _, values in lists.values()]
    if math.prod(sizes) > MOST:
        raise TuneError((), _too_many(" × ".join(map(str, sizes)) + f" = {math.prod(sizes)}"))  # noqa: RUF001
    found = []
    for chosen in itertools.product(*map(range, sizes)) if sizes else ():
        values, places = {}, {}
        for (key, (place, options)), index in zip(lists.items(), chosen, strict=True):
            values[key], places[key] = options[index], (*place, index)
        found.append(_flat(values, (), places))
    return found


def _listed(items: Sequence[Any]) -> list[Candidate]:
    if len(items) > MOST:
        raise TuneError((), _too_many(str(len(items))))
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise TuneError((index,), f"Expected a mapping of keys of the recipe, but got {item!r}")
    return [_flat(item, (index,), {key: (index, key) for key in item}) for index, item in enumerate(items)]


def _flat(values: Mapping[str, Any], place: Place, places: Mapping[str, Place]) -> Candidate:
    """With `augment: {flip: true}` as `augment.flip: true`, so that one thing has one name."""
    flat: dict[str, Any] = {}
    found: dict[str, Place] = {}
    for key, value in values.items():
        inner = {f"{key}.{name}": one for name, one in value.items()} if isinstance(value, Mapping) else {key: value}
        for name, one in inner.items():
            if name in flat:
                raise TuneError(places[key], f"{name!r} stands twice in one candidate; keep one")
            flat[name], found[name] = one, places[key]
    for name in flat:
        outer = name.partition(".")[0]
        if outer != name and outer in flat:
            raise TuneError(found[name], f"{outer!r} and {name!r} stand both in one candidate; keep one")
    return Candidate(flat, place, found)


def _too_many(number: str) -> str:
    return f"Expected at most {MOST} candidates, but got {number}; every model trains each of them"

"""Whether `tune:` gives every model the same candidates, each of which makes a recipe: all that is wrong, in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from cvbench.candidates import Candidate, TuneError, candidates, named, nested
from cvbench.checks import items, shared_recipe
from cvbench.rules import broken
from cvbench.spec import Recipe
from cvbench.yamlfile import Document, Loc, Problem


class Mistake(NamedTuple):
    """A value that makes no recipe. place: where it stands; error: pydantic's, whose `loc` is what to call it."""

    place: Loc
    error: Mapping[str, Any]


def check_tune(document: Document) -> tuple[list[Problem], list[Mistake]]:
    """What is wrong with every `tune` of a benchmark as it was read; other mistakes are passed over."""
    data, problems, mistakes = document.data, list[Problem](), list[Mistake]()
    found: dict[Loc, list[Candidate]] = {}
    for place, tune in _all(data):
        if data.get("mode") == "evaluate":
            rule = "tune: mode is evaluate: nothing is trained, so there is nothing to choose; remove it"
            problems.append(document.problem(place, rule))
            continue
        try:
            found[place] = candidates(tune)
        except TuneError as error:
            problems.append(document.problem((*place, *error.place), f"{_dotted(*place, *error.place)}: {error}"))
    for index, model in items(data, "models"):
        if "tune" in _recipe(model):
            place = ("models", index, "recipe", "tune")
            rule = (
                "all models try the same candidates, else it is no comparison; put them under the benchmark's `recipe`"
            )
            problems.append(document.problem(place, f"{_dotted(*place)}: {rule}"))
    base = shared_recipe(data)
    for place, tried in found.items():
        wrong = [mistake for candidate in tried for mistake in _mistakes(place, candidate, base)]
        mistakes += wrong
        if not wrong:
            problems += _same(document, place, tried, base)
            problems += _changed_besides(document, place, tried)
            mistakes += _with_others(data, place, tried, base)
    return problems, mistakes


def _all(data: Mapping[str, Any]) -> Iterator[tuple[Loc, Any]]:
    """(place, value) of the benchmark's `tune` and those of its datasets."""
    if "tune" in _recipe(data):
        yield ("recipe", "tune"), data["recipe"]["tune"]
    for index, dataset in items(data, "datasets"):
        if "tune" in _recipe(dataset):
            yield ("datasets", index, "recipe", "tune"), dataset["recipe"]["tune"]


def _recipe(item: Mapping[str, Any]) -> Mapping[str, Any]:
    recipe = item.get("recipe")
    return recipe if isinstance(recipe, dict) else {}


def _mistakes(
    place: Loc, candidate: Candidate, base: Recipe, *others: Mapping[str, Any], note: str = ""
) -> list[Mistake]:
    """Why a candidate makes no recipe, on top of `base` and what `others` change."""
    try:
        base.changed(*others, nested(candidate.values))
    except ValidationError as invalid:
        return [_mistake(place, candidate, dict(error), note) for error in invalid.errors()]
    return []


def _mistake(place: Loc, candidate: Candidate, error: dict[str, Any], note: str) -> Mistake:
    loc: Loc = tuple(error["loc"])
    keys = (".".join(map(str, loc[:2])), str(loc[0])) if loc else ()
    inside = next((candidate.places[key] for key in keys if key in candidate.places), candidate.place)
    if not loc or note:  # of several keys together: which candidate it is says more than the place
        rule = f"{broken(error)} (candidate {named(candidate.values)}{note})"
        error = {"type": "value_error", "msg": rule, "input": ""}
    return Mistake((*place, *inside), error | {"loc": (*place, *candidate.place, *loc)})


def _same(document: Document, place: Loc, tried: list[Candidate], base: Recipe) -> Iterator[Problem]:
    """Candidates that are one recipe."""
    seen: dict[str, int] = {}
    for number, candidate in enumerate(tried, 1):
        recipe = base.changed(nested(candidate.values)).with_length().model_dump_json()
        first = seen.setdefault(recipe, number)
        if first != number:
            rule = f"candidates {first} and {number} are the same recipe ({named(candidate.values)}); remove one"
            yield document.problem((*place, *candidate.place), f"{_dotted(*place)}: {rule}")
            return


def _changed_besides(document: Document, place: Loc, tried: list[Candidate]) -> Iterator[Problem]:
    """Recipes of models and datasets that change what is tuned: the candidate would win, and they would say nothing."""
    tuned = {_length(key) for candidate in tried for key in candidate.values}
    for kind, index, item in _beside(document.data, place):
        for key, value in _recipe(item).items():
            inner = [f"{key}.{name}" for name in value] if isinstance(value, dict) else [key]
            if tuned.isdisjoint(map(_length, inner)):
                continue
            here = (kind, index, "recipe", key)
            rule = f"`{_dotted(*place)}` chooses this for every model; remove one of the two"
            yield document.problem(here, f"{_dotted(*here)}: {rule}")


def _with_others(data: Mapping[str, Any], place: Loc, tried: list[Candidate], base: Recipe) -> list[Mistake]:
    """Candidates that do not go with what a dataset's or model's own recipe changes."""
    found: list[Mistake] = []
    for kind, index, item in _beside(data, place):
        try:
            base.changed(_recipe(item))
        except ValidationError:
            continue  # told on its own
        note = f", with {_dotted(kind, index)}.recipe"
        for candidate in tried:
            found += _mistakes(place, candidate, base, _recipe(item), note=note)
    return found


def _beside(data: Mapping[str, Any], place: Loc) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """(kind, index, item) of the models, and of the datasets that these candidates are tried on."""
    for index, dataset in items(data, "datasets"):
        own = "tune" in _recipe(dataset)
        if place[:2] == ("datasets", index) or (place[0] == "recipe" and not own):
            yield "datasets", index, dataset
    for index, model in items(data, "models"):
        yield "models", index, model


def _length(key: str) -> str:
    """`epochs` and `steps` take each other's place."""
    return "epochs" if key == "steps" else key


def _dotted(*loc: str | int) -> str:
    return ".".join(map(str, loc))

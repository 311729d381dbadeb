"""`claims.yaml`: published numbers with their sources, typed; every mistake in it at once, with its line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from cvbench import catalog
from cvbench.rules import broken
from cvbench.spec import Frozen, Name, Recipe
from cvbench.yamlfile import Document, Loc, Problem, SpecError, read_yaml

SHIPPED = Path(__file__).with_name("claims.yaml")

# Costs that can be claimed, and in which unit.
COSTS = {"parameters": "M", "macs": "M"}


def _named(value: Any) -> Any:
    """`mnist` is short for `{name: mnist}`."""
    return {"name": value} if isinstance(value, str) else value


def _range(value: Any) -> Any:
    """A number stands for the range from it to itself."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value, value)
    if isinstance(value, list) and len(value) == 2:
        return tuple(value)
    raise ValueError(f"Expected a number or [low, high], but got {value!r}")


class ClaimedDataset(Frozen):
    """The dataset of a claim; of its options, those that must be as here."""

    name: Name
    options: Annotated[dict[str, Any], Field(default_factory=dict)]


class ClaimedModel(Frozen):
    """The model of a claim; of its options, those that must be as here. weights: as a benchmark names them; absent:
    trained from the start.
    """

    name: Name
    options: Annotated[dict[str, Any], Field(default_factory=dict)]
    weights: Name | None = None


class Claim(Frozen):
    """One published number.

    metric: of the task, on test, or a cost such as `parameters`. claimed: in `unit`; [low, high] where publications
    differ among themselves. tolerance: in `unit`; farther from it a measured number differs. protocol, recipe: what a
    record must have for its number to be comparable, a part of its own; test_samples: images that were scored.
    """

    task: Name
    dataset: Annotated[ClaimedDataset, BeforeValidator(_named)]
    model: Annotated[ClaimedModel, BeforeValidator(_named)]
    metric: Name
    claimed: Annotated[tuple[float, float], BeforeValidator(_range)]
    unit: str
    tolerance: Annotated[float, Field(ge=0.0)]
    source: Name
    protocol: Annotated[dict[str, Any], Field(default_factory=dict)]
    recipe: Annotated[dict[str, Any], Field(default_factory=dict)]
    test_samples: Annotated[int, Field(ge=1)] | None = None
    note: str = ""

    @field_validator("claimed")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError(f"Expected [low, high] with low <= high, but got {list(value)}")
        return value

    @property
    def name(self) -> str:
        """`mnist/lenet top1`, with what else tells it from others."""
        model, dataset = self.model, self.dataset
        told = [model.weights] if model.weights else [f"{key}={value}" for key, value in model.options.items()]
        given = [f"{key}={value}" for key, value in dataset.options.items()]
        extra = f" ({', '.join(told + given)})" if told + given else ""
        return f"{dataset.name}/{model.name} {self.metric}{extra}"


class Claims(Frozen):
    """A `claims.yaml`."""

    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]


def load_claims(file: Path) -> tuple[Claim, ...]:
    """Reads a claims.yaml. Raises SpecError with every mistake: file, line, rule and the nearest valid name."""
    document = read_yaml(file)
    if not isinstance(document.data, dict):
        raise SpecError([document.problem((), "Expected the key `claims` with a list of them, but got none")])
    try:
        # JSON's strict mode: a list is taken for a tuple and 1 for 1.0, but "1" never for 1.
        claims = Claims.model_validate_json(json.dumps(document.data)).claims
    except ValidationError as error:
        raise SpecError([_explain(document, item) for item in error.errors()]) from error
    problems = [problem for index, claim in enumerate(claims) for problem in _check(document, ("claims", index), claim)]
    if problems:
        raise SpecError(problems)
    return claims


def _explain(document: Document, error: Mapping[str, Any]) -> Problem:
    """One pydantic error in the words of the file."""
    loc: Loc = tuple(error["loc"])
    where = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        shapes: dict[str, type[Frozen]] = {"dataset": ClaimedDataset, "model": ClaimedModel}
        shape: type[Frozen] = Claims if len(loc) == 1 else shapes.get(str(loc[2]), Claim) if len(loc) > 3 else Claim
        return document.problem(loc, f"unknown key {where!r}{catalog.nearest(str(loc[-1]), shape.model_fields)}")
    if error["type"] == "missing":
        return document.problem(loc[:-1], f"the key {where!r} is missing")
    return document.problem(loc, f"{where}: {broken(error)}")


def _check(document: Document, loc: Loc, claim: Claim) -> Iterator[Problem]:
    """Every name in a claim that the catalog does not have, or that does not fit the others."""
    tasks = [entry.name for entry in catalog.entries("tasks")]
    if claim.task not in tasks:
        rule = f"unknown task {claim.task!r}{catalog.nearest(claim.task, tasks)}"
        yield document.problem((*loc, "task"), rule)
        return
    _, metrics = catalog.metrics(claim.task)
    units = {name: unit for name, (_, _, unit) in metrics.items()} | COSTS
    if claim.metric not in units:
        rule = f"unknown {claim.task} metric {claim.metric!r}{catalog.nearest(claim.metric, units)}"
        yield document.problem((*loc, "metric"), rule)
    elif claim.unit != units[claim.metric]:
        rule = f"Expected the unit of {claim.metric}, {units[claim.metric]!r}, but got {claim.unit!r}"
        yield document.problem((*loc, "unit"), rule)
    if wrong := sorted(claim.recipe.keys() - Recipe.model_fields.keys()):
        rule = f"unknown key {wrong[0]!r}{catalog.nearest(wrong[0], Recipe.model_fields)}"
        yield document.problem((*loc, "recipe", wrong[0]), f"recipe: {rule}")
    yield from _check_item(document, (*loc, "dataset"), "datasets", claim.dataset, claim.task)
    yield from _check_item(document, (*loc, "model"), "models", claim.model, claim.task)


def _check_item(
    document: Document, loc: Loc, kind: Literal["datasets", "models"], item: ClaimedDataset | ClaimedModel, task: str
) -> Iterator[Problem]:
    try:
        entry = catalog.find(kind, item.name, task)
    except catalog.UnknownNameError as error:
        yield document.problem((*loc, "name"), str(error))
        return
    _, wrong = catalog.complete(entry, item.options)
    for option in item.options.keys() & wrong.keys():  # options that are needed, but do not matter here, may be absent
        yield document.problem((*loc, "options", option), wrong[option])

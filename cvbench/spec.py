"""The typed, frozen words of a benchmark file, and `RunSpec`: everything that changes the numbers of one run.

Light: pydantic only. `suite.py` reads these from YAML, `plan.py` turns a `Suite` into `RunSpec`s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cvbench.candidates import candidates

Precision = Literal["32-true", "tf32", "bf16-mixed", "16-mixed"]
Mode = Literal["train", "evaluate"]
# What a benchmark can ask for, and how a record may have come about besides.
SUBMITTED: Literal["submitted"] = "submitted"
RecordMode = Literal["train", "evaluate", "submitted"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Name = Annotated[str, Field(min_length=1)]

# How long a recipe trains that says neither `epochs` nor `steps`.
DEFAULT_EPOCHS = 10

# What a run is called by, and nothing else: these fields do not enter its hash.
_NAMING = frozenset({"suite", "benchmark", "label", "backbone", "overrides", "candidate"})

# Changes of a recipe that all models try before one is chosen for each: key -> value, `augment.flip` for one below.
Candidates = tuple[dict[str, Any], ...]

# Recipe keys that came later, and the value that means "as before": with it they do not enter the hash either.
_LATER_KEYS = {"sync_batch_norm": False}


class Frozen(BaseModel):
    """Base of everything that is read from YAML: immutable, and an unknown key is an error."""

    # Deferred: each verb builds the validators of the few classes that it uses.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Augment(Frozen):
    """Random changes of training images; each sample draws its own parameters from (seed, epoch, sample id).

    flip: mirror left-right with probability 1/2. shift: up to so many pixels each way, zeros move in.
    crop_scale: area share of a random crop that is resized to the input size; above 1 the image shrinks into a border.
    crop_ratio: width / height of that crop relative to the image's. rotate: up to so many degrees each way.
    colour: brightness, contrast and saturation are each scaled by a factor from [1 - colour, 1 + colour].
    Moved-in pixels are 0 in images and void in masks.
    """

    flip: bool = False
    shift: Annotated[int, Field(ge=0)] = 0
    crop_scale: tuple[Positive, Positive] | None = None
    crop_ratio: tuple[Positive, Positive] | None = None
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    colour: Fraction = 0.0

    @field_validator("crop_scale", "crop_ratio")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError(f"Expected [low, high] with low <= high, but got {list(value)}")
        return value


class Recipe(Frozen):
    """Every training choice of a run. `batch_size` is global: the harness divides it by the number of processes.

    epochs or steps: one of them, else 10 epochs; `steps` are optimiser steps. lr: the schedule's peak. warmup: share of
    all steps over which lr rises linearly from 0 (one_cycle: the rising part, 0.3 if not given). milestones: shares of
    all steps at which `step` multiplies lr by gamma. input_size: (H, W) the model gets; absent: the native size.
    resize: `stretch` to it; `crop`: scale the shorter side to input / crop_fraction and take the centre; `fit`: as
    large as it fits in its own shape, at the top left, the rest black.
    class_weights: weigh the loss by median over class frequency (`Task.balance_classes`). gradient_clip: largest norm.
    precision: `32-true` is float32 throughout; `tf32` the same, but a GPU's matrix units round what they multiply to 10
    bits of mantissa; `bf16-mixed` and `16-mixed` are torch's autocast. A device that lacks it refuses the run.
    sync_batch_norm: normalise by the images of all devices, not by each device's own.
    val_every: epochs between validations; the last epoch is always validated.
    """

    epochs: Annotated[int, Field(ge=1)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 32
    optimiser: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Positive = 1e-3
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    schedule: Literal["constant", "cosine", "step", "poly", "one_cycle"] = "cosine"
    warmup: Fraction | None = None
    milestones: tuple[Fraction, ...] = (0.5, 0.75)
    gamma: Fraction = 0.1
    power: Positive = 0.9
    label_smoothing: Fraction = 0.0
    class_weights: Literal["none", "median_frequency"] = "none"
    input_size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    resize: Literal["stretch", "crop", "fit"] = "stretch"
    crop_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.875
    augment: Augment = Augment()
    gradient_clip: Positive | None = None
    precision: Precision = "32-true"
    sync_batch_norm: bool = False
    channels_last: bool = True
    val_every: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("Expected `epochs` or `steps`, but got both; remove one")
        if self.nesterov and (self.optimiser != "sgd" or self.momentum == 0.0):
            given = f"optimiser {self.optimiser} and momentum {self.momentum}"
            raise ValueError(f"Expected optimiser sgd and a momentum above 0 with `nesterov`, but got {given}")
        return self

    def changed(self, *changes: Mapping[str, Any]) -> Recipe:
        """The recipe with keys changed, later changes last and `augment` key by key. Raises ValidationError.

        `epochs` replaces `steps` and the other way round. `tune` is not passed on: it is a question, no choice.
        """
        merged = self.model_dump(mode="json", exclude={"tune"})
        for change in changes:
            change = {key: value for key, value in change.items() if key != "tune"}
            if {"epochs", "steps"} & change.keys():
                merged |= {"epochs": None, "steps": None}
            augment = change.get("augment")
            inner = {"augment": merged["augment"] | augment} if isinstance(augment, dict) else {}
            merged |= {**change, **inner}
        return Recipe.model_validate_json(json.dumps(merged))

    def with_length(self) -> Recipe:
        """The recipe with 10 epochs where it says neither `epochs` nor `steps`."""
        return self if self.epochs or self.steps else self.changed({"epochs": DEFAULT_EPOCHS})


class SharedRecipe(Recipe):
    """The recipe of a benchmark, which all its models share.

    tune: candidates that every model tries with the first seed; the best of them on val is its recipe for all seeds.
    As `candidates.candidates` takes it, kept spelt out; empty: nothing is tuned.
    """

    tune: Candidates = ()

    @field_validator("tune", mode="before")
    @classmethod
    def _spelt_out(cls, value: Any) -> Candidates:
        return tuple(candidate.values for candidate in candidates(value or None))


class DatasetEntry(Frozen):
    """One line of `datasets:`; `recipe` changes the benchmark's recipe for all models on this dataset.

    Its `tune` takes the place of the benchmark's; null: nothing is tuned on this dataset.
    """

    name: Name
    options: dict[str, Any] = {}
    recipe: dict[str, Any] = {}


class ModelEntry(Frozen):
    """One line of `models:`.

    weights: a local file, or the name of a zoo's weights. backbone_weights: a local file for the model's backbone
    alone. A file is a path, or `package:PACKAGE/FILE` where it lies in an installed Python package. recipe: the model's
    own override of the recipe, shown. label: what tables call it, where that is not its name. backbone: a word that
    models of several tasks share; those that do are scored together, across tasks.
    """

    name: Name
    options: dict[str, Any] = {}
    weights: Name | None = None
    backbone_weights: Name | None = None
    recipe: dict[str, Any] = {}
    label: Name | None = None
    backbone: Name | None = None


class Benchmark(Frozen):
    """One YAML file: task x datasets x models x seeds x recipe + primary metric."""

    name: str
    task: str
    mode: Mode = "train"
    title: str | None = None
    datasets: Annotated[tuple[DatasetEntry, ...], Field(min_length=1)]
    models: Annotated[tuple[ModelEntry, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    recipe: SharedRecipe = SharedRecipe()
    primary: str | None = None
    baseline: str | None = None
    file: Path

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"Expected different seeds, but got {list(value)}: the same run twice says nothing more")
        return value

    def candidates_on(self, dataset: DatasetEntry) -> Candidates:
        """What every model tries on this dataset; empty where nothing is tuned. Raises ValueError (TuneError)."""
        if "tune" in dataset.recipe:
            return tuple(candidate.values for candidate in candidates(dataset.recipe["tune"]))
        return self.recipe.tune


class Suite(Frozen):
    """What `cvbench run PATH…` was given: a name (of the folder or file) and its benchmarks in order."""

    name: str
    benchmarks: tuple[Benchmark, ...]


class Weights(Frozen):
    """Where a model's starting weights come from; a local file counts by content, a zoo's name as written."""

    source: str
    sha256: str | None = None


class DatasetRef(Frozen):
    """A dataset as a run names it: every option filled in, and the `VERSION` of its file."""

    name: str
    options: dict[str, Any]
    version: int | None = None


class ModelRef(Frozen):
    """A model as a run names it: every option filled in, its weights, and the `VERSION` of its file."""

    name: str
    options: dict[str, Any]
    version: int | None = None
    weights: Weights | None = None
    backbone_weights: Weights | None = None


class RunSpec(Frozen):
    """One (dataset, model, recipe, seed): the unit that is run, hashed and recorded.

    `suite`, `benchmark`, `label`, `backbone`, `overrides` (recipe keys that this model changed for itself) and
    `candidate` (the name of what this run tries of a recipe that is tuned) only name things and are not hashed; nor are
    absent values and `_LATER_KEYS`, so that a new key whose absence means "as before" keeps old ids valid. mode
    `submitted` stands in records only: of results that were made elsewhere (`cvbench.submissions`).
    """

    task: str
    mode: RecordMode
    primary: str
    dataset: DatasetRef
    model: ModelRef
    recipe: Recipe
    seed: int
    task_version: int
    suite: str = ""
    benchmark: str = ""
    label: str = ""
    backbone: str = ""
    overrides: tuple[str, ...] = ()
    candidate: str = ""

    def _digest(self, *, without: frozenset[str] = frozenset()) -> str:
        science = self.model_dump(mode="json", exclude_none=True, exclude=set(_NAMING | without))
        for weights in (science["model"].get("weights"), science["model"].get("backbone_weights")):
            if weights and "sha256" in weights:
                del weights["source"]
        recipe = science["recipe"]
        science["recipe"] = {key: v for key, v in recipe.items() if key not in _LATER_KEYS or v != _LATER_KEYS[key]}
        canonical = json.dumps(science, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @cached_property
    def run_id(self) -> str:
        """12 hex digits of the hash of what changes this run's numbers."""
        return self._digest()

    @cached_property
    def group_id(self) -> str:
        """The same hash without the seed: runs that are averaged."""
        return self._digest(without=frozenset({"seed"}))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but a changed copy does not keep the ids of what it was copied from."""
        copied = super().model_copy(update=update, deep=deep)
        for cached in ("run_id", "group_id"):
            copied.__dict__.pop(cached, None)
        return copied

    @property
    def name(self) -> str:
        """For people: `camvid/fcn seed 0`, of a candidate `camvid/fcn (lr 0.001) seed 0`."""
        tried = f" ({self.candidate})" if self.candidate else ""
        return f"{self.dataset.name}/{self.label or self.model.name}{tried} seed {self.seed}"

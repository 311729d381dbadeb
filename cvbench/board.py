"""board.json: a leaderboard in its published form, typed, versioned and rounded, without timestamps.

Everything that a page shows is rendered from this file alone. Rows stand in the order of their means; their ranks say
which of these differences are more than chance, and a row without an interval has no rank.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from cvbench.record import MOST_BYTES, Costs, write_atomically
from cvbench.table import State

BOARD_SCHEMA_VERSION = 2
METRIC_DECIMALS = 6


Unit = Literal["%", "x100", ""]
UNITS: tuple[Unit, ...] = get_args(Unit)
# What stands behind a row: retrained here; its evidence scored here; only what somebody says.
Origin = Literal["reproduced", "re-scored", "self-reported"]
# Costs that a row can be on the front of; fields of `Costs`, all the lower the better.
FRONT_COSTS = ("macs", "latency_p50_seconds", "parameters", "train_seconds")


class _Part(BaseModel):
    # Everything in a board is generated: a key that is not ours was put there by hand.
    model_config = ConfigDict(frozen=True, extra="forbid")


class Metric(_Part):
    """A column. direction: which way is better; none: neither is.

    unit: `%`, a value in [0, 1] shown in percent; `x100`, shown times 100, as papers do; empty, shown as it is.
    """

    name: str
    direction: Literal["max", "min", "none"]
    definition: str = ""
    unit: Unit = "%"


class Score(_Part):
    """Mean and sd (ddof 1) over the finished seeds; sd None from one seed, both None without any."""

    mean: float | None
    sd: float | None


class Run(_Part):
    """One seed of a row: its value of the primary metric, or why there is none."""

    seed: int
    run_id: str
    state: State
    value: float | None = None
    reason: str = ""


class Interval(_Part):
    """95 %, of the primary metric's mean. image_only: from one seed, so that what another seed would change is not in
    it. few_positives: classes seen in fewer than 10 test images, each of which makes it less sure than it says.
    """

    low: float
    high: float
    image_only: bool = False
    few_positives: int = 0


class Standing(_Part):
    """Where a row stands among the others. rank: dense, 1 the best, shared inside a tie group. best, worst: 95 %
    interval of its rank. p: adjusted (Holm), against the best of its group; 1 for that one itself.
    """

    rank: int
    best: int
    worst: int
    p: float


class Difference(_Part):
    """A row minus the board's baseline on the same images, 95 % interval, two-sided p.

    probability_better: that one new run of the row beats one of the baseline on new images.
    """

    value: float
    low: float
    high: float
    p: float
    probability_better: float | None


class Candidate(_Part):
    """A recipe that a row tried, run with the board's first seed. values: what it changes, `augment.flip` for a key of
    `augment`; val: the primary metric on val, by which one is chosen; reason: why it has none.
    """

    values: dict[str, Any]
    run_id: str
    val: float | None = None
    reason: str = ""


class Tuned(_Part):
    """How a row came to its recipe. chosen: place among the candidates, None where none could be chosen (yet).

    train_seconds: of all candidates together, the chosen one included; None where none knows.
    """

    seed: int
    candidates: tuple[Candidate, ...]
    chosen: int | None
    train_seconds: float | None

    @property
    def values(self) -> dict[str, Any]:
        """What the chosen candidate changes; empty where none is chosen."""
        return {} if self.chosen is None else self.candidates[self.chosen].values

    @property
    def failed(self) -> int:
        """How many candidates were tried in vain."""
        return sum(bool(candidate.reason) for candidate in self.candidates)


class Curve(_Part):
    """How the training of one seed went: mean training loss and the primary metric on val, None where not measured."""

    seed: int
    epochs: tuple[float, ...]
    loss: tuple[float | None, ...]
    val: tuple[float | None, ...]


class CalibrationBin(_Part):
    """Test samples, over all seeds, whose surest class has a probability in this bin; and the share that are right."""

    confidence: float
    accuracy: float
    count: int


class Picture(_Part):
    """A test sample with what the model says of it, and the truth. score: of this sample alone. webp: in base64."""

    sample: str
    kind: Literal["hard", "typical"]
    score: float
    webp: str


class Row(_Part):
    """One model of a board. n of planned runs are finished and in every mean.

    interval, standing: None where it has no run, or where `unranked` says why. versus_baseline: None besides for
    the baseline itself. origin: the weakest of its runs'. url: of a result that was made elsewhere. backbone: what rows
    of several tasks are joined by. front: costs of `FRONT_COSTS` at which no other row is both better and cheaper.
    per_class: metric -> one value a class, in the order of the board's classes: the mean over the seeds that define it,
    None where none does. recipe: what differs from the board's (None: absent here). environments: indices into those of
    the leaderboard. pictures: of one seed's run. tuned: None where the recipe is as written; where nothing is chosen,
    the row has no recipe, hence no ids. batch_norm_batch: the fewest images that its batch normalisation saw at once in
    training, where devices or accumulation left it less than the recipe's batch; None: as many, or it has none.
    """

    label: str
    model: str
    options: dict[str, Any]
    weights: dict[str, str] | None
    backbone_weights: dict[str, str] | None = None
    backbone: str = ""
    group_id: str
    origin: Origin = "reproduced"
    url: str = ""
    unranked: str = ""
    standing: Standing | None = None
    mean: float | None
    sd: float | None
    interval: Interval | None = None
    versus_baseline: Difference | None = None
    n: int
    planned: int
    state: str
    runs: tuple[Run, ...]
    scores: dict[str, Score]
    per_class: dict[str, tuple[float | None, ...]]
    costs: Costs | None
    front: tuple[str, ...] = ()
    recipe: dict[str, Any]
    overrides: tuple[str, ...]
    environments: tuple[int, ...]
    batch_norm_batch: int | None = None
    curves: tuple[Curve, ...] = ()
    calibration: tuple[CalibrationBin, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tuned: Tuned | None = None


class Board(_Part):
    """All models on one dataset under one protocol. metrics: the primary one first. recipe: of most rows.

    official_sizes: images of each split of the whole data set where that is published; a smaller split is a pack.
    baseline: label of the row that the others are held against. jobs: most runs that went at once while costs were
    measured. colours: of the classes, as pictures draw them.
    """

    benchmark: str
    title: str
    task: str
    mode: str
    dataset: str
    options: dict[str, Any]
    protocol: dict[str, Any] | None
    protocol_hash: str | None
    revision: str | None
    split_sizes: dict[str, int]
    official_sizes: dict[str, int] = {}
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...] | None = None
    absent_classes: tuple[str, ...]
    absent_metrics: dict[str, str] = {}
    licence: str
    redistributable: bool
    metrics: tuple[Metric, ...]
    selection: tuple[str, ...]
    recipe: dict[str, Any]
    command: str
    baseline: str | None = None
    jobs: int | None = None
    rows: tuple[Row, ...]

    @property
    def primary(self) -> Metric:
        return self.metrics[0]

    @property
    def pack(self) -> dict[str, tuple[int, int]]:
        """role -> (images here, images of the whole data set), where there are fewer; empty for a whole data set."""
        sizes = {role: (self.split_sizes.get(role, 0), whole) for role, whole in self.official_sizes.items()}
        return {role: pair for role, pair in sizes.items() if pair[0] < pair[1]}


class SuiteRow(_Part):
    """One name's score over several boards: 1 where it is the best on all, the higher the further behind; 95 %."""

    name: str
    score: float
    low: float
    high: float


class SuiteScore(_Part):
    """Rows over several data sets of one task, by label; or over several tasks (task empty), by common backbone.

    boards: how many were averaged. Only rows that have a finished run on each of them.
    """

    task: str
    boards: int
    rows: tuple[SuiteRow, ...]


class Leaderboard(_Part):
    """All boards of a suite, and what made them. environments: each distinct set-up that a row was measured on.

    methods: how each statistic was made, with its paper.
    """

    schema_version: int = BOARD_SCHEMA_VERSION
    suite: str
    title: str
    cvbench_version: str
    evaluator_version: int
    methods: dict[str, str] = {}
    environments: tuple[dict[str, Any], ...]
    suite_scores: tuple[SuiteScore, ...] = ()
    boards: tuple[Board, ...]


def freeze(leaderboard: Leaderboard, path: Path) -> None:
    """Writes board.json, atomically."""
    write_atomically(path, frozen(leaderboard))


def frozen(leaderboard: Leaderboard) -> str:
    """The one text of a leaderboard: equal leaderboards, equal bytes."""
    return leaderboard.model_dump_json(indent=1) + "\n"


def thawed(text: str) -> Leaderboard:
    """What `frozen` gave the text of."""
    return Leaderboard.model_validate_json(text)


def read_board(path: Path) -> Leaderboard:
    """Reads board.json. Raises ValueError that names the file when it is damaged or of a newer schema."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
        data = json.loads(content)
        version = data.get("schema_version") if isinstance(data, dict) else None
        if isinstance(version, int) and version > BOARD_SCHEMA_VERSION:
            raise ValueError(f"Expected schema_version <= {BOARD_SCHEMA_VERSION}, but got {version}; upgrade cvbench")
        if version == 1:
            _upgrade(data)
        return Leaderboard.model_validate(data)
    except (ValueError, RecursionError) as error:
        first = " ".join(line.strip() for line in str(error).splitlines()[:3])
        raise ValueError(f"{path}: not a board ({first}); render it again with `cvbench leaderboard`") from error


def _upgrade(data: dict[str, Any]) -> None:
    """Version 1 had neither ranks nor intervals, but empty places for them."""
    data["schema_version"] = BOARD_SCHEMA_VERSION
    for board in data.get("boards", ()):
        for row in board.get("rows", ()):
            row.pop("rank", None)
            row.pop("interval", None)


def sort_key(row: Row, direction: str) -> tuple[bool, float, str, str]:
    """Sorts rows best mean first, rows without one last, equal ones by name."""
    mean = row.mean if row.mean is not None else 0.0
    return row.mean is None, -mean if direction == "max" else mean, row.label, row.group_id

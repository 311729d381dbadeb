"""The metrics table in order: planned runs, records and evidence -> `Leaderboard`, rounded for good. Never torch."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from cvbench import __version__, catalog
from cvbench.board import UNITS, Board, Metric, Picture, Row, SuiteScore, sort_key
from cvbench.board import Leaderboard as Leaderboard
from cvbench.evidence import RunEvidence
from cvbench.gallery import within
from cvbench.metrics.version import EVALUATOR_VERSION
from cvbench.record import DatasetFacts, Record
from cvbench.rows import build_row, curves_of, environment, labels_of, pictures_of, short, undecided, with_fronts
from cvbench.spec import SUBMITTED, Benchmark, RunSpec, Suite
from cvbench.standings import Proven, difference, prove, standings, suite_score
from cvbench.statistics.comparison import Direction
from cvbench.statistics.methods import METHODS
from cvbench.table import Group, canonical, dataset_key, groups, made_elsewhere, protocol_hash, row_key
from cvbench.tuning import Tuning

# What others have handed in for the task and data set of a run, under the protocol and revision of these facts.
Submitted = Callable[[RunSpec, DatasetFacts], Sequence[Record]]


class Member(NamedTuple):
    """A row in the making."""

    group: Group
    proven: Proven
    label: str
    pictures: tuple[Picture, ...]
    tuning: Tuning | None = None


def rank(
    suite: Suite,
    planned: Sequence[RunSpec],
    records: Iterable[Record],
    evidence: RunEvidence | None = None,
    *,
    failed: Mapping[str, str] | None = None,
    revisions: Mapping[str, str | None] | None = None,
    overrides: Sequence[str] = (),
    submitted: Submitted | None = None,
    published: bool = True,
    tunings: Sequence[Tuning] = (),
) -> Leaderboard:
    """Orders each board's rows, best mean first, rows without a finished run last, and rounds for good.

    evidence: what the runs left; without it no row has an interval, hence none a rank. failed, revisions: see
    `table.groups`, also for the errors. overrides: the command line's `dotted.key=value`, for the command that
    reproduces a board. submitted: what others have handed in for a data set, as further rows. published: pictures only
    of data that may be shown to anybody. tunings: of the rows that are tuned, whose `runs` are among the planned ones;
    where nothing is chosen the row says why.
    """
    tuned = {row_key(tuning.runs[0]): tuning for tuning in tunings if tuning.runs}
    made = [(group, tuned.get(row_key(group.spec))) for group in groups(planned, records, failed, revisions)]
    made += [(undecided(tuning), tuning) for tuning in tunings if not tuning.runs]
    tables: dict[tuple[str, str], list[tuple[Group, Proven, Tuning | None]]] = {}
    for group, tuning in made:
        place = (group.spec.benchmark, dataset_key(group.spec))
        tables.setdefault(place, []).append((*prove(group, evidence), tuning))
    if submitted is not None:
        for table in tables.values():
            handed_in = _handed_in([group for group, *_ in table], submitted)
            table += [(*prove(group, evidence), None) for group in handed_in]
    found = [group for table in tables.values() for group, *_ in table]
    pictures = iter(within([pictures_of(group, evidence) if _shown(group, published) else [] for group in found]))
    environments, used = _environments(found)
    by_name = {benchmark.name: benchmark for benchmark in suite.benchmarks}
    boards, members = [], []
    for (name, _), table in tables.items():
        labels = labels_of([group.spec for group, *_ in table])
        rows = [
            Member(group, proven, label, next(pictures), tuning)
            for (group, proven, tuning), label in zip(table, labels, strict=True)
        ]
        boards.append(_board(by_name[name], rows, used, overrides, evidence))
        members.append(rows)
    return Leaderboard(
        suite=suite.name,
        title=suite.name,
        cvbench_version=__version__,
        evaluator_version=EVALUATOR_VERSION,
        methods=METHODS if evidence is not None else {},
        environments=environments,
        suite_scores=suite_scores_of(boards, members),
        boards=tuple(boards),
    )


def _handed_in(of: Sequence[Group], submitted: Submitted) -> list[Group]:
    known = next(((group.spec, group.facts) for group in of if group.facts is not None), None)
    if known is None:  # no run here tells which protocol and data it would have to be of
        return []
    return made_elsewhere(submitted(*known), *known)


def _shown(group: Group, published: bool) -> bool:
    return not published or (group.facts is not None and group.facts.redistributable)


def _environments(found: Sequence[Group]) -> tuple[tuple[dict[str, Any], ...], dict[str, int]]:
    """Each distinct set-up that a run was measured on, and run_id -> its place among them."""
    places: dict[str, int] = {}
    used: dict[str, int] = {}
    distinct: list[dict[str, Any]] = []
    for record in (record for group in found for record in group.records if not record.submission):
        about = environment(record)
        place = places.setdefault(canonical(about), len(places))
        used[record.run_id] = place
        if place == len(distinct):
            distinct.append(about)
    return tuple(distinct), used


def _board(
    benchmark: Benchmark,
    members: Sequence[Member],
    environments: Mapping[str, int],
    overrides: Sequence[str],
    evidence: RunEvidence | None,
) -> Board:
    of = [member.group for member in members]
    spec, facts = of[0].spec, next((group.facts for group in of if group.facts is not None), None)
    records = [record for group in of for record in group.records]
    metrics = _metrics(of)
    # nobody here knows the recipe of what was made elsewhere
    recipes = [None if _elsewhere(g) else g.spec.recipe.model_dump(mode="json", exclude_none=True) for g in of]
    decided = [member.tuning is None or member.tuning.stage == "chosen" for member in members]
    here = [(recipe, known) for recipe, known in zip(recipes, decided, strict=True) if recipe is not None]
    usual = _usual([recipe for recipe, known in here if known] or [recipe for recipe, _ in here])
    absent = {name for record in records for name in record.absent_classes}
    rows = [
        build_row(
            member.group,
            member.label,
            metrics,
            recipe=_differences(recipe, usual) if recipe is not None and known else {},
            environments=environments,
            proven=member.proven,
            curves=curves_of(member.group, evidence),
            pictures=member.pictures,
            tuning=member.tuning,
        )
        for member, recipe, known in zip(members, recipes, decided, strict=True)
    ]
    baseline = next((m for m in members if m.group.spec.label == benchmark.baseline), None)
    # before they are compared: of equal rows, the one that the board shows first is the best of their group
    order = sorted(range(len(rows)), key=lambda place: sort_key(rows[place], metrics[0].direction))
    in_order = [rows[place] for place in order], [members[place] for place in order]
    rows = compared(*in_order, baseline, direction_of(metrics[0]))
    return Board(
        benchmark=benchmark.name,
        title=benchmark.title or "",
        task=spec.task,
        mode=spec.mode,
        dataset=spec.dataset.name,
        options=spec.dataset.options,
        protocol=facts.protocol if facts else None,
        protocol_hash=protocol_hash(facts.protocol) if facts else None,
        revision=facts.revision if facts else None,
        split_sizes=facts.split_sizes if facts else {},
        official_sizes=catalog.official_sizes(spec.dataset.name, spec.dataset.options),
        classes=facts.classes if facts else (),
        colours=facts.colours if facts else None,
        absent_classes=tuple(name for name in facts.classes if name in absent) if facts else (),
        absent_metrics={name: short(why) for record in records for name, why in record.absent_metrics.items()},
        licence=facts.licence if facts else "",
        redistributable=facts.redistributable if facts else False,
        metrics=metrics,
        selection=tuple(dict.fromkeys(record.selection.rule for record in records)),
        recipe=usual,
        command=_command(benchmark, overrides),
        baseline=baseline.label if baseline else None,
        jobs=max((record.execution.jobs or 1 for record in records if record.execution), default=None),
        rows=tuple(rows),
    )


def compared(
    rows: Sequence[Row], members: Sequence[Member], baseline: Member | None, direction: Direction
) -> list[Row]:
    """The rows, in the order of the board, with what follows from all of them: ranks, differences to the baseline,
    fronts."""
    ranks = standings({str(place): member.proven for place, member in enumerate(members)}, direction)
    found = []
    for place, (row, member) in enumerate(zip(rows, members, strict=True)):
        apart = None
        if baseline is not None and member is not baseline:
            apart = difference(member.proven, baseline.proven, direction)
        found.append(row.model_copy(update={"standing": ranks.get(str(place)), "versus_baseline": apart}))
    return with_fronts(found, direction)


def suite_scores_of(boards: Sequence[Board], members: Sequence[Sequence[Member]]) -> tuple[SuiteScore, ...]:
    """Of each task over its boards, by label; and over boards of several tasks, by the backbone that rows declare."""
    found = []
    for task in dict.fromkeys(board.task for board in boards):
        of = [(board, rows) for board, rows in zip(boards, members, strict=True) if board.task == task]
        found.append(
            suite_score(task, [{m.label: (m.proven, direction_of(board.primary)) for m in rows} for board, rows in of])
        )
    by_backbone = []
    for board, rows in zip(boards, members, strict=True):
        named: dict[str, list[Member]] = {}
        for member in rows:
            named.setdefault(member.group.spec.backbone, []).append(member)
        # two models of one backbone on a board: nobody could say which of them is meant
        clear = {name: of[0] for name, of in named.items() if name and len(of) == 1}
        by_backbone.append({name: (m.proven, direction_of(board.primary)) for name, m in clear.items()})
    if len({board.task for board in boards}) > 1:
        found.append(suite_score("", by_backbone))
    return tuple(score for score in found if score is not None)


def direction_of(metric: Metric) -> Direction:
    return "min" if metric.direction == "min" else "max"


def _metrics(groups_of: Sequence[Group]) -> tuple[Metric, ...]:
    """Every test metric that a finished run has, the primary one first."""
    task = groups_of[0].spec.task
    try:
        _, declared = catalog.metrics(task)
    except (KeyError, OSError):  # a task whose metrics are somebody's own: its records say what is needed
        declared = {}
    directions = {
        key.removeprefix("test/"): direction
        for group in groups_of
        for record in group.records
        for key, direction in record.directions.items()
    }
    names = dict.fromkeys(name for group in groups_of for name in group.metrics)
    found = []
    for name in names:
        direction, definition, unit = declared.get(name, ("max", "", ""))
        found.append(
            Metric(
                name=name,
                direction=directions.get(name, direction),
                definition=definition,
                unit=next((known for known in UNITS if known == unit), ""),
            )
        )
    return tuple(found)


def _elsewhere(group: Group) -> bool:
    return group.spec.mode == SUBMITTED


def _usual(recipes: list[dict[str, Any]]) -> dict[str, Any]:
    """The recipe of most rows; among equals the first. Empty where all rows were made elsewhere."""
    if not recipes:
        return {}
    texts = [canonical(recipe) for recipe in recipes]
    return recipes[max(range(len(texts)), key=lambda index: (texts.count(texts[index]), -index))]


def _differences(recipe: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    return {key: recipe.get(key) for key in usual | recipe if recipe.get(key) != usual.get(key)}


def _command(benchmark: Benchmark, overrides: Sequence[str]) -> str:
    parts = benchmark.file.parts
    # from the folder of benchmarks on, so that the board does not say where somebody's checkout lies
    file = PurePath(*parts[parts.index("benchmarks") :]) if "benchmarks" in parts else PurePath(benchmark.file.name)
    return shlex.join(["cvbench", "run", file.as_posix(), *overrides])

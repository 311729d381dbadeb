"""What is to be said of a board in words: its heading, its protocol, what its ranks, intervals and costs rest on.

Shared by all renderings, so that they say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cvbench.board import Board, Leaderboard, Row, SuiteScore
from cvbench.page import text

IMAGE_ONLY, FEW_POSITIVES, BATCH_NORM = "†", "‡", "§"
_ORIGINS = {
    "reproduced": "trained and scored here",
    "re-scored": "made elsewhere, its evidence scored here",
    "self-reported": "only what its authors say, nothing scored here",
}
_TOLD_APART = "a paired test over the same images does not tell them from the best of them (level 0.05, Holm)"


def heading(leaderboard: Leaderboard, board: Board) -> str:
    """`camvid (classes 11)`: the dataset, with the options that tell it from the suite's other boards on it."""
    peers = [other for other in leaderboard.boards if other.dataset == board.dataset]
    differ = {
        key: value
        for key, value in board.options.items()
        if any(other.options.get(key) != value for other in peers if other is not board)
    }
    name = f"{board.dataset} ({text.settings(differ)})" if differ else board.dataset
    same = [other for other in peers if (other.task, other.options) == (board.task, board.options)]
    return f"{name}: {board.task}" + (f", {board.benchmark}" if len(same) > 1 else "")


def protocol(board: Board) -> list[str]:
    """What makes the numbers comparable, one sentence each, names as the dataset gives them."""
    if board.protocol is None:
        return ["No run has finished yet, so the protocol is not known here."]
    rest = dict(board.protocol)
    rest.pop("classes", None)
    roles = rest.pop("roles", {})
    roles = roles if isinstance(roles, Mapping) else {"roles": roles}
    splits = [
        f"{role} {number:,} images" + (f" ({roles[role]})" if role in roles else "")
        for role, number in board.split_sizes.items()
    ]
    sentences = [f"{len(board.classes)} classes."] if board.classes else []
    sentences.append(f"Splits: {'; '.join(splits)}.")
    if "scoring_size" in rest:
        sentences.append(f"Scored at {_scoring_size(rest.pop('scoring_size'))}.")
    sentences += [f"{key.replace('_', ' ').capitalize()}: {_words(value)}." for key, value in rest.items()]
    if board.selection:
        sentences.append(f"Tested checkpoint: {'; '.join(board.selection)}.")
    if board.absent_metrics:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in board.absent_metrics.items())
        sentences.append(f"Not measured: {reasons}.")
    if board.absent_classes:
        sentences.append(
            f"Without a value in these test data, so left out of means: {', '.join(board.absent_classes)}."
        )
    return sentences


def unfinished(board: Board) -> list[tuple[Row, list[str]]]:
    """Rows with runs that are not in the numbers, and a line for each reason."""
    return [(row, lines) for row in board.rows if (lines := missing(row))]


def missing(row: Row) -> list[str]:
    """Which seeds are not in the row's numbers, a line for each reason."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for run in row.runs:
        if run.state != "done":
            seeds.setdefault((run.state, run.reason), []).append(str(run.seed))
    return [
        f"{'seeds' if len(numbers) > 1 else 'seed'} {', '.join(numbers)} {state}" + (f": {reason}" if reason else "")
        for (state, reason), numbers in seeds.items()
    ]


def suite_heading(score: SuiteScore) -> str:
    """Over what a suite score was averaged."""
    over = f"{score.boards} boards"
    return f"{score.task}, over {over}" if score.task else f"Across tasks, by common backbone, over {over}"


def notes(board: Board) -> list[str]:
    """All that must be read along with the table, a sentence each."""
    return [*pack(board), *ranking(board), *marks(board), *_differences(board), *origins(board), *_costs(board)]


def pack(board: Board) -> list[str]:
    """Where this is less than the whole data set."""
    parts = [f"{here:,} of {whole:,} {role}" for role, (here, whole) in board.pack.items()]
    if not parts:
        return []
    return [f"A pack: {text.listed(parts)} images; not comparable with numbers on the whole data set."]


def ranking(board: Board) -> list[str]:
    """What the ranks say, or why there are none."""
    with_mean = [row for row in board.rows if row.mean is not None]
    ranks = {row.label: row.standing.rank for row in with_mean if row.standing}
    if not ranks:
        return [
            "Rows stand in the order of their means. No row has an interval, so that order is no ranking: gaps of "
            "about the size of the deviation may be chance."
        ]
    found = []
    for rank in sorted(set(ranks.values())):
        names = [label for label, other in ranks.items() if other == rank]
        if len(names) > 1:
            found.append(f"Rank {rank} is shared by {text.listed(names)}: {_TOLD_APART}.")
    if any(row.standing and row.standing.best != row.standing.worst for row in with_mean):
        found.append("In brackets behind a rank: 95 % interval of the row's place among all.")
    if without := [row.label for row in with_mean if row.standing is None]:
        found.append(f"No rank without an interval: not all evidence of {text.listed(without)} is here.")
    return found


def marks(board: Board) -> list[str]:
    """What the marks at means and intervals mean."""
    intervals = [(row.label, row.interval) for row in board.rows if row.interval is not None]
    found = []
    if alone := [label for label, interval in intervals if interval.image_only]:
        found.append(
            f"{IMAGE_ONLY} {text.listed(alone)}: from one seed, so the interval holds what other test images would "
            "change, not what another seed would."
        )
    few: dict[int, list[str]] = {}
    for label, interval in intervals:
        if interval.few_positives:
            few.setdefault(interval.few_positives, []).append(label)
    for number, labels in few.items():
        classes = "1 class has" if number == 1 else f"{number} classes have"
        found.append(
            f"{FEW_POSITIVES} {text.listed(labels)}: {classes} fewer than 10 test images, so the interval is less sure "
            "than it says."
        )
    divided: dict[int, list[str]] = {}
    for row in board.rows:
        if row.batch_norm_batch is not None:
            divided.setdefault(row.batch_norm_batch, []).append(row.label)
    for number, labels in divided.items():
        images = "1 image" if number == 1 else f"{number} images"
        found.append(
            f"{BATCH_NORM} {text.listed(labels)}: batch normalisation saw {images} at once and not the "
            "recipe's batch, which several devices or accumulation divided: not the training of one device."
        )
    return found


def origins(board: Board) -> list[str]:
    """What stands behind rows that were not all made here."""
    found = {row.origin for row in board.rows}
    if found == {"reproduced"} or not found:
        return []
    return [f"{'; '.join(f'{name}: {words}' for name, words in _ORIGINS.items() if name in found).capitalize()}."]


def _differences(board: Board) -> list[str]:
    if not any(row.versus_baseline for row in board.rows):
        return []
    return [f"Differences are to {board.baseline}, on the same images, with 95 % intervals."]


def _costs(board: Board) -> list[str]:
    if board.jobs is None or board.jobs < 2:
        return []
    return [f"Costs were measured with up to {board.jobs} runs at once: times may be longer than those of one alone."]


def _scoring_size(value: Any) -> str:
    return "the native size of the labels" if value == "native" else f"{_words(value)} pixels"


def _words(value: Any) -> str:
    return text.settings(value) if isinstance(value, Mapping) else text.setting(value)

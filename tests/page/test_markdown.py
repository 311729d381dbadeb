"""What leaderboard.md says, read back through a Markdown parser."""
# ruff: noqa: RUF001

from __future__ import annotations

from markdown_it import MarkdownIt

from cvbench.board import Interval
from cvbench.leaderboard import rank
from cvbench.page import sentences
from cvbench.page.markdown import MOST_CLASSES, render
from cvbench.record import Costs, Execution
from cvbench.spec import DatasetRef
from tests import boards
from tests.records import facts, plan, record, suite


def tables(markdown: str) -> list[list[list[str]]]:
    """All tables as rows of cells."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.map:
            in_table = token.level >= 4
            if in_table:
                found[-1][-1].append(token.content)
    return found


def board(**changes):
    runs = plan(("lenet", "mlp", "none"))
    scores = {"lenet": (0.90, 0.92, 0.97), "mlp": (0.5, 0.7)}
    records = [
        record(run, scores[run.label][run.seed], others={"nll": 0.25}, **changes)
        for run in runs
        if run.label in scores and run.seed < len(scores[run.label])
    ]
    return rank(suite(), runs, records, failed={runs[5].run_id: "nan at step 3"})


def test_the_headline_table():
    head, *rows = tables(render(board()))[0]
    assert head == ["model", "top1 % ↑", "runs", "nll ↓", "params", "MACs", "images/s", "train"]
    assert rows == [
        ["lenet", "93.00 ± 3.61", "3 of 3", "0.250 ± 0.000", "61.7k", "417k", "5.00k", "11.0 s"],
        ["mlp", "60.00 ± 14.14", "2 of 3, 1 failed", "0.250 ± 0.000", "61.7k", "417k", "5.00k", "10.5 s"],
        ["none", "–", "0 of 3, 3 missing", "–", "–", "–", "–", "–"],
    ]


def test_what_is_not_in_the_numbers_is_said():
    markdown = render(board())
    assert "- mlp: seed 2 failed: nan at step 3\n- none: seeds 0, 1, 2 missing\n" in markdown


def test_protocol_in_words():
    markdown = render(board())
    assert (
        "2 classes. Splits: train 1,200 images (fixed share); val 100 images; test 400 images (the rest). "
        "Scored at the native size of the labels. Tested checkpoint: best val/top1." in markdown
    )
    assert "**Reproduce**: `cvbench run benchmarks/quick/classification.yaml`" in markdown


def test_per_class_table_has_classes_down_and_models_across():
    assert tables(render(board()))[1] == [["class", "lenet", "mlp"], ["zero", "93.00", "60.00"], ["one", "–", "–"]]


def test_many_classes_are_left_to_the_json():
    names = tuple(f"class {index}" for index in range(MOST_CLASSES + 1))
    markdown = render(board(dataset=facts(classes=names), per_class={"top1": dict.fromkeys(names, 0.5)}))
    assert "Per-class top1 of the 41 classes is in `board.json`." in markdown
    assert len(tables(markdown)) == 1


def test_a_board_without_any_run_says_so():
    markdown = render(rank(suite(), plan(), []))
    assert "No run has finished yet" in markdown
    assert tables(markdown) == [[["model", "top1 % ↑", "runs"], ["lenet", "–", "0 of 3, 3 missing"]]]


def test_boards_on_one_dataset_are_told_apart():
    runs = [
        *plan(seeds=(0,), dataset=DatasetRef(name="camvid", options={"classes": 11, "size": 1})),
        *plan(seeds=(0,), dataset=DatasetRef(name="camvid", options={"classes": 12, "size": 1})),
        *plan(seeds=(0,), dataset=DatasetRef(name="camvid", options={"classes": 12, "size": 1}), benchmark="other"),
    ]
    leaderboard = rank(suite(("classification", "other")), runs, [])
    assert [sentences.heading(leaderboard, board) for board in leaderboard.boards] == [
        "camvid (classes 11): classification",
        "camvid (classes 12): classification, classification",
        "camvid (classes 12): classification, other",
    ]


def test_rows_of_several_environments_name_theirs():
    runs = plan(("a", "b"), seeds=(0,))
    gpu = Execution(accelerator="cuda", devices=2, device_name="a GPU", threads=4, batch_per_device=1)
    leaderboard = rank(suite(), runs, [record(runs[0], 0.9), record(runs[1], 0.8, execution=gpu)])
    markdown = render(leaderboard)
    assert [row[-1] for row in tables(markdown)[0]] == ["environment", "A", "B"]
    assert "- **B**: accelerator cuda, devices 2, device\\_name" not in markdown
    assert "- **B**: accelerator cuda, devices 2, device_name a GPU, threads 4" in markdown


def test_rare_metrics_and_costs_stand_in_a_table_of_their_own():
    runs = plan(seeds=(0,))
    costs = Costs(parameters=10, latency_p50_seconds=0.0021, peak_memory_bytes=2**20)
    others = {"top5": 0.99, "macro_top1": 0.9, "nll": 0.3}
    found = tables(render(rank(suite(), runs, [record(runs[0], 0.9, costs=costs, others=others)])))
    assert found[0][0] == ["model", "top1 % ↑", "runs", "top5 % ↑", "macro_top1 % ↑", "params"]
    assert found[2] == [["model", "nll ↓", "p50", "memory"], ["lenet", "0.300", "2.10 ms", "1.00 MiB"]]


def test_ranks_intervals_and_differences_stand_in_the_headline():
    found = tables(render(boards.leaderboard()))[0]
    assert [row[:6] for row in found] == [
        ["rank", "model", "top1 % ↑", "95 %", "vs segnet", "runs"],
        ["1", "unet", "80.00 ± 1.00", "\\[77.00, 83.00\\]", "+10.00 \\[5.00, 15.00\\]", "3 of 3"],
        ["1 (1–2)", "fcn", "79.00 ± 1.00", "\\[70.00, 85.00\\]‡", "+10.00 \\[5.00, 15.00\\]", "3 of 3"],
        ["2 (3)", "segnet", "60.00 ± 1.00", "\\[57.00, 63.00\\]", "baseline", "3 of 3"],
        ["–", "linear", "–", "–", "–", "0 of 3, 3 failed"],
    ]


def test_what_ranks_rest_on_is_said_and_no_more():
    markdown = render(boards.leaderboard())
    for note in (
        "- A pack: 400 of 4,000 train, 60 of 600 val and 120 of 1,200 test images; not comparable",
        "- Rank 1 is shared by unet and fcn: a paired test over the same images does not tell them from",
        "- In brackets behind a rank: 95 % interval of the row's place among all.",
        "- ‡ fcn: 2 classes have fewer than 10 test images",
        "- Differences are to segnet,",
        "- Reproduced: trained and scored here; re-scored: made elsewhere, its evidence scored here.",
        "- Costs were measured with up to 2 runs at once",
        "- interval: 95 % interval: variance of the images by the bootstrap",
    ):
        assert note in markdown
    assert "no ranking" not in markdown
    unranked = render(board())
    assert "No row has an interval, so that order is no ranking" in unranked
    assert "shared" not in unranked
    assert "A pack" not in unranked


def test_one_seed_and_missing_evidence_are_marked():
    rows = (
        boards.row("a", 0.8, interval=Interval(low=0.7, high=0.9, image_only=True)),
        boards.row("b", 0.7, standing=None, interval=None),
    )
    markdown = render(boards.leaderboard((boards.board(rows, jobs=1, official_sizes={}),)))
    assert "\\[70.00, 90.00\\]†" in markdown
    assert "- † a: from one seed, so the interval holds what other test images would change" in markdown
    assert "- No rank without an interval: not all evidence of b is here." in markdown
    assert "at once" not in markdown
    assert "| origin |" not in markdown


def test_a_divided_batch_is_marked_where_batch_norm_saw_it():
    rows = boards.row("a", 0.8, batch_norm_batch=32), boards.row("b", 0.7), boards.row("c", 0.6, batch_norm_batch=1)
    markdown = render(boards.leaderboard((boards.board(rows),)))
    assert [row[2] for row in tables(markdown)[0][1:]] == ["80.00 ± 1.00§", "70.00 ± 1.00", "60.00 ± 1.00§"]
    assert "- § a: batch normalisation saw 32 images at once and not the recipe's batch" in markdown
    assert "- § c: batch normalisation saw 1 image at once" in markdown
    assert "§ b" not in markdown


def test_scores_over_several_boards():
    found = tables(render(boards.leaderboard()))[-1]
    assert found == [
        ["model", "score", "95 %"],
        ["unet", "1.00", "\\[1.00, 1.40\\]"],
        ["fcn", "2.10", "\\[1.20, 3.00\\]"],
    ]


def test_energy_is_shown_where_devices_told_it():
    costs = Costs(parameters=1, train_energy_joules=5400.0)
    markdown = render(boards.leaderboard((boards.board((boards.row(costs=costs),)),)))
    assert tables(markdown)[0][1][-1] == "1.50 Wh"
    assert "energy: what its devices drew" in markdown
    assert "energy" not in render(boards.leaderboard())

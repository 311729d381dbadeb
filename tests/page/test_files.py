"""Publishing and checking: byte for byte, from board.json alone."""

from __future__ import annotations

import csv
import json
import re
import shutil

import pytest
from markdown_it import MarkdownIt

from cvbench.leaderboard import rank
from cvbench.page.files import RENDERERS, check, check_all, publish
from cvbench.page.index import write_index
from cvbench.record import Costs
from cvbench.table import metrics_table
from tests import boards
from tests.records import plan, record, suite


def _tokens(markdown):
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        yield from [token, *(token.children or [])]


def leaderboard(names=("lenet", "mlp")):
    runs = plan(names)
    records = [record(run, 0.9 + 0.01 * run.seed, others={"nll": 0.1 * run.seed}) for run in runs[:-1]]
    return rank(suite(), runs, records, failed={runs[-1].run_id: "nan at step 3"})


@pytest.fixture
def folder(tmp_path):
    publish(leaderboard(), tmp_path / "quick")
    return tmp_path / "quick"


def test_publish_writes_the_board_first_and_returns_all_paths(tmp_path):
    paths = publish(leaderboard(), tmp_path / "new" / "quick")
    assert [path.name for path in paths] == [
        *("board.json", "metrics.csv", "leaderboard.md", "board.svg", "index.html")
    ]
    assert sorted(path.name for path in (tmp_path / "new" / "quick").iterdir()) == sorted(path.name for path in paths)
    assert check(tmp_path / "new" / "quick") == []


def test_the_same_leaderboard_gives_the_same_bytes(folder, tmp_path):
    publish(leaderboard(), tmp_path / "again")
    for name in ["board.json", *RENDERERS]:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("name", ["metrics.csv", "leaderboard.md", "board.svg", "index.html"])
def test_an_edited_file_is_found_with_its_first_differing_line(folder, name):
    lines = (folder / name).read_text(encoding="utf-8").split("\n")
    number = next(number for number, line in enumerate(lines) if "lenet" in line)
    good = lines[number]
    lines[number] = lines[number].replace("lenet", "LENET")
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    (problem,) = check(folder)
    assert problem.startswith(f"{folder / name}:{number + 1}: Expected {good!r}"[:150])
    assert "LENET" in problem


def test_a_cut_or_lengthened_or_missing_file_is_found(folder):
    path = folder / "leaderboard.md"
    whole = path.read_bytes()
    path.write_bytes(whole + b"\nmore")
    assert "Expected the end of the file" in check(folder)[0]
    path.write_bytes(whole[:-1])
    assert "found the end of the file" in check(folder)[0]
    path.unlink()
    assert check(folder) == [f"{path}: not there; render it again with `cvbench leaderboard`"]


def test_a_tampered_board_is_found_by_its_renderings_and_by_its_own_runs(folder):
    path = folder / "board.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["boards"][0]["rows"][1]["mean"] = 0.99
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    problems = "\n".join(check(folder))
    assert "metrics.csv:3" in problems
    assert "mlp: Expected mean 0.905000 of its runs' values, but got 0.99" in problems


def test_even_the_spaces_of_board_json_count(folder):
    path = folder / "board.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"suite": ', '"suite":'), encoding="utf-8")
    assert check(folder)[0].startswith(f'{path}:3: Expected \' "suite": "quick",\'')


def test_an_unknown_key_or_a_newer_schema_is_named(folder):
    path = folder / "board.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"note": "by hand"}), encoding="utf-8")
    assert "note" in check(folder)[0]
    path.write_text(json.dumps(data | {"schema_version": 3}), encoding="utf-8")
    assert "upgrade cvbench" in check(folder)[0]


def test_all_boards_below_a_folder_are_checked(folder):
    root = folder.parent
    shutil.copytree(folder, root / "deep" / "other")
    assert check_all(root) == [f"{root / 'index.html'}: not there; render it again with `cvbench leaderboard`"]
    write_index(root)
    assert check_all(root) == []
    assert check_all(folder) == []  # a board's own folder has no list of boards
    (root / "deep" / "other" / "board.json").unlink()
    problem, listed = check_all(root)
    assert str(root / "deep" / "other" / "board.json") in problem
    assert f"{root / 'index.html'}:" in listed  # it still lists what is gone
    (root / "empty").mkdir()
    assert check_all(root / "empty") == [f"{root / 'empty'}: no board.json below it"]


def test_the_csv_says_what_the_metrics_table_says(folder):
    runs = plan(("lenet", "mlp"))
    records = [record(run, 0.9 + 0.01 * run.seed, others={"nll": 0.1 * run.seed}) for run in runs[:-1]]
    table = metrics_table(runs, records, {runs[-1].run_id: "nan at step 3"}).to_dict("records")
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    statistics = {"rank", "best_rank", "worst_rank", "low", "high", "difference_to_baseline", "difference_low",
                  "difference_high", "p_baseline", "origin"}  # fmt: skip
    assert set(table[0]) | {"seeds", "run_ids"} | statistics == set(rows[0])
    assert {*Costs.model_fields} <= set(rows[0])
    for ours, theirs in zip(rows, table, strict=True):
        for name in ("mean", "sd", "nll_mean", "nll_sd", "train_seconds"):
            assert float(ours[name]) == pytest.approx(theirs[name], abs=1e-6)
        for name in ("model", "n", "planned", "failed", "missing", "state", "group_id", "protocol", "dataset_options"):
            assert ours[name] == str(theirs[name])


def test_the_csv_holds_the_statistics_as_frozen(tmp_path):
    publish(boards.leaderboard(), tmp_path)
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("rank", "best_rank", "worst_rank", "low", "high", "difference_to_baseline", "difference_low",
             "difference_high", "p_baseline", "origin")  # fmt: skip
    assert [rows[1][name] for name in names] == [
        *("1", "1", "2", "0.7", "0.85", "0.1", "0.05", "0.15", "0.001", "reproduced")
    ]
    assert [rows[2][name] for name in names] == ["2", "3", "3", "0.57", "0.63", "", "", "", "", "re-scored"]
    assert [rows[3][name] for name in names] == [*[""] * 9, "reproduced"]


def test_names_that_would_be_formulas_or_markup_stay_names(tmp_path):
    name = '=HYPERLINK("http://x")|<script>`a`\n# b'
    publish(leaderboard((name, "mlp")), tmp_path)
    assert check(tmp_path) == []
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["'" + name, "mlp"]
    markdown = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    html = [token.content for token in _tokens(markdown) if token.type in ("html_block", "html_inline")]
    assert set(re.findall(r"</?\w+", "".join(html))) == {"<details", "</details", "<summary", "</summary"}
    assert '| =HYPERLINK("http://x")\\|&lt;script&gt;\\`a\\` # b | 91.00 ± 1.00 | 3 of 3 |' in markdown

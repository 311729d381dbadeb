"""The board on narrow and wide terminals."""

# ruff: noqa: RUF001

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cvbench.leaderboard import rank
from cvbench.page.columns import Column, fit
from cvbench.page.terminal import show
from cvbench.record import Costs
from tests import boards
from tests.records import plan, record, suite


def leaderboard(names=("lenet", "torchvision/resnet18", "mlp")):
    runs = plan(names)
    costs = Costs(parameters=61706, macs=10**9, train_seconds=12.0, test_images_per_second=1.0, peak_memory_bytes=2**20,
                  latency_p50_seconds=0.1, latency_p95_seconds=0.2)  # fmt: skip
    others = {"top5": 0.99, "macro_top1": 0.9, "nll": 0.3, "ece": 0.01}
    return rank(
        suite(),
        runs,
        [record(run, 0.9, others=others, costs=costs) for run in runs[:-2]],
        failed={runs[-1].run_id: "nan at step 3"},
    )


def shown(width: int, *args) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    show(leaderboard(*args), console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [70, 80, 100, 140, 250])
def test_every_line_fits_and_each_row_is_one_line(width):
    lines = shown(width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("90.00 ± 0.00" in line for line in lines) == 2
    assert any("mlp" in line and "1 of 3, 1 failed, 1 missing" in line for line in lines)
    assert any("mlp seed 2 failed: nan at step 3" in line for line in lines)


def test_the_narrowest_terminal_folds_but_loses_nothing():
    lines = shown(40).splitlines()
    assert max(map(len, lines)) <= 40
    assert all("90.00 ± 0.00" not in line or "lenet" in line or "torchvision" in line for line in lines)


def test_narrow_terminals_say_what_they_leave_out():
    narrow, wide = shown(80), shown(250)
    assert "not shown here" in narrow
    assert "not shown here" not in wide
    assert "params" in narrow
    for head in ("macro_top1 % ↑", "p95", "memory"):
        assert head in " ".join(narrow.partition("not shown here")[2].split())
        assert head in wide


def test_columns_go_by_importance():
    table = [Column("name", ("abc",), numeric=False), Column("x", ("1234567890",), importance=50),
             Column("y", ("12",), importance=40), Column("z", ("12",), importance=30)]  # fmt: skip
    # widths 4, 10, 2, 2 and two spaces between neighbours
    assert [column.head for column in fit(table, 24)[0]] == ["name", "x", "y", "z"]
    assert [column.head for column in fit(table, 23)[0]] == ["name", "x", "y"]
    assert [column.head for column in fit(table, 15)[0]] == ["name", "y", "z"]
    assert [column.head for column in fit(table, 1)[0]] == ["name"]


def test_names_are_text_and_never_rich_markup():
    assert "[red]x[/red]" in shown(100, ("[red]x[/red]", "[/]", "mlp"))


def ranked(width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    show(boards.leaderboard((boards.board(),)), console)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (44, "model top1 % ↑ runs"),
        (60, "rank model top1 % ↑ runs origin"),
        (78, "rank model top1 % ↑ 95 % runs origin"),
        (100, "rank model top1 % ↑ 95 % vs segnet runs origin"),
        (110, "rank model top1 % ↑ 95 % vs segnet runs origin params"),
    ],
)
def test_ranks_then_origin_then_intervals_then_differences_then_costs(width, heads):
    found = ranked(width)
    assert max(map(len, found)) <= width
    assert " ".join(found[2].split()) == heads
    assert " ".join(found[4].split()).startswith("1 (1–2) fcn 79.00" if "rank" in heads else "fcn 79.00")


def test_ties_and_packs_are_told_under_the_table():
    told = " ".join(" ".join(ranked(80)).split())
    assert "Rank 1 is shared by unet and fcn" in told
    assert "A pack: 400 of 4,000 train" in told

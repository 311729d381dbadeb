"""Numbers as people read them; names that cannot become markup or formulas."""
# ruff: noqa: RUF001

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from cvbench.page import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (650, "650"), (999.6, "1.00k"), (1000, "1.00k"), (61706, "61.7k"), (61100840, "61.1M"),
     (1.814e9, "1.81G"), (27.0667, "27.1"), (0.5, "0.50"), (None, "–")],
)  # fmt: skip
def test_counts(value, shown):
    assert text.count(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.00003, "30.0 µs"), (0.99996, "1.00 s"), (0.00099996, "1.00 ms"),
     (0.0021, "2.10 ms"), (0.9, "900 ms"),
     (1, "1.00 s"), (75, "75.0 s"), (99.96, "1 min 40 s"),
     (605, "10 min 05 s"),     (3599.7, "1 h 00 min"), (7320, "2 h 02 min"), (None, "–")],
)  # fmt: skip
def test_durations(seconds, shown):
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(("number", "shown"), [(12, "12 B"), (1536, "1.50 KiB"), (2**30, "1.00 GiB"), (None, "–")])
def test_sizes(number, shown):
    assert text.size(number) == shown


@pytest.mark.parametrize(
    ("joules", "shown"),
    [(0.5, "0.50 J"), (12.34, "12.3 J"), (3599, "1.00 Wh"), (5400, "1.50 Wh"), (7.2e6, "2.00 kWh"), (None, "–")],
)
def test_energies(joules, shown):
    assert text.energy(joules) == shown


def test_differences_intervals_and_chances():
    assert text.signed(0.1, hundredfold=True) == "+10.00"
    assert text.signed(-0.0123, hundredfold=False) == "−0.012"
    assert text.between(-0.05, 0.1, hundredfold=True) == "[−5.00, 10.00]"
    assert [text.chance(p) for p in (0.0312, 0.0004, 1.0)] == [
        "p\u00a0=\u00a00.031",
        "p\u00a0<\u00a00.001",
        "p\u00a0=\u00a01.000",
    ]


@pytest.mark.parametrize(("words", "shown"), [("", ""), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")])
def test_lists_in_words(words, shown):
    assert text.listed(list(words)) == shown


def test_percent_only_for_fractions_and_no_sd_from_one_seed():
    assert text.spread(0.5562, 0.00414, hundredfold=True) == "55.62 ± 0.41"
    assert text.spread(0.5562, None, hundredfold=True) == "55.62"
    assert text.spread(0.2014, 0.01, hundredfold=False) == "0.201 ± 0.010"
    assert text.spread(None, None, hundredfold=True) == "–"


def test_settings_in_words():
    values = {"size": (96, 128), "milestones": (0.5, 0.75), "flip": True, "augment": {"shift": 2}, "weights": None}
    assert text.settings(values) == "size 96 × 128, milestones [0.5, 0.75], flip yes, augment (shift 2), weights none"


NASTY = [
    "a|b", "<script>alert(1)</script>", "`rm -rf`", "*bold* _word_ __init__", "[text](javascript:alert(1))", "~~gone~~",
    "two\nlines\r\n# heading", "back\\slash \\| and \\", "&lt;b&gt; & <b>", "$x^2$", "snake_case_name", "![i](http://x)",
]  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_markdown_shows_any_name_as_it_is_in_one_cell(name):
    markdown = f"| head | next |\n| --- | --- |\n| {text.markdown(name)} | after |\n"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)
    cells = [token for token in tokens if token.type == "inline"]
    assert [cell.content for cell in cells[:2]] == ["head", "next"]
    assert cells[3].content == "after"
    assert {child.type for child in cells[2].children} <= {"text", "text_special"}
    # `\$` keeps GitHub's mathematics out; CommonMark shows it as `$`
    assert "".join(child.content for child in cells[2].children) == " ".join(name.split())


@pytest.mark.parametrize("name", ["plain", "`", "a``b", "`x`", "two\nlines", "<b>"])
def test_code_holds_any_text(name):
    (inline,) = [token for token in MarkdownIt().parse(text.code(name)) if token.type == "inline"]
    (child,) = inline.children
    assert (child.type, child.content) == ("code_inline", " ".join(name.split()))


@pytest.mark.parametrize("name", ["=cmd()", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_is_a_formula(name):
    assert text.csv_cell(name) == "'" + name


@pytest.mark.parametrize("value", [-0.5, 3, None, "lenet", "a=b", ""])
def test_numbers_and_plain_names_stay_as_they_are(value):
    assert text.csv_cell(value) is value


@pytest.mark.parametrize(
    ("words", "cells"), [("lenet", 5), ("97.92 ± 0.23", 12), ("top1 % ↑", 8), ("長い", 4), ("e\u0301", 1), ("", 0)]
)
def test_cells_of_a_text(words, cells):
    assert text.cells(words) == cells


@pytest.mark.parametrize(
    ("words", "cells", "shown"),
    [
        ("lenet", 5, "lenet"),
        ("resnet", 5, "re…et"),
        ("resnets", 6, "res…ts"),
        ("長い名前です", 7, "長い…す"),
        ("ab", 1, "…"),
    ],
)
def test_long_texts_lose_their_middle(words, cells, shown):
    assert text.shortened(words, cells) == shown

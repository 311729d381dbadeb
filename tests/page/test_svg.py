"""The board as a picture: well-formed, harmless, no wider than a README, the same everywhere."""
# ruff: noqa: RUF001

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from cvbench.leaderboard import rank
from cvbench.page import svg
from cvbench.record import Costs
from tests import boards
from tests.records import plan, record, suite

SVG = "{http://www.w3.org/2000/svg}"
OTHERS = {"top5": 0.99, "macro_top1": 0.9, "nll": 0.3, "ece": 0.01}
COSTS = Costs(parameters=61706, macs=10**9, train_seconds=12.0, test_images_per_second=1.0, peak_memory_bytes=2**20,
              latency_p50_seconds=0.1, latency_p95_seconds=0.2)  # fmt: skip


def leaderboard(names=("lenet", "torchvision/resnet18", "mlp"), unfinished=2):
    runs = plan(names)
    records = [record(run, 0.9, others=OTHERS, costs=COSTS) for run in runs[: len(runs) - unfinished]]
    return rank(suite(), runs, records, failed={runs[-1].run_id: "nan at step 3"})


def texts(picture: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(picture).iter(f"{SVG}text"))


def lines(picture: str) -> list[list[str]]:
    """The words of each line, from left to right."""
    found: dict[int, list[tuple[int, str]]] = {}
    for element in texts(picture):
        found.setdefault(int(element.attrib["y"]), []).append((int(element.attrib["x"]), element.text or ""))
    return [[words for _, words in sorted(found[y])] for y in sorted(found)]


def test_it_shows_the_headline():
    _, heading, head, *rows = lines(svg.render(leaderboard(unfinished=0)))
    assert heading == ["digits: classification", "2 classes, 400 test images"]
    assert head == ["model", "top1 % ↑", "runs", "top5 % ↑", "macro_top1 % ↑", "params", "MACs", "images/s", "train"]
    numbers = ["90.00 ± 0.00", "3 of 3", "99.00 ± 0.00", "90.00 ± 0.00", "61.7k", "1.00G", "1", "12.0 s"]
    assert rows[:3] == [[name, *numbers] for name in ("lenet", "mlp", "torchvision/resnet18")]


def test_unfinished_rows_say_so():
    picture = svg.render(leaderboard())
    (row,) = [row for row in lines(picture) if row[0] == "mlp"]
    assert "1 of 3, 1 failed, 1 missing" in row
    assert [element.text for element in texts(picture) if element.attrib["class"] == "warn"] == [row[2]]
    empty = lines(svg.render(rank(suite(), plan(), [])))
    assert ["lenet", "–", "0 of 3, 3 missing"] in empty


@pytest.mark.parametrize("name", ["a", "long/" + "x" * 400 + "_tail", "長い名前" * 60, "<&\"'>" * 40])
def test_nothing_leaves_the_picture_or_runs_into_its_neighbour(name):
    root = ElementTree.fromstring(svg.render(leaderboard((name, "b", "mlp"))))
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    assert int(root.attrib["width"]) <= 900
    spans: dict[str, list[tuple[float, float]]] = {}
    for element in root.iter(f"{SVG}text"):
        # monospaced fonts are 0.6 em wide (SF Mono, the widest in the list, 0.62), those of East Asia twice that
        wide = sum(2 if ord(letter) > 0x2E80 else 1 for letter in element.text or "")
        x, length = int(element.attrib["x"]), 0.62 * svg.FONT_SIZE * wide
        left = x - length if "end" in element.attrib["class"].split() else x
        spans.setdefault(element.attrib["y"], []).append((left, left + length))
        assert int(element.attrib["y"]) < int(root.attrib["height"])
    for row in spans.values():
        row.sort()
        assert row[0][0] >= 0
        assert row[-1][1] <= int(root.attrib["width"])
        assert all(first[1] < second[0] for first, second in pairwise(row))


def test_long_names_keep_the_end_that_tells_them_apart():
    names = [f"fcn with a very long name and options ({'x' * 80} stride {stride})" for stride in (8, 16, 32)]
    shown = [row[0] for row in lines(svg.render(leaderboard(names)))]
    assert sum(name.startswith("fcn with") and "…" in name and name.endswith(" 32)") for name in shown) == 1
    assert len(set(shown)) == len(shown)


def test_names_are_text_and_nothing_is_fetched_or_run():
    name = "<script>alert(1)</script>{{ 7 * 7 }}\x00\x1b\ufffe &amp; ]]>"
    picture = svg.render(leaderboard((name, "b", "mlp")))
    root = ElementTree.fromstring(picture)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg",
        "title",
        "style",
        "rect",
        "path",
        "text",
    }
    assert re.findall(r"https?://[^\s\"<)]+|url\(|@import|@font-face|\bon\w+=", picture) == [
        "http://www.w3.org/2000/svg"
    ]
    assert any("<script>alert" in (element.text or "") for element in root.iter(f"{SVG}text"))
    title = ElementTree.fromstring(svg.render(leaderboard().model_copy(update={"title": "</title><a>\x00"})))
    assert "</title><a>\ufffd" in (title.findtext(f"{SVG}title") or "")


def test_it_is_legible_on_light_and_dark_pages():
    """Contrast of at least 4.5 (WCAG 2.1, 1.4.3, AA) of every text colour on the picture's own background, in both."""
    style = ElementTree.fromstring(svg.render(leaderboard())).findtext(f"{SVG}style") or ""
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for sheet in (light, dark):
        colours = dict(re.findall(r"\.?(\w+) \{[^}]*fill: (#[0-9a-f]{6})", sheet))
        paper = luminance(colours.pop("paper"))
        assert set(colours) == {"text", "dim", "warn"}
        for colour in colours.values():
            low, high = sorted((paper, luminance(colour)))
            assert (high + 0.05) / (low + 0.05) >= 4.5


def test_it_does_not_depend_on_rich():
    code = "import sys, cvbench.page.files; sys.exit('rich' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert svg.render(leaderboard()) == svg.render(leaderboard())


def test_ranks_intervals_ties_and_packs_stand_in_the_picture():
    found = lines(svg.render(boards.leaderboard((boards.board(),))))
    assert found[2][:6] == ["rank", "model", "top1 % ↑", "95 %", "vs segnet", "runs"]
    assert found[4][:5] == ["1 (1–2)", "fcn", "79.00 ± 1.00", "[70.00, 85.00]‡", "+10.00 [5.00, 15.00]"]
    words = " ".join(word for line in found for word in line)
    assert "A pack: 400 of 4,000 train" in words
    assert "Rank 1 is shared by unet and fcn" in words
    assert "‡ fcn: 2 classes have fewer than 10 test images" in words
    assert "no ranking" not in words
    assert "equal ranks are ties" in words
    unranked = " ".join(word for line in lines(svg.render(leaderboard())) for word in line)
    assert "order is no ranking" in unranked
    assert "ties" not in unranked

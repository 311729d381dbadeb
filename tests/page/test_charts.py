"""Charts: where things stand, worked out by hand."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from cvbench.board import CalibrationBin, Curve, Interval
from cvbench.page.charts import calibration, curves, intervals, pareto
from cvbench.page.charts.axes import number
from cvbench.page.charts.element import element, picture
from cvbench.page.charts.scale import LogScale, Scale, linear, logarithmic
from cvbench.record import Costs
from tests.boards import board, row


def parts(svg: str, look: str) -> list[ElementTree.Element]:
    """Elements of one class."""
    return [part for part in ElementTree.fromstring(svg).iter() if look in part.attrib.get("class", "").split()]


def test_a_linear_scale():
    scale = Scale(10.0, 20.0, 100.0, 300.0)
    assert [scale(value) for value in (10, 15, 20)] == [100, 200, 300]
    assert Scale(0.0, 1.0, 206.0, 26.0)(0.25) == 161  # downwards: 206 - 180 / 4


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0.0, 1.0, 5, [0.0, 0.5, 1.0]),  # steps of .2 would be six
        (0.0, 1.0, 6, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.57, 0.83, 4, [0.6, 0.7, 0.8]),
        (-3.0, 7.0, 5, [-2.0, 0.0, 2.0, 4.0, 6.0]),
        (0.97, 0.99, 4, [0.97, 0.98, 0.99]),
    ],
)
def test_ticks_are_round(low, high, most, ticks):
    assert Scale(low, high, 0.0, 1.0).ticks(most) == ticks


def test_a_logarithmic_scale():
    scale = LogScale(1e3, 1e7, 0.0, 400.0)
    assert [scale(value) for value in (1e3, 1e4, 1e7)] == pytest.approx([0, 100, 400])
    assert scale.ticks() == pytest.approx([1e3, 1e4, 1e5, 1e6, 1e7])
    assert LogScale(8.0, 60.0, 0.0, 1.0).ticks() == pytest.approx([10, 20, 50])
    assert scale(0) == -36  # zero has no logarithm, but a place of its own


def test_scales_hold_their_values_with_a_margin_and_zeros_beside_them():
    assert linear([0.0, 1.0], 0.0, 112.0) == Scale(-0.06, 1.06, 0.0, 112.0)
    assert linear([2.0, 2.0], 0.0, 10.0)(2.0) == 5  # a lone value in the middle
    scale = logarithmic([0.0, 10.0, 1000.0], 50.0, 700.0)
    assert scale.start == 86
    assert scale(0.0) == 50
    assert 86 < scale(10.0) < scale(1000.0) < 700


def test_ticks_have_the_decimals_that_tell_them_apart():
    assert [number(True, [0.97, 0.975])(tick) for tick in (0.97, 0.975)] == ["97.0", "97.5"]
    assert [number(False, [-1.0, 0.0])(tick) for tick in (-1.0, 0.0)] == ["−1", "0"]  # noqa: RUF001


def test_intervals_of_all_rows_lie_on_one_axis():
    """0.5 to 0.9 and 0.06 of that on both sides: 0.476 to 0.924 over the 174 pixels from 8 to 182."""
    rows = (row("a", 0.8, interval=Interval(low=0.7, high=0.9)), row("b", 0.6, interval=Interval(low=0.5, high=0.7)))
    found = board(rows, baseline="b")
    scale = intervals.axis(found)
    assert scale == pytest.approx((0.476, 0.924, 8, 182))
    bar = intervals.bar(found, rows[0], scale)
    (dot,), (interval,), (base,), (seeds,) = (parts(bar, look) for look in ("dot", "ci", "base", "seed"))
    assert dot.attrib["cx"] == "133.8"  # 8 + 174 * .324 / .448
    assert interval.attrib["d"] == "M95.0 12H172.7M95.0 8v8M172.7 8v8"  # 8 + 174 * (.224, .424) / .448
    assert base.attrib["d"] == "M56.2 0v24"
    assert seeds.attrib["d"] == "M130.0 9v6M133.8 9v6M137.7 9v6"


def test_a_row_without_runs_has_neither_dot_nor_interval():
    found = board()
    scale = intervals.axis(found)
    assert scale is not None
    bar = intervals.bar(found, found.rows[-1], scale)
    assert [len(parts(bar, look)) for look in ("dot", "ci", "seed", "base")] == [0, 0, 0, 1]
    assert intervals.axis(board((row("none", None),))) is None
    alone = row("a", 0.5, interval=Interval(low=0.4, high=0.6, image_only=True))
    assert parts(intervals.bar(found, alone, scale), "open")


def test_the_front_goes_level_and_then_up():
    rows = (row("big", 0.8, 2, front=("macs",)), row("small", 0.6, 1, front=("macs",)), row("bad", 0.5, 3, front=()))
    svg = pareto.chart(board(rows), pareto.COSTS[0])
    (line,) = parts(svg, "front")
    start, corner, top, end = (point.split(" ") for point in line.attrib["d"].removeprefix("M").split("L"))
    dots = {dot.attrib["class"]: dot for dot in parts(svg, "dot")}
    xs = sorted(float(dot.attrib["cx"]) for dot in parts(svg, "dot"))
    assert [float(start[0]), float(corner[0]), float(top[0])] == xs[:2] + xs[1:2]
    assert start[1] == corner[1]
    assert top[1] == end[1]
    assert float(top[1]) < float(corner[1])  # better is higher
    assert end[0] == "704"
    assert "dot behind" in dots
    assert [name.text for name in parts(svg, "name")] == ["small", "big", "bad"]


def test_points_stand_at_the_logarithm_of_their_cost():
    """1, 10 and 100 MMACs: the margin is 100^.08 on both sides, so that 14.6.. decades' shares are equal."""
    costs = [Costs(parameters=1, macs=macs) for macs in (10**6, 10**7, 10**8)]
    rows = tuple(row(f"m{n}", 0.5 + n / 10, n + 1, costs=cost) for n, cost in enumerate(costs))
    first, second, third = (float(dot.attrib["cx"]) for dot in parts(pareto.chart(board(rows), pareto.COSTS[0]), "dot"))
    assert second - first == pytest.approx(third - second, abs=0.11)
    # 2 of the 2 + 2 * 2 * .08 decades over the 634 pixels from 70 to 704
    assert third - first == pytest.approx(634 * 2 / 2.32, abs=0.11)


def test_names_do_not_run_into_each_other():
    same = [row(f"model number {n}", 0.8 + n / 1000, 1, front=()) for n in range(12)]
    names = parts(pareto.chart(board(tuple(same)), pareto.COSTS[0]), "name")
    boxes = []
    for name in names:
        wide, x = 6.6 * len(name.text or ""), float(name.attrib["x"])
        left = x - wide if "end" in name.attrib["class"] else x
        boxes.append((left, float(name.attrib["y"]), left + wide))
    assert 0 < len(boxes) < 12
    for one in boxes:
        for other in boxes:
            apart = abs(one[1] - other[1]) >= 14.9 or one[2] <= other[0] or other[2] <= one[0]
            assert one is other or apart


def test_costs_that_fewer_than_two_rows_know_have_no_chart():
    rows = (row("a", costs=Costs(parameters=1, macs=5)), row("b", 0.5, costs=Costs(parameters=2)))
    assert [cost.field for cost in pareto.known(board(rows))] == ["parameters"]


def test_the_text_alternative_names_the_front_by_cost():
    words = pareto.alternative(board(), pareto.COSTS[0])
    assert words == (
        "top1 against MACs of one image. On the front, no other is both better and cheaper: unet (80.00 at 10.0M) and "
        "fcn (79.00 at 20.0M). Behind it: segnet (60.00 at 30.0M)."
    )


def test_learning_curves_leave_out_what_was_not_measured():
    """val .4 and .7 at epochs 1 and 3: x 46 and 290; .06 of .3 is a margin, so y is 140 * .06 / 1.12 off 166 and 26."""
    loss, val = curves.charts(board(), row())
    assert [len(parts(chart, "line")) for chart in (loss, val)] == [6, 6]  # three seeds, each with its dots
    assert parts(val, "s0")[0].attrib["d"] == "M46 158.5L290 33.5"
    assert "seed 1 from 40.00 to 70.00" in val
    assert "training loss over 3 epochs: seed 0 from 1.200 to 0.500" in loss
    lost = Curve(seed=0, epochs=(1.0, 2.0), loss=(None, None), val=(None, None))
    assert curves.charts(board(), row(curves=(lost,))) == []
    assert curves.charts(board(), row(curves=())) == []


def test_calibration_dots_stand_off_the_diagonal_and_grow_with_their_bins():
    bins = tuple(
        CalibrationBin(confidence=confidence, accuracy=accuracy, count=count)
        for confidence, accuracy, count in ((0.5, 0.25, 25), (1, 1, 100), (0.1, 0, 0))
    )
    svg = calibration.chart(row(calibration=bins))
    assert svg is not None
    first, second = parts(svg, "dot")
    # 42 + 198 / 2 and 206 - 180 / 4; a quarter of the samples has half of the radius 6
    assert (first.attrib["cx"], first.attrib["cy"], first.attrib["r"]) == ("141", "161", "3")
    assert (second.attrib["cx"], second.attrib["cy"], second.attrib["r"]) == ("240", "26", "6")
    # (25 * .25 + 100 * 0) / 125
    assert calibration.alternative(row(calibration=bins)).endswith(
        "125 test samples of all seeds: on average 5.0 points too sure."
    )
    assert calibration.chart(row(calibration=())) is None


@pytest.mark.parametrize(
    "words", ['"><script>alert(1)</script>', "</title><img src=x onerror=alert(1)>", "\x00&amp;\u202e"]
)
def test_no_word_becomes_markup(words):
    root = ElementTree.fromstring(picture(1, 1, words, element("text", words, class_=words)))
    assert {part.tag for part in root.iter()} == {"svg", "title", "text"}
    assert root.findtext("title") == words.replace("\x00", "\ufffd")
    assert parts(picture(1, 1, "", element("g", class_="a b")), "a")

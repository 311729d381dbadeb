"""VOC's average precision against hand calculation and against the devkit's own steps, written out."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from cvbench.metrics.box_columns import box_columns
from cvbench.metrics.voc_ap import VocAP, voc_ap
from tests.detections import Arrays, found, known, splits

CLASSES = ["aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
           "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"]  # fmt: skip


def devkit(evidence: Arrays, truth: Arrays, label: int) -> tuple[float | None, float | None]:
    """VOCevaldet.m of the 2007 devkit for one class, and VOCap.m of the later ones, loop for loop.

    Boxes become the devkit's inclusive corners; recall is kept as a fraction. Images are in the order of their names.
    """
    gt, bb, conf, image = [], [], [], []
    starts = [np.cumsum(side["counts"]) - side["counts"] for side in (truth, evidence)]
    npos = 0
    for place, number in enumerate(np.argsort(truth["ids"])):
        rows = range(starts[0][number], starts[0][number] + truth["counts"][number])
        rows = [row for row in rows if truth["labels"][row] == label]
        difficult = [bool(truth["difficult"][row] or truth["crowd"][row]) for row in rows]
        places = [corners(truth["boxes_xywh"][row]) for row in rows]
        gt.append({"BB": places, "diff": difficult, "det": [False] * len(rows)})
        npos += sum(not one for one in difficult)
        for row in range(starts[1][number], starts[1][number] + evidence["counts"][number]):
            if evidence["labels"][row] == label:
                bb.append(corners(evidence["boxes_xywh"][row]))
                conf.append(evidence["scores"][row])
                image.append(place)
    if npos == 0:
        return None, None
    tp, fp = [], []
    for d in sorted(range(len(conf)), key=lambda d: -conf[d]):  # stable, as Matlab's sort
        i = image[d]
        ovmax, jmax = -np.inf, -1
        for j in range(len(gt[i]["BB"])):
            bbgt = gt[i]["BB"][j]
            bi = [max(bb[d][0], bbgt[0]), max(bb[d][1], bbgt[1]), min(bb[d][2], bbgt[2]), min(bb[d][3], bbgt[3])]
            iw, ih = bi[2] - bi[0] + 1, bi[3] - bi[1] + 1
            if iw > 0 and ih > 0:
                ua = area(bb[d]) + area(bbgt) - iw * ih
                ov = iw * ih / ua
                if ov > ovmax:
                    ovmax, jmax = ov, j
        tp.append(0)
        fp.append(0)
        if ovmax >= 0.5:
            if not gt[i]["diff"][jmax]:
                if not gt[i]["det"][jmax]:
                    tp[-1] = 1
                    gt[i]["det"][jmax] = True
                else:
                    fp[-1] = 1
        else:
            fp[-1] = 1
    tps, fps = np.cumsum(tp).tolist(), np.cumsum(fp).tolist()
    rec = [Fraction(t, npos) for t in tps]
    prec = [Fraction(t, t + f) if t + f else Fraction(0) for t, f in zip(tps, fps, strict=True)]
    eleven = sum(max([p for r, p in zip(rec, prec, strict=True) if r >= Fraction(t, 10)], default=0) for t in range(11))
    mrec, mpre = [Fraction(0), *rec, Fraction(1)], [Fraction(0), *prec, Fraction(0)]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    ap = sum((mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1])
    return float(eleven / 11), float(ap)


def corners(box: np.ndarray) -> list[float]:
    """left, top, width, height -> xmin, ymin, xmax, ymax, counted from 1, the last pixel included."""
    x, y, w, h = box.tolist()
    return [x + 1, y + 1, x + w, y + h]


def area(box: list[float]) -> float:
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)


def ap(evidence: Arrays, truth: Arrays) -> VocAP:
    return voc_ap(*box_columns(evidence, truth), len(truth["classes"]))


def check(evidence: Arrays, truth: Arrays) -> None:
    result = ap(evidence, truth)
    for label in range(len(truth["classes"])):
        for ours, theirs in zip(result, devkit(evidence, truth, label), strict=True):
            assert ours[label] == pytest.approx(np.nan if theirs is None else theirs, rel=0, abs=1e-12, nan_ok=True)


@settings(max_examples=200, deadline=None)
@given(splits())
def test_equals_the_devkits_steps_on_random_sets(split: tuple[Arrays, Arrays]) -> None:
    evidence, truth = split
    if not (truth["crowd"] | truth["difficult"]).all():
        check(evidence, truth)


def test_equals_the_devkits_steps_on_real_detections(shared_data: Path) -> None:
    truths, detections = [], []
    xmls = sorted((shared_data / "VOCdevkit" / "VOC2012" / "Annotations").glob("*.xml"))
    for xml in xmls:
        file = shared_data / "metric_refs" / "detection_voc100" / "dets_abs_xyx2y2" / f"{xml.stem}.txt"
        lines = file.read_text().splitlines() if file.is_file() else []
        rows = [[float(word) for word in line.split()] for line in lines]
        detections.append([(x, y, right - x, bottom - y, int(c), s) for c, s, x, y, right, bottom in rows])
        truths.append([])
        for thing in ET.parse(xml).iter("object"):
            x, y, right, bottom = (float(thing.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
            label, mark = CLASSES.index(thing.findtext("name")), "difficult" * int(thing.findtext("difficult"))
            truths[-1].append((x - 1, y - 1, right - x + 1, bottom - y + 1, label, mark))
    names = [xml.stem for xml in xmls]
    assert len(names) == 100
    evidence, truth = found(detections, names), known(truths, 20, names)
    check(evidence, truth)
    assert truth["difficult"].sum() == 38
    assert 0.5 < np.nanmean(ap(evidence, truth).eleven_point) < 0.7  # not a comparison of zeros


def test_by_hand() -> None:
    """Three truths; right, wrong, right. Precision 1 up to recall 1/3, 2/3 up to 2/3, then none."""
    truth = known([[(0, 0, 10, 10, 0), (20, 0, 10, 10, 0), (40, 0, 10, 10, 0)]], classes=2)
    evidence = found([[(0, 0, 10, 10, 0, 0.9), (80, 0, 10, 10, 0, 0.8), (20, 0, 10, 10, 0, 0.7)]])
    result = ap(evidence, truth)
    assert result.all_points[0] == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    # recalls 0 … 0.3 are within 1/3, 0.4 … 0.6 within 2/3
    assert result.eleven_point[0] == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)
    assert np.isnan([result.all_points[1], result.eleven_point[1]]).all()


def test_three_of_ten_reach_a_recall_of_three_tenths() -> None:
    truth = known([[(20 * place, 0, 10, 10, 0) for place in range(10)]], classes=1)
    rows = [(20 * place, 0, 10, 10, 0, 1 - place / 10) for place in range(10)]
    for right in (3, 6, 7):  # 0.1 * right is above right / 10 in floating point
        assert ap(found([rows[:right]]), truth).eleven_point[0] == pytest.approx((right + 1) / 11)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # IoU of exactly 1/2 is enough: 10 x 10 against 10 x 20
        ([(0, 0, 10, 20, 0, 0.9)], 1),
        ([(0, 0, 10, 20.1, 0, 0.9)], 0),
        # the second on one truth is wrong, though it overlaps another by half too
        ([(0, 0, 10, 10, 0, 0.9), (0, 1, 10, 10, 0, 0.8)], 1),
        ([(0, 1, 10, 10, 0, 0.7), (90, 0, 10, 10, 0, 0.8)], 1 / 2),
        # on the difficult box: neither right nor wrong, however many
        ([(50, 0, 10, 10, 0, 0.9), (50, 0, 10, 10, 0, 0.8), (0, 0, 10, 10, 0, 0.7)], 1),
        # of another class
        ([(0, 0, 10, 10, 1, 0.9)], 0),
    ],
)
def test_which_detections_are_right(rows: list[tuple[float, ...]], expected: float) -> None:
    truth = known([[(0, 0, 10, 10, 0), (50, 0, 10, 10, 0, "difficult")]])
    assert ap(found([rows]), truth).all_points[0] == pytest.approx(expected)


def test_the_largest_overlap_decides_even_if_that_box_is_taken() -> None:
    truth = known([[(0, 0, 10, 10, 0), (0, 4, 10, 10, 0)]], classes=1)
    # the second detection overlaps the first truth by 9/11 and the second one, which is free, by 7/13
    evidence = found([[(0, 0, 10, 10, 0, 0.9), (0, 1, 10, 10, 0, 0.8)]])
    assert ap(evidence, truth).all_points[0] == pytest.approx(1 / 2)


def test_of_two_equal_overlaps_the_first_box_decides() -> None:
    box = (0, 0, 10, 10, 0)
    evidence = found([[(*box, 0.9)]])
    assert ap(evidence, known([[(*box, ""), (*box, "difficult")]], classes=1)).all_points[0] == 1
    assert ap(evidence, known([[(*box, "difficult"), (*box, "")]], classes=1)).all_points[0] == 0


def test_many_pairs_are_taken_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth = known([[(*rng.integers(0, 40, 2), 20, 20, 0) for _ in range(5)] for _ in range(6)], 1)
    rows = [[(*rng.integers(0, 40, 2), 20, 20, 0, rng.random()) for _ in range(9)] for _ in range(6)]
    whole = ap(found(rows), truth)
    monkeypatch.setattr("cvbench.metrics.box_columns.PAIRS_AT_ONCE", 7)
    assert np.array_equal(ap(found(rows), truth), whole)
    check(found(rows), truth)

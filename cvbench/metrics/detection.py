"""Scores of detection from evidence and truth, numpy and COCO's evaluator only.

Evidence (N images, M detections), images in any order:
    ids         str (N,)
    counts      int64 (N,), detections of each image; the columns below have them image after image
    boxes_xywh  float64 (M, 4), left, top, width, height in pixels of the image as it lies on disk
    scores      float64 (M,), finite, the higher the surer
    labels      int64 (M,), 0..C-1
Truth: ids str (N,), counts int64 (N,), boxes_xywh float64 (T, 4), labels int64 (T,), area float64 (T,) in pixels, crowd
bool (T,), difficult bool (T,), classes str (C,).

Everything is computed once over the split, in float64: `coco_map` says how COCO's numbers treat crowds, difficult boxes
and more than 100 detections, `voc_ap` how VOC's do, `box_columns` what the order of equal scores is.
"""

from __future__ import annotations

import numpy as np

from cvbench.metrics.alignment import Arrays
from cvbench.metrics.box_columns import Floats, box_columns, image_numbers, of_class
from cvbench.metrics.coco_map import class_ap, coco_scores, coco_table
from cvbench.metrics.confusion import by_class
from cvbench.metrics.voc_ap import true_positives, voc_ap

PRIMARY = "map"
# name: (direction, definition, unit); in unit %, values are fractions in [0, 1] that boards show in percent
METRICS = {
    "map": ("max", "COCO's AP: mean over classes and IoU 0.50 to 0.95 of average precision", "%"),
    "map_50": ("max", "the same at IoU 0.50", "%"),
    "map_75": ("max", "the same at IoU 0.75", "%"),
    "map_small": ("max", "COCO's AP of things below 32² pixels", "%"),
    "map_medium": ("max", "COCO's AP of things from 32² to 96² pixels", "%"),
    "map_large": ("max", "COCO's AP of things above 96² pixels", "%"),
    "mar_1": ("max", "COCO's AR: mean recall over classes and IoU 0.50 to 0.95, the surest box a class and image", "%"),
    "mar_10": ("max", "the same with 10 boxes a class and image", "%"),
    "mar_100": ("max", "the same with 100 boxes a class and image", "%"),
    "mar_small": ("max", "COCO's AR of things below 32² pixels, 100 boxes a class and image", "%"),
    "mar_medium": ("max", "COCO's AR of things from 32² to 96² pixels, 100 boxes a class and image", "%"),
    "mar_large": ("max", "COCO's AR of things above 96² pixels, 100 boxes a class and image", "%"),
    "voc07_ap": ("max", "mean over classes of VOC 2007's AP: eleven recall points, IoU 0.5", "%"),
    "voc_ap": ("max", "mean over classes of VOC's AP from 2010 on: area below the curve, IoU 0.5", "%"),
}


def score(evidence: Arrays, truth: Arrays) -> dict[str, float]:
    """The split's scores by name, each in [0, 1], the higher the better.

    Classes without a truth box that counts are left out of means. Those of COCO's numbers that no truth box is there
    for, such as `map_small` where nothing is small, are missing from the result; COCO prints -1 for them.

    Raises:
        ValueError: ids of evidence and truth differ, counts and columns contradict each other, a label outside 0..C-1,
            scores or boxes that are not finite, a negative width or height, or no truth box that counts.
    """
    found, known = box_columns(evidence, truth)
    num_classes = len(truth["classes"])
    voc = voc_ap(found, known, num_classes)
    return coco_scores(coco_table(found, known, num_classes)) | {
        "voc07_ap": float(np.nanmean(voc.eleven_point)),
        "voc_ap": float(np.nanmean(voc.all_points)),
    }


def per_class(evidence: Arrays, truth: Arrays) -> dict[str, dict[str, float | None]]:
    """`ap` (COCO's, IoU 0.50 to 0.95), `ap_50`, `voc07_ap` and `voc_ap` of each class, in [0, 1].

    None where the class has no truth box that counts, so that nothing is defined. Raises as `score`.
    """
    found, known = box_columns(evidence, truth)
    classes = truth["classes"]
    over_all, at_half = class_ap(coco_table(found, known, len(classes)))
    voc = voc_ap(found, known, len(classes))
    values = {"ap": over_all, "ap_50": at_half, "voc07_ap": voc.eleven_point, "voc_ap": voc.all_points}
    return {name: by_class(classes, numbers) for name, numbers in values.items()}


def by_sample(evidence: Arrays, truth: Arrays) -> Floats:
    """Of each image the share of its boxes that are found (class right, IoU 0.5 or more) by as many detections, its
    surest; float64 (N,) in [0, 1], in the order of `truth["ids"]`: which images are hard.

    For picking images to look at. NaN where no box counts. Raises as `score`.
    """
    found, known = box_columns(evidence, truth)
    numbers = image_numbers(truth["ids"])
    values = np.full(len(numbers), np.nan)
    for place, number in enumerate(numbers.tolist()):
        boxes = known.at(known.images == number)
        count = int((~boxes.ignored).sum())
        if not count:
            continue
        told = found.at(found.images == number)
        told = told.at(np.sort(np.argsort(-told.scores, kind="stable")[:count]))
        labels = np.unique(boxes.labels).tolist()
        hits = [true_positives(of_class(told, label), of_class(boxes, label)).sum() for label in labels]
        values[place] = sum(hits) / count
    return values

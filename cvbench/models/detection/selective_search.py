"""Region proposals by selective search, through OpenCV's contributed modules.

Uijlings, van de Sande, Gevers, Smeulders, "Selective Search for Object Recognition", IJCV 2013. `fast` merges
segmentations of two colour spaces by two similarities (R-CNN's choice), `quality` of five by four. OpenCV gives the
same set in a random order, as the authors' code does (the hierarchy's level times a random number): here the order is
drawn from the boxes themselves, hence always the same, and of boxes that nearly coincide all but the first come last.
Of the VOC pack's boxes at 256 pixels this meets .84 with the first 300 (fast), drawn alone .82, in OpenCV's own order
.82, large boxes first .76.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvbench.models.detection.boxes import shuffled, unique

VERSION = 1


def settings() -> dict[str, Any]:
    """What the boxes of an image depend on besides its pixels. Raises ValueError where OpenCV is missing."""
    return {"version": VERSION, "opencv": _opencv().__version__}


def fast(image: NDArray[np.uint8], min_side: float) -> NDArray[np.int64]:
    """The boxes of one image, uint8 (H, W, C), C = 1 or 3; int64 (N, 4) xyxy, no side below `min_side` pixels."""
    return _search(image, min_side, "switchToSelectiveSearchFast")


def quality(image: NDArray[np.uint8], min_side: float) -> NDArray[np.int64]:
    """As `fast`: about three times as many boxes in four times the time."""
    return _search(image, min_side, "switchToSelectiveSearchQuality")


def _search(image: NDArray[np.uint8], min_side: float, mode: str) -> NDArray[np.int64]:
    search = _opencv().ximgproc.segmentation.createSelectiveSearchSegmentation()
    # OpenCV's channels are blue, green, red.
    search.setBaseImage(np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3))[:, :, ::-1]))
    getattr(search, mode)()
    xywh = np.asarray(search.process(), np.int64).reshape(-1, 4)
    return shuffled(unique(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1), min_side))


def _opencv() -> Any:
    try:
        cv2 = importlib.import_module("cv2")
        _ = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation
    except (ImportError, AttributeError) as error:  # AttributeError: OpenCV without its contributed modules
        raise ValueError(
            f"Selective search needs a package that is not installed ({error}): "
            'pip install "cvbench[selective-search]" (or take `source: regions`, which needs none)'
        ) from None
    return cv2

"""Small COCO JSON files with images, for the tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

WIDTH, HEIGHT = 30, 20


def image(number: int, file: str | None = None, **entries: Any) -> dict[str, Any]:
    return {"id": number, "file_name": file or f"{number:012d}.jpg", "height": HEIGHT, "width": WIDTH, **entries}


def annotation(number: int, image_id: int, category: int, bbox: Sequence[Any], **entries: Any) -> dict[str, Any]:
    polygon = [[1, 1, 2, 2, 3, 3]]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "bbox": bbox,
        "segmentation": polygon,
        **entries,
    }


CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 13, "name": "stop sign"}]


def table(images: Sequence[Any], annotations: Sequence[Any], categories: Sequence[Any] = CATEGORIES) -> dict[str, Any]:
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def write(path: Path, content: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def draw(folder: Path, content: Mapping[str, Any]) -> None:
    """The images that a table names."""
    for entry in content["images"]:
        path = folder / entry["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)

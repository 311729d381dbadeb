"""Small images and files of captions, for the tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image


def draw(folder: Path, names: Iterable[str]) -> None:
    """One image a name, each of another colour."""
    for place, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), (place % 256, place // 256, 0)).save(path)


def write(path: Path, content: Any) -> Path:
    """Text as it is, lines one under the other, all else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, (list, tuple)) and all(isinstance(line, str) for line in content):
        content = "".join(f"{line}\n" for line in content)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8", newline="")
    return path


def coco_table(captions: Mapping[str, Sequence[str]], first: int = 1) -> dict[str, Any]:
    """COCO's `captions` JSON of these files, whose image ids count up from `first`."""
    images = [{"id": first + place, "file_name": name} for place, name in enumerate(captions)]
    entries = [
        {"image_id": first + place, "caption": caption}
        for place, of_image in enumerate(captions.values())
        for caption in of_image
    ]
    annotations = [{"id": number, **entry} for number, entry in enumerate(entries, start=1)]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations}


def karpathy(captions: Mapping[str, Mapping[str, Sequence[str]]], dataset: str = "flickr30k") -> dict[str, Any]:
    """Karpathy's JSON from split -> file -> captions; a folder in the file's name becomes its filepath."""
    images = []
    for split, of_split in captions.items():
        for name, of_image in of_split.items():
            folder, _, file = name.rpartition("/")
            sentences = [{"raw": caption, "tokens": caption.lower().split()} for caption in of_image]
            place = {"filepath": folder} if folder else {}
            images.append({**place, "filename": file, "split": split, "sentences": sentences})
    return {"images": images, "dataset": dataset}

"""`cvbench new` for captioning: images and a JSON or CSV file of captions."""

from __future__ import annotations

from pathlib import Path

from cvbench.data.base import DataError
from cvbench.data.folder_captions import caption_files
from cvbench.own_data.base import IMAGE_FOLDERS, Layout, OwnData, subfolders


def _look(folder: Path) -> Layout:
    """`folder` holds images and their captions, or is the folder of the images beside that."""
    places = [folder, folder.parent] if folder.name.lower() in IMAGE_FOLDERS else [folder]
    for place in places:
        if caption_files(place):
            return Layout("folder_captions", {"path": str(place.resolve())})
    held = ", ".join(subfolders(folder)) or "no folders"
    raise DataError(
        f"{folder}: expected captions.csv with the columns image and caption, or captions.json (COCO's, or "
        f'{{"file.jpg": ["caption", …]}}), or one of them for each split, but it holds {held} and none of these'
    )


def _models(size: tuple[int, int]) -> list[str]:
    return [
        "- prior                # the most common captions of train: what the others have to beat",
        "- show_and_tell        # the image once, then an LSTM",
        "- show_attend_tell     # an LSTM that looks at a part of the image for each word",
        "- transformer_captioner",
    ]


OWN = OwnData(
    _look,
    _models,
    batch_size=32,
    recipe=("gradient_clip: 5.0           # recurrent models' gradients jump",),
)

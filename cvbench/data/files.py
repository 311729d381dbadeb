"""Finding and reading a dataset's files: images, masks, folders. Every error names the file and the remedy."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cvbench.data.base import DataError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".gif"})
# Named, because some of Pillow's other readers start external programs (EPS) or are seldom tested.
_FORMATS = ("JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP", "GIF")


def read_image(path: Path | str, mode: Literal["RGB", "L"] = "RGB") -> NDArray[np.uint8]:
    """Decodes an image file into uint8 (H, W, 3) for "RGB", (H, W, 1) for "L".

    Grey, palette, CMYK and 1-bit files are converted, transparency is dropped, 16-bit grey keeps its upper 8 bits. An
    EXIF orientation is *not* applied: pixels stay as stored, as with torchvision's ImageFolder, so that masks fit.

    Raises:
        DataError: the file is missing, truncated, corrupt, no image, has 32-bit pixels, or more than Pillow's limit
            against decompression bombs (179 million pixels).
    """
    image = _decode(path)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # Pillow would clip at 255
    if image.mode in ("I", "F"):
        raise DataError(f"{path}: expected 8 or 16 bits a channel, but the pixels have 32; save it as 8-bit PNG")
    image.info.pop("transparency", None)  # dropped here, or Pillow warns of each palette image that has some
    pixels = np.array(image.convert(mode), dtype=np.uint8)
    return pixels if mode == "RGB" else pixels[:, :, None]


def read_mask(path: Path | str) -> NDArray[Any]:
    """Decodes a label image into (H, W): the stored indices, uint8, or int32 for 16- and 32-bit files.

    A palette PNG gives its indices, not its colours.

    Raises:
        DataError: as `read_image`; or the file has several channels (a colour-coded mask).
    """
    image = _decode(path)
    if image.mode in ("L", "P"):
        return np.array(image, dtype=np.uint8)
    if image.mode == "1":
        return np.array(image).astype(np.uint8)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return np.array(image).astype(np.int32)
    raise DataError(
        f"{path}: expected a mask with one channel of class indices (grey or palette PNG), "
        f"but got mode {image.mode}; convert its colours to class indices"
    )


def image_header(path: Path | str) -> tuple[tuple[int, int], str]:
    """((H, W), Pillow's mode such as "RGB") of an image file; no pixels are decoded.

    Raises:
        DataError: as `read_image`, as far as the header tells.
    """
    with _opened(path) as image:
        return (image.height, image.width), image.mode


def _decode(path: Path | str) -> Image.Image:
    with _opened(path) as image:
        image.load()
        return image


@contextmanager
def _opened(path: Path | str) -> Iterator[Image.Image]:
    """The one place that hands a file to Pillow. Raises DataError, also for what is raised while it is open."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            yield image
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; the dataset is incomplete, copy or unpack it again") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: too large to decode safely ({error}); scale it down or remove it") from None
    except Exception as error:  # damaged bytes make Pillow raise nearly anything: SyntaxError, struct.error, ...
        raise DataError(
            f"{path}: cannot be decoded as an image, it is truncated, corrupt or no image ({error}); "
            "copy it again from the source, or remove it from the dataset"
        ) from error


def natural(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts `img2` before `img10`.

    >>> sorted(["img10", "img2", "a"], key=natural)
    ['a', 'img2', 'img10']
    """
    parts: list[str | int] = [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
    return parts, name


def list_images(folder: Path | str) -> list[Path]:
    """The image files directly in `folder` (by extension, any case; hidden files left out) in natural order.

    Raises:
        DataError: `folder` is not a folder. A folder without images gives an empty list.
    """
    return [Path(folder, name) for name in sorted(image_names(folder), key=natural)]


def image_names(folder: Path | str) -> list[str]:
    """The names of the image files directly in `folder`, in no order: for folders with very many files."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if is_image(entry.name) and entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"Expected a folder of images at {folder}, but there is none") from None


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image: by its extension, and not hidden."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS and not name.startswith(".")


def list_folders(folder: Path | str) -> list[str]:
    """The names of the folders directly in `folder`, sorted by code point (as torchvision orders classes).

    Raises:
        DataError: `folder` is not a folder.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"Expected a folder of class folders at {folder}, but there is none") from None


def need(path: Path, dataset: str, remedy: str, *, root: Path | None = None) -> Path:
    """Returns `path` where it exists; else raises an error that says what was looked for and what to do.

    Args:
        remedy: how to get it, a sentence: "Fetch it with `cvbench data fetch mnist`."
        root: the data root, whose own absence is said in the path's stead.

    Raises:
        DataError: names the path, the nearest existing name beside it, what its folder holds, and the remedy.
    """
    if path.exists():
        return path
    if root is not None and path.is_relative_to(root) and not root.exists():
        shown = root if root.is_absolute() else os.path.join(os.curdir, root)
        raise DataError(
            f"The dataset {dataset} is not there: the data root {shown} does not exist "
            f"(set --data-root or CVBENCH_DATA). {remedy}"
        )
    there = path.parent
    while not there.is_dir() and there != there.parent:
        there = there.parent
    missing = path.relative_to(there).parts[0]
    names = sorted(entry.name for entry in there.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(missing.lower(), [name.lower() for name in names], n=1)
    guess = f" Did you mean {next(name for name in names if name.lower() == near[0])}?" if near else ""
    listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    raise DataError(
        f"The dataset {dataset} is not there: expected {path}, but {there} holds {listed or 'nothing'}.{guess} "
        f"{remedy} (Another data root: --data-root or CVBENCH_DATA.)"
    )


def sha256(path: Path | str) -> str:
    """The sha256 of a file's content, 64 hex digits."""
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()

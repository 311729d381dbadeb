"""Pictures of labels: coloured masks, legends, framed boxes, tiles with text, sheets of tiles. Pillow only."""

from __future__ import annotations

import colorsys
import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cvbench.data.base import VOID
from cvbench.data.boxes import Boxes
from cvbench.data.frames import Corners, cut, name_places

Colour = tuple[int, int, int]
PAPER: Colour = (250, 250, 248)
INK: Colour = (28, 30, 34)
_GAP = 8
_MOST_LINES, _LONGEST_TEXT = 20, 5_000  # of a paragraph: a picture is no place for ten thousand words
_STRIPES: tuple[Colour, Colour] = ((0, 0, 0), (86, 86, 86))  # how void is hatched


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def palette(count: int) -> tuple[Colour, ...]:
    """`count` colours that differ: hues by the golden angle, brightness in turns. Never black, which is void's."""
    shades = ((0.85, 0.9), (0.6, 0.98), (0.95, 0.62))
    triples = (colorsys.hsv_to_rgb(place * 0.618034 % 1, *shades[place % 3]) for place in range(count))
    return tuple((round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in triples)


def colourise(mask: NDArray[np.integer], colours: Sequence[Colour], void: int | None = VOID) -> NDArray[np.uint8]:
    """The mask in its classes' colours: uint8 (H, W, 3). `void` and labels without a colour are hatched black and grey.

    mask: integers (H, W). colours: one RGB triple a class.
    """
    height, width = mask.shape
    table = np.array(colours, np.uint8).reshape(-1, 3)
    known = (mask >= 0) & (mask < len(table))
    if void is not None:
        known &= mask != void
    rows, columns = np.ogrid[:height, :width]
    period = max(2, min(height, width) // 40)
    hatched: NDArray[np.uint8] = np.array(_STRIPES, np.uint8)[(rows + columns) // period % 2]
    if not len(table):
        return hatched
    coloured: NDArray[np.uint8] = np.where(known[..., None], table[np.where(known, mask, 0)], hatched)
    return coloured


def wrapped(text: str, width: int, size: int = 13) -> list[str]:
    """The text in lines of at most `width` pixels; a word that is wider is cut with an ellipsis."""
    font, lines = _font(size), [""]
    for word in text.split():
        if font.getlength(word[: width + 1]) > width:  # no letter is narrower than a pixel
            fits = bisect_right(
                range(1, min(len(word), width)), width, key=lambda n: math.ceil(font.getlength(word[:n] + "…"))
            )
            word = word[: max(1, fits)] + "…"
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def written(paragraphs: Sequence[str], width: int, size: int = 13) -> Image.Image:
    """Paragraphs of text on paper, `width` pixels wide and as high as they need; of long ones the first lines."""
    lines = []
    for paragraph in paragraphs:
        wide = wrapped(paragraph[:_LONGEST_TEXT], width - 4, size)
        cut = len(wide) > _MOST_LINES or len(paragraph) > _LONGEST_TEXT
        lines += [*wide[: _MOST_LINES - 1], "…"] if cut else wide
    step = round(1.3 * size)
    image = Image.new("RGB", (width, step * len(lines) + 4), PAPER)
    draw = ImageDraw.Draw(image)
    for place, line in enumerate(lines):
        draw.text((2, 2 + place * step), line, fill=INK, font=_font(size))
    return image


def legend(names: Sequence[str], colours: Sequence[Colour], width: int, *, void: bool = False,
           size: int = 13) -> Image.Image:  # fmt: skip
    """A swatch and a name for each class, in as many rows as `width` pixels need; `void` adds the hatched swatch."""
    font, swatch, step = _font(size), size + 2, round(1.7 * size)
    entries = [(name, Image.new("RGB", (swatch, swatch), colour)) for name, colour in zip(names, colours, strict=True)]
    if void:
        entries.append(("void (ignored)", Image.fromarray(colourise(np.full((swatch, swatch), VOID, np.uint8), ()))))
    places, x, y = [], 0, 0
    for name, _ in entries:
        wide = min(width, swatch + 5 + round(font.getlength(name)) + 14)
        if x and x + wide > width:
            x, y = 0, y + step
        places.append((x, y))
        x += wide
    image = Image.new("RGB", (width, y + step), PAPER)
    draw = ImageDraw.Draw(image)
    for (name, colour), (x, y) in zip(entries, places, strict=True):
        image.paste(colour, (x, y + 2))
        draw.rectangle((x, y + 2, x + swatch - 1, y + 1 + swatch), outline=INK)
        draw.text((x + swatch + 5, y + 1), wrapped(name, width - swatch - 6, size)[0], fill=INK, font=font)
    return image


def scaled(pixels: NDArray[np.uint8], longest: int = 320, smoothly: bool = False) -> Image.Image:
    """The image, uint8 (H, W), (H, W, 1) or (H, W, 3), about `longest` pixels on its longer side.

    Small images grow by a whole factor, so that each pixel stays a square; large ones shrink (masks: not `smoothly`).
    """
    image = Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).convert("RGB")
    factor = longest / max(image.size)
    if factor >= 1:
        factor = int(factor)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    shrink = Image.Resampling.BOX if smoothly else Image.Resampling.NEAREST
    return image.resize(size, shrink if factor < 1 else Image.Resampling.NEAREST)


def boxed(
    pixels: NDArray[np.uint8], boxes: Boxes, classes: Sequence[str], colours: Sequence[Colour], longest: int = 640
) -> Image.Image:
    """An image, uint8 (H, W, C), scaled, with its boxes: what `preview` shows of a detection's truth.

    A crowd's frame is dashed and that of a difficult thing dotted, and their names say so.
    """
    picture = scaled(pixels, longest, smoothly=True)
    names, shades = [], []
    for label, crowd, difficult in zip(
        boxes.labels.tolist(), boxes.crowd.tolist(), boxes.difficult.tolist(), strict=True
    ):
        known = 0 <= label < len(classes)
        name = classes[label] if known else f"label {label}: no such class"
        names.append(name + ", crowd" * crowd + ", difficult" * difficult)
        shades.append(colours[label] if known else INK)
    dashes = np.where(boxes.crowd, 10, np.where(boxes.difficult, 3, 0)).tolist()
    return framed(picture, boxes.xyxy * (picture.width / pixels.shape[1]), names, shades, dashes=dashes)


def framed(image: Image.Image, boxes_xyxy: NDArray[np.floating], names: Sequence[str], colours: Sequence[Colour],
           size: int = 11, *, dashes: Sequence[int] = ()) -> Image.Image:  # fmt: skip
    """A copy with a frame and a name for each box; boxes (N, 4) in pixels of `image`, half open, cut at its border.

    Names stand where they hide no other, where there is such a place. dashes: length of each frame's dashes in pixels,
    0 for a whole line; absent: all whole.
    """
    image = image.copy()
    draw, font = ImageDraw.Draw(image), _font(size)
    corners = cut(boxes_xyxy, image.size)
    for box, colour, dash in zip(corners, colours, dashes or [0] * len(corners), strict=True):
        _frame(draw, box, colour, dash)
    places = name_places(corners, [(math.ceil(font.getlength(name)) + 4, size + 4) for name in names], image.size)
    for place, name, colour in zip(places, names, colours, strict=True):
        draw.rectangle((place.left, place.top, place.right - 1, place.bottom - 1), fill=colour)
        dark = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] < 128
        draw.text((place.left + 2, place.top), name, fill=(255, 255, 255) if dark else INK, font=font)
    return image


def _frame(draw: ImageDraw.ImageDraw, box: Corners, colour: Colour, dash: int) -> None:
    """A frame of 2 pixels within the box; of dashes that long on a light line, which shows them on any ground."""
    x0, y0, x1, y1 = box.left, box.top, max(box.left, box.right - 1), max(box.top, box.bottom - 1)
    draw.rectangle((x0, y0, x1, y1), outline=PAPER if dash else colour, width=2)
    for x in range(x0, x1 + 1, 2 * dash) if dash else ():
        for y in (y0, max(y0, y1 - 1)):
            draw.rectangle((x, y, min(x + dash - 1, x1), min(y + 1, y1)), fill=colour)
    for y in range(y0, y1 + 1, 2 * dash) if dash else ():
        for x in (x0, max(x0, x1 - 1)):
            draw.rectangle((x, y, min(x + 1, x1), min(y + dash - 1, y1)), fill=colour)


def beside(*images: Image.Image) -> Image.Image:
    """Images in a row, at their tops."""
    joined = Image.new("RGB", (sum(image.width for image in images), max(image.height for image in images)), PAPER)
    x = 0
    for image in images:
        joined.paste(image, (x, 0))
        x += image.width
    return joined


def below(*images: Image.Image) -> Image.Image:
    """Images in a column, at their left."""
    joined = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), PAPER)
    y = 0
    for image in images:
        joined.paste(image, (0, y))
        y += image.height
    return joined


def sheet(
    tiles: Sequence[Image.Image], *, width: int = 1360, title: str = "", foot: Image.Image | None = None
) -> Image.Image:
    """Tiles in rows on paper about `width` pixels wide, a title above and, say, a legend below (of `width` or less)."""
    cell = max(tile.width for tile in tiles)
    columns = max(1, min(len(tiles), (width - _GAP) // (cell + _GAP)))
    wide = max(columns * (cell + _GAP) + _GAP, foot.width + 2 * _GAP if foot else 0)
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) + _GAP for row in rows]
    head = written([title], wide - 2 * _GAP, 18) if title else Image.new("RGB", (1, 0))
    high = head.height + 2 * _GAP + sum(heights) + (foot.height + _GAP if foot else 0)
    paper = Image.new("RGB", (wide, high), PAPER)
    paper.paste(head, (_GAP, _GAP))
    y = head.height + 2 * _GAP
    for row, height in zip(rows, heights, strict=True):
        for place, tile in enumerate(row):
            paper.paste(tile, (_GAP + place * (cell + _GAP), y))
        y += height
    if foot:
        paper.paste(foot, (_GAP, y))
    return paper


def mask_pair(
    image: NDArray[np.uint8], mask: NDArray[np.integer], colours: Sequence[Colour], longest: int = 320
) -> Image.Image:
    """The image and its coloured mask beside it, equally large: what `preview` and `predict` show of a segmentation."""
    coloured = np.asarray(scaled(colourise(mask, colours), longest))
    return beside(scaled(image, longest, smoothly=True), Image.fromarray(coloured))

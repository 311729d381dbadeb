"""One `streets` scene, drawn: image and mask, and the things that can be seen in it with their boxes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvbench.data.streets_scene.canvas import Draws
from cvbench.data.streets_scene.layouts import LAYOUTS, label_of
from cvbench.data.streets_scene.street import Street
from cvbench.data.streets_scene.traffic import Traffic

# A thing has a box, and is spoken of, if so much of it is seen; less cannot be told from its surroundings.
LEAST_PIXELS = 12
LEAST_SIDE = 3
LEAST_COLOURED = 6  # pixels in the colour of a thing, for the colour to be spoken of


class Seen(NamedTuple):
    """A thing that can be seen. box: x0, y0, x1, y1 in pixels, half open, around what is seen. colour: "" if hidden."""

    kind: str
    kind_class: int
    colour: str
    box: tuple[int, int, int, int]


class Drawn(NamedTuple):
    """A scene without its captions. image: uint8 (H, W, 3). mask: uint8 (H, W), 0..11. seen: nearest first."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    seen: tuple[Seen, ...]
    label: int
    light: str
    weather: str


def draw(seed: int, role: str, index: int, height: int, width: int) -> Drawn:
    """Scene `index` of a role: a function of the arguments alone."""
    draws = Draws("streets", seed, role, index, height, width)
    label = label_of(seed, role, index)
    street = Street(LAYOUTS[label], height, width, draws)
    street.draw_ground()
    street.put_beside()
    traffic = Traffic(street)
    street.draw_standing()
    image, mask, numbers, named = street.canvas.finish(draws)
    seen = []
    for number, (kind, kind_class, colour) in enumerate(traffic.things, start=1):
        pixels, *box = _visible(numbers, number)
        if pixels >= LEAST_PIXELS and min(box[2] - box[0], box[3] - box[1]) >= LEAST_SIDE:
            shown = colour if number < len(named) and named[number] >= LEAST_COLOURED else ""
            seen.append(Seen(kind, kind_class, shown, (box[0], box[1], box[2], box[3])))
    seen.sort(key=lambda thing: (-thing.box[3], thing.box[0]))  # the lower in the image, the nearer
    return Drawn(image, mask, tuple(seen), label, street.air.light, street.air.weather)


def _visible(numbers: NDArray[np.int16], number: int) -> tuple[int, int, int, int, int]:
    """The visible pixels of one thing: (count, x0, y0, x1, y1), the box half open; all 0 where it is hidden."""
    found = np.flatnonzero(numbers == number)
    if not found.size:
        return 0, 0, 0, 0, 0
    width = numbers.shape[1]
    columns = found % width
    return (int(found.size), int(columns.min()), int(found[0]) // width,
            int(columns.max()) + 1, int(found[-1]) // width + 1)  # fmt: skip

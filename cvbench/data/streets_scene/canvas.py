"""What a `streets` scene is drawn on: random numbers, a camera over a road, paints, and light and weather.

Every primitive is drawn once, as the number of its paint, into one integer image; image, mask and object map are then
looked up from the table of paints. So a mask fits its pixels by construction, occlusion included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

T = TypeVar("T")
RGB = tuple[float, float, float]
Point = tuple[float, float]

SKY, BUILDING, POLE, MARKING, ROAD, PAVEMENT, TREE, SIGN, FENCE, VEHICLE, PEDESTRIAN, BIKE = range(12)

_FAR_M = 90.0  # depth of everything at the horizon
_UNIT = np.float32(1 / 74)  # scales a uniform int8 to sigma 1
_MOST_FOG = 0.8  # what is labelled stays visible
_DEPTH_SAMPLES_M = (1.4, 2.2, 3.5, 5.0, 7.0, 10.0, 14.0, 20.0, 30.0, 48.0, _FAR_M)


class Draws:
    """The random numbers of one scene, a function of `key` alone; in bulk, as single draws cost 10 times more."""

    def __init__(self, *key: object) -> None:
        digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
        self.generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
        self._pool: list[float] = []

    def unit(self) -> float:
        if not self._pool:
            self._pool = self.generator.random(512).tolist()
        return self._pool.pop()

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.unit()

    def count(self, low: int, high: int) -> int:
        """An integer of low..high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, share: float) -> bool:
        return self.unit() < share

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.unit() * len(options))]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        return sorted(options, key=lambda _: self.unit())

    def tint(self, rgb: RGB, spread: float = 14.0) -> RGB:
        """The colour, a little lighter or darker."""
        shift = spread * (2 * self.unit() - 1)
        return (rgb[0] + shift, rgb[1] + shift, rgb[2] + shift)


class Camera(NamedTuple):
    """A pinhole camera above a road that may bend. Lengths in metres, `focal`, `horizon` and `centre` in pixels."""

    focal: float
    horizon: float
    centre: float
    height: float
    offset: float
    bend: float

    def at(self, x: float, y: float, z: float) -> Point:
        """The pixel of a point x to the right of the road's middle, y above the ground, z ahead of the camera."""
        scale = self.focal / z
        return (self.centre + scale * (x - self.offset) + self.focal * self.bend * z,
                self.horizon + scale * (self.height - y))  # fmt: skip


class Atmosphere(NamedTuple):
    """Light and weather, and what they do to colours."""

    light: str
    weather: str
    sky: RGB
    haze: RGB
    ambient: RGB
    density: float  # of fog, 1/m
    cover: float  # share of white on snowed surfaces
    exposure: float
    noise: float  # sigma of the sensor's noise, grey levels
    blur: float  # weight of each of two neighbours, across and down


LIGHTS = ("day", "dusk", "night")
WEATHERS = ("clear", "rain", "fog", "snow")
_SKY: dict[tuple[str, str], tuple[RGB, RGB]] = {  # (light, weather) -> zenith, haze at the horizon
    ("day", "clear"): ((84, 142, 220), (202, 220, 238)), ("day", "rain"): ((112, 118, 128), (160, 165, 172)),
    ("day", "fog"): ((186, 189, 193), (206, 208, 211)), ("day", "snow"): ((172, 179, 190), (216, 220, 226)),
    ("dusk", "clear"): ((72, 74, 132), (246, 152, 88)), ("dusk", "rain"): ((66, 64, 84), (158, 112, 98)),
    ("dusk", "fog"): ((132, 112, 118), (186, 146, 128)), ("dusk", "snow"): ((104, 100, 128), (198, 158, 150)),
    ("night", "clear"): ((8, 12, 34), (30, 34, 58)), ("night", "rain"): ((10, 12, 20), (30, 32, 42)),
    ("night", "fog"): ((40, 42, 52), (78, 78, 88)), ("night", "snow"): ((28, 30, 46), (64, 68, 84)),
}  # fmt: skip
_AMBIENT: dict[str, RGB] = {"day": (1.0, 1.0, 0.98), "dusk": (0.72, 0.59, 0.58), "night": (0.44, 0.45, 0.55)}
_DIM = {"clear": 1.0, "rain": 0.78, "fog": 0.88, "snow": 0.95}


def atmosphere(draws: Draws, *, sheltered: bool = False) -> Atmosphere:
    """Random light and weather; `sheltered`: lamp light and no weather, as inside a tunnel."""
    light = draws.pick(("day", "day", "dusk", "night"))
    weather = "clear" if sheltered else draws.pick(("clear", "clear", "rain", "fog", "snow"))
    sky, haze = _SKY[light, weather]
    dim = _DIM[weather] * (draws.between(0.65, 1.0) if sheltered else 1.0)
    ambient = (0.82, 0.72, 0.54) if sheltered else _AMBIENT[light]
    return Atmosphere(
        light, weather, draws.tint(sky), draws.tint(haze), (ambient[0] * dim, ambient[1] * dim, ambient[2] * dim),
        density=draws.between(0.028, 0.05) if weather == "fog" else draws.between(0.003, 0.01),
        cover=draws.between(0.55, 0.8) if weather == "snow" else 0.0,
        exposure=draws.between(0.85, 1.15),
        noise=draws.between(2.0, 5.0) * (1.6 if light == "night" else 1.0),
        blur=draws.between(0.12, 0.27),
    )  # fmt: skip


class Finished(NamedTuple):
    """image: uint8 (H, W, 3). mask: uint8 (H, W). things: int16 (H, W), the number of the thing seen, 0 where none.

    named: pixels of each thing, by its number, that show the colour by which it is called.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    things: NDArray[np.int16]
    named: NDArray[Any]


class Canvas:
    """An image in the making. `paint` mixes a paint and gives its number; the drawing methods put it somewhere."""

    def __init__(self, height: int, width: int, camera: Camera, air: Atmosphere) -> None:
        self.height, self.width, self.camera, self.air = height, width, camera, air
        self._image = Image.new("I", (width, height))
        self._draw = ImageDraw.Draw(self._image)
        self._paints: list[float] = []
        self._number = -1

    def paint(self, rgb: RGB, kind: int, depth: float = 0.0, *, thing: int = 0, rough: float = 0.06,
              glow: float = 0.0, snow: float = 0.0, named: bool = False) -> int:  # fmt: skip
        """The number of a new paint of class `kind` at `depth` metres; 0: ground or sky, hazy by image row.

        thing: number of what it belongs to. rough: texture. glow: light of its own. snow: how much may lie on it.
        named: this is the colour by which the thing is called.
        """
        white = snow * self.air.cover
        red, green, blue = rgb
        if white:
            red, green, blue = (red + white * (236 - red), green + white * (239 - green), blue + white * (245 - blue))
        self._paints.extend((red, green, blue, kind, thing, depth, rough, glow, named))
        self._number += 1
        return self._number

    def polygon(self, points: Sequence[Point], paint: int) -> None:
        self._draw.polygon(points, fill=paint)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, paint: int) -> None:
        self._draw.ellipse((x - radius_x, y - radius_y, x + radius_x, y + radius_y), fill=paint)

    def ring(self, x: float, y: float, radius: float, thickness: float, paint: int) -> None:
        box = (x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(box, outline=paint, width=max(1, round(thickness)))

    def line(self, start: Point, end: Point, thickness: float, paint: int) -> None:
        self._draw.line((*start, *end), fill=paint, width=max(1, round(thickness)))

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, paint: int) -> None:
        self._draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), fill=paint)

    def strip(self, left: float, right: float, paint: int, near: float = 1.4, far: float = _FAR_M) -> None:
        """A band of ground along the road, from x = left to right and z = near to far (metres)."""
        at = self.camera.at
        depths = [near, *(z for z in _DEPTH_SAMPLES_M if near < z < far), far]
        outline = [at(left, 0, z) for z in depths] + [at(right, 0, z) for z in reversed(depths)]
        self.polygon(outline, paint)

    def crosswise(self, near: float, far: float, paint: int) -> None:
        """A band of ground from the left of the picture to its right."""
        self.rectangle(0, self.camera.at(0, 0, far)[1], self.width, self.camera.at(0, 0, near)[1], paint)

    def wall(self, x: float, low: float, high: float, near: float, far: float, paint: int) -> None:
        """An upright surface along the road."""
        at = self.camera.at
        self.polygon((at(x, low, near), at(x, high, near), at(x, high, far), at(x, low, far)), paint)

    def front(self, left: float, right: float, low: float, high: float, z: float, paint: int) -> None:
        """An upright surface that faces the camera."""
        (x0, y0), (x1, y1) = self.camera.at(left, high, z), self.camera.at(right, low, z)
        self.rectangle(x0, y0, x1, y1, paint)

    def finish(self, draws: Draws) -> Finished:
        """Lights the scene and looks up what each pixel shows."""
        air = self.air
        paints = np.array(self._paints, np.float32).reshape(-1, 9)
        numbers = np.asarray(self._image).astype(np.intp)  # the type that `take` wants
        depth, rough, glow = paints[:, 5:6], paints[:, 6], paints[:, 7:8]
        haze = np.array(air.haze, np.float32)
        ambient = np.array(air.ambient, np.float32) * air.exposure
        rgb = paints[:, :3] * (ambient + (1 - ambient) * glow)
        rgb += (haze - rgb) * np.minimum(_MOST_FOG, 1 - np.exp(-air.density * depth)) * (1 - 0.6 * glow)
        by_row = ((depth[:, 0] == 0) * (1 - glow[:, 0] * (paints[:, 3] != SKY))).astype(np.float32)

        # Planes (3, H, W): numpy repeats what is per pixel along the first axis far faster than along a last one of 3.
        pixels = np.ascontiguousarray(rgb.T).take(numbers, axis=1, mode="clip")
        share = by_row.take(numbers, mode="clip")
        share *= self._row_haze()[:, None]
        pixels += share * (haze[:, None, None] - pixels)
        texture, *grain = np.frombuffer(draws.generator.bytes(4 * numbers.size), np.int8).reshape(4, *numbers.shape)
        pixels *= 1 + (rough * _UNIT).take(numbers, mode="clip") * texture
        self._weather(pixels, draws)
        for plane, noise in zip(pixels, grain, strict=True):
            _soften(plane, air.blur)
            plane += noise * (air.noise * _UNIT)
        image = np.ascontiguousarray(pixels.clip(0, 255, out=pixels).astype(np.uint8).transpose(1, 2, 0))
        kinds, owners = paints[:, 3].astype(np.uint8), paints[:, 4].astype(np.int16)
        per_paint = np.bincount(numbers.ravel(), minlength=len(paints))
        return Finished(
            image,
            mask=kinds.take(numbers, mode="clip"),
            things=owners.take(numbers, mode="clip"),
            named=np.bincount(owners, weights=per_paint * paints[:, 8].astype(np.float64)),
        )

    def _row_haze(self) -> NDArray[np.float32]:
        """Share of haze by image row: fades upwards in the sky, with the distance on the ground."""
        below = np.arange(self.height, dtype=np.float32) + 0.5 - self.camera.horizon
        metres = self.camera.focal * self.camera.height / np.maximum(below, 1)
        ground = np.minimum(_MOST_FOG, 1 - np.exp(-self.air.density * metres))
        sky = np.clip(1 + below / max(self.camera.horizon, 1), 0, 1) ** 1.5
        haze: NDArray[np.float32] = np.where(below > 0, ground, sky).astype(np.float32)
        return haze

    def _weather(self, pixels: NDArray[np.float32], draws: Draws) -> None:
        """Rain streaks and snow flakes in front of everything; they belong to no class."""
        if self.air.weather not in ("rain", "snow"):
            return
        scale = self.height / 96
        count = round(self.height * self.width / (170 if self.air.weather == "rain" else 110))
        rows, columns = draws.generator.random((2, count, 1))
        rain = self.air.weather == "rain"
        length = max(2, round(7 * scale)) if rain else max(1, round(1.3 * scale))
        steps = np.arange(length)
        slant = 0.35 * (draws.unit() - 0.5)
        if rain:
            y, x = rows * self.height + steps, columns * self.width + slant * steps
        else:
            y, x = (rows * self.height + np.repeat(steps, length), columns * self.width + np.tile(steps, length))
        y, x = y.astype(np.intp) % self.height, x.astype(np.intp) % self.width
        brightness = np.float32(min(250.0, 90 + max(self.air.haze)))
        pixels[:, y, x] += np.float32(0.28 if rain else 0.8) * (brightness - pixels[:, y, x])


def _soften(plane: NDArray[np.float32], weight: float) -> None:
    """Mixes each pixel of (H, W) with its neighbours, in place: 6 times as fast as Pillow's box blur."""
    plane[:, 1:-1] += weight * (plane[:, 2:] + plane[:, :-2] - 2 * plane[:, 1:-1])
    plane[1:-1] += weight * (plane[2:] + plane[:-2] - 2 * plane[1:-1])

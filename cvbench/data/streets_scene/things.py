"""The things of a `streets` scene that have boxes: vehicles, pedestrians, cyclists, signs. All lengths in metres."""

from __future__ import annotations

from itertools import pairwise

from cvbench.data.streets_scene.canvas import BIKE, PEDESTRIAN, POLE, RGB, ROAD, SIGN, VEHICLE, Canvas, Draws

COLOURS: dict[str, RGB] = {
    "red": (205, 32, 34), "blue": (34, 72, 190), "white": (236, 236, 234), "black": (28, 28, 32),
    "yellow": (240, 196, 26), "green": (32, 140, 62),
}  # fmt: skip
# width, length, height of the lower body, height of the roof
_BODIES = {"car": (1.8, 4.2, 0.95, 1.5), "van": (2.0, 5.0, 1.2, 2.2), "bus": (2.5, 10.0, 3.0, 3.1),
           "truck": (2.5, 8.0, 3.3, 3.4)}  # fmt: skip
VEHICLES = ("car", "car", "car", "car", "van", "van", "bus", "truck")
_SKIN: tuple[RGB, ...] = ((226, 180, 150), (196, 142, 104), (128, 86, 58))


def _shade(rgb: RGB, factor: float) -> RGB:
    return (rgb[0] * factor, rgb[1] * factor, rgb[2] * factor)


def vehicle(
    canvas: Canvas, draws: Draws, number: int, kind: str, colour: str, x: float, z: float, oncoming: bool
) -> None:
    """A vehicle along the road whose nearest face stands at depth z, its middle at x."""
    width, length, waist, roof = _BODIES[kind]
    half, far = width / 2, z + length
    body = COLOURS[colour]
    # Vehicles keep some light of their own (reflections, street lamps), so that their colour can be told at night.
    own = 0.3

    def paint(rgb: RGB, *, glow: float = own, named: bool = False) -> int:
        return canvas.paint(rgb, VEHICLE, z, thing=number, rough=0.03, glow=glow, named=named)

    shadow = canvas.paint((34, 34, 38), ROAD, z)
    canvas.polygon(
        [canvas.camera.at(x + dx, 0, dz) for dx, dz in ((-half, z), (half, z), (half, far), (-half, far))], shadow
    )
    side_x = x - half if x > canvas.camera.offset else x + half
    skirt, glass, tyre = paint(_shade(body, 0.62), named=True), paint((58, 74, 92)), paint((22, 22, 24))
    face = paint(body, named=True)
    canvas.wall(side_x, 0.28, waist, z, far, skirt)
    cabin_near, cabin_far = (z, far) if roof - waist < 0.2 else (z + 0.15 * length, far - 0.25 * length)
    if kind == "van":
        cabin_near, cabin_far = (z + 0.7, far) if oncoming else (z, far - 0.7)
    if roof - waist > 0.2:
        inset = side_x * 0.94 + x * 0.06
        canvas.wall(inset, waist, roof, cabin_near, cabin_far, skirt)
        canvas.wall(inset, waist + 0.08, roof - 0.12, cabin_near + 0.2, cabin_far - 0.3, glass)
    elif kind == "bus":
        canvas.wall(side_x, 1.5, 2.5, z + 0.4, far - 0.4, glass)
    for axle in (z + 0.18 * length, z + 0.8 * length):
        canvas.wall(side_x, 0.0, 0.6, axle - 0.3, axle + 0.3, tyre)
    # The cabin's face stands back from the bumper; both are drawn, the bumper's last.
    if roof - waist > 0.2:
        top = paint(_shade(body, 0.9), named=True)
        narrow = half * 0.84
        (x0, y0), (x1, _) = (
            canvas.camera.at(x - narrow, roof, cabin_near),
            canvas.camera.at(x + narrow, roof, cabin_near),
        )
        (x2, y2), (x3, _) = canvas.camera.at(x - half, waist, z), canvas.camera.at(x + half, waist, z)
        canvas.polygon(((x0, y0), (x1, y0), (x3, y2), (x2, y2)), top)
        inner, drop = 0.12 * (x1 - x0), 0.14 * (y2 - y0)
        canvas.polygon(
            ((x0 + inner, y0 + drop), (x1 - inner, y0 + drop), (x3 - 1.3 * inner, y2), (x2 + 1.3 * inner, y2)), glass
        )
    canvas.front(x - half, x + half, 0.28, waist, z, face)
    if kind == "bus" or (kind == "truck" and oncoming):
        canvas.front(x - half * 0.86, x + half * 0.86, 1.5, 2.5, z, glass)
    elif kind == "truck":
        seam = paint(_shade(body, 0.75))
        canvas.front(x - 0.04, x + 0.04, 0.9, waist - 0.1, z, seam)
        canvas.front(x - half, x + half, 0.6, 0.9, z, tyre)
    canvas.front(x - half, x + half, 0.28, 0.42, z, tyre)
    lamp = paint((255, 246, 214) if oncoming else (232, 24, 20), glow=0.4 if canvas.air.light == "day" else 1.0)
    plate = paint((238, 232, 206))
    low = 0.6 if waist < 2 else 0.75
    for sign in (-1, 1):
        canvas.front(x + sign * half * 0.78 - 0.19, x + sign * half * 0.78 + 0.19, low, low + 0.22, z, lamp)
        canvas.front(x + sign * half * 0.78 - 0.14, x + sign * half * 0.78 + 0.14, 0.0, 0.3, z, tyre)
    canvas.front(x - 0.26, x + 0.26, 0.46, 0.58, z, plate)


def crossing_vehicle(canvas: Canvas, draws: Draws, number: int, kind: str, colour: str, x: float, z: float) -> None:
    """A vehicle seen from its side."""
    _, length, waist, roof = _BODIES[kind]
    half = length / 2
    body = COLOURS[colour]

    def paint(rgb: RGB, *, named: bool = False) -> int:
        return canvas.paint(rgb, VEHICLE, z, thing=number, rough=0.03, glow=0.3, named=named)

    at = canvas.camera.at
    glass, tyre, face = paint((58, 74, 92)), paint((22, 22, 24)), paint(body, named=True)
    canvas.front(x - half, x + half, 0.0, 0.1, z, canvas.paint((34, 34, 38), ROAD, z))
    heading = draws.pick((-1, 1))
    if roof - waist > 0.2:
        back, front = (-0.36, 0.26) if kind == "car" else (-0.5, 0.36)
        cabin = ((back, waist), (back + 0.08, roof), (front - 0.1, roof), (front, waist))
        canvas.polygon([at(x + heading * u * length, y, z) for u, y in cabin], face)
        panes = ((back + 0.05, waist), (back + 0.1, roof - 0.12), (front - 0.12, roof - 0.12), (front - 0.04, waist))
        canvas.polygon([at(x + heading * u * length, y, z) for u, y in panes], glass)
    canvas.front(x - half, x + half, 0.3, waist, z, face)
    if kind == "bus":
        canvas.front(x - half + 0.4, x + half - 0.4, 1.5, 2.5, z, glass)
    elif kind == "truck":
        cab = sorted((x + heading * half, x + heading * (half - 1.5)))
        canvas.front(cab[0], cab[1], 1.7, 2.6, z, glass)
    scale = canvas.camera.focal / z
    for axle in (-0.3, 0.3):
        px, py = at(x + axle * length, 0.34, z)
        canvas.ellipse(px, py, 0.36 * scale, 0.36 * scale, tyre)


def pedestrian(canvas: Canvas, draws: Draws, number: int, colour: str, x: float, z: float) -> None:
    tall = draws.between(1.55, 1.9)
    scale = canvas.camera.focal / z
    px, py = canvas.camera.at(x, 0, z)

    def paint(rgb: RGB, *, named: bool = False) -> int:
        return canvas.paint(rgb, PEDESTRIAN, z, thing=number, rough=0.03, glow=0.25, named=named)

    def part(points: tuple[tuple[float, float], ...], number: int) -> None:
        canvas.polygon([(px + u * scale, py - v * tall * scale) for u, v in points], number)

    step = draws.between(-0.3, 0.3)
    trousers = paint(draws.pick(((36, 40, 58), (64, 56, 50), (90, 92, 98))))
    part(((-0.14, 0.5), (0.04, 0.5), (-0.02 + step, 0), (-0.16 + step, 0)), trousers)
    part(((-0.04, 0.5), (0.14, 0.5), (0.16 - step, 0), (0.02 - step, 0)), trousers)
    coat = paint(COLOURS[colour], named=True)
    part(((-0.17, 0.84), (0.17, 0.84), (0.25, 0.48), (0.15, 0.44), (-0.15, 0.44), (-0.25, 0.48)), coat)
    canvas.ellipse(px, py - 0.92 * tall * scale, 0.12 * scale, 0.15 * scale, paint(draws.pick(_SKIN)))


def cyclist(canvas: Canvas, draws: Draws, number: int, colour: str, x: float, z: float) -> None:
    """Rider and bike together, from behind or from the side: one thing of class bike, as CamVid labels bicyclists."""
    scale = canvas.camera.focal / z
    px, py = canvas.camera.at(x, 0, z)

    def paint(rgb: RGB, *, named: bool = False) -> int:
        return canvas.paint(rgb, BIKE, z, thing=number, rough=0.03, glow=0.25, named=named)

    def part(points: tuple[tuple[float, float], ...], number: int) -> None:
        canvas.polygon([(px + u * scale, py - v * scale) for u, v in points], number)

    tyre, coat, skin = paint((24, 24, 26)), paint(COLOURS[colour], named=True), paint(draws.pick(_SKIN))
    trousers, frame = paint((48, 50, 66)), paint(draws.pick(tuple(COLOURS.values())))
    helmet = paint(draws.pick((COLOURS["white"], COLOURS["yellow"], COLOURS["red"])))
    if draws.chance(0.35):  # along the road
        for leg in (-1, 1):
            part(((leg * 0.02, 1.0), (leg * 0.2, 0.95), (leg * 0.24, 0.34), (leg * 0.13, 0.34)), trousers)
        part(((-0.06, 0.0), (-0.06, 0.72), (0.06, 0.72), (0.06, 0.0)), tyre)
        part(((-0.05, 0.74), (-0.05, 0.86), (0.05, 0.86), (0.05, 0.74)), paint((230, 30, 26)))
        part(((-0.4, 1.0), (-0.4, 1.08), (0.4, 1.08), (0.4, 1.0)), frame)
        part(((-0.18, 1.5), (0.18, 1.5), (0.42, 1.08), (0.2, 0.98), (-0.2, 0.98), (-0.42, 1.08)), coat)
        canvas.ellipse(px, py - 1.64 * scale, 0.12 * scale, 0.15 * scale, skin)
        canvas.ellipse(px, py - 1.72 * scale, 0.14 * scale, 0.1 * scale, helmet)
        return
    way = draws.pick((-1, 1))
    for wheel in (-0.55, 0.55):
        canvas.ring(px + wheel * scale, py - 0.34 * scale, 0.34 * scale, 0.09 * scale, tyre)
    bars = ((-0.55, 0.34), (-0.15, 0.85), (0.45, 0.85), (0.55, 0.34), (0.0, 0.3), (-0.15, 0.85))
    points = [(px + way * u * scale, py - v * scale) for u, v in bars]
    for start, end in pairwise(points):
        canvas.line(start, end, 0.07 * scale, frame)
    part(
        (
            (way * -0.25, 0.95),
            (way * 0.0, 0.98),
            (way * 0.22, 0.62),
            (way * 0.1, 0.22),
            (way * -0.02, 0.24),
            (way * 0.08, 0.6),
        ),
        trousers,
    )
    part(((way * -0.25, 0.9), (way * 0.02, 0.95), (way * 0.32, 1.42), (way * 0.1, 1.5)), coat)
    part(((way * 0.2, 1.4), (way * 0.28, 1.35), (way * 0.5, 0.98), (way * 0.42, 0.95)), coat)
    canvas.ellipse(px + way * 0.3 * scale, py - 1.6 * scale, 0.13 * scale, 0.16 * scale, skin)
    canvas.ellipse(px + way * 0.3 * scale, py - 1.69 * scale, 0.15 * scale, 0.1 * scale, helmet)


def road_sign(canvas: Canvas, draws: Draws, number: int, x: float, z: float) -> None:
    """A round, triangular or square plate on a pole."""
    scale = canvas.camera.focal / z
    size = draws.between(0.42, 0.55)
    high = draws.between(2.0, 2.6)
    px, py = canvas.camera.at(x, high, z)
    pole = canvas.paint(draws.tint((128, 130, 132)), POLE, z, glow=0.1)
    canvas.front(x - 0.05, x + 0.05, 0, high, z, pole)

    def paint(rgb: RGB) -> int:
        return canvas.paint(rgb, SIGN, z, thing=number, rough=0.02, glow=0.45)

    red, white, blue, dark = paint((214, 26, 30)), paint((244, 244, 240)), paint((22, 78, 188)), paint((26, 26, 28))
    radius = size * scale
    shape = draws.pick(("limit", "warning", "order", "square", "ban"))
    if shape == "warning":
        canvas.polygon(
            ((px, py - 1.15 * radius), (px + 1.1 * radius, py + 0.8 * radius), (px - 1.1 * radius, py + 0.8 * radius)),
            red,
        )
        canvas.polygon(
            (
                (px, py - 0.6 * radius),
                (px + 0.65 * radius, py + 0.55 * radius),
                (px - 0.65 * radius, py + 0.55 * radius),
            ),
            white,
        )
    elif shape == "square":
        canvas.rectangle(px - radius, py - radius, px + radius, py + radius, blue)
        canvas.rectangle(px - 0.35 * radius, py - 0.55 * radius, px + 0.35 * radius, py + 0.55 * radius, white)
    else:
        outer, inner = {"limit": (red, white), "order": (blue, blue), "ban": (red, red)}[shape]
        canvas.ellipse(px, py, radius, radius, outer)
        canvas.ellipse(px, py, 0.66 * radius, 0.66 * radius, inner)
        mark = {"limit": dark, "order": white, "ban": white}[shape]
        canvas.rectangle(px - 0.45 * radius, py - 0.14 * radius, px + 0.45 * radius, py + 0.14 * radius, mark)


def traffic_light(canvas: Canvas, draws: Draws, number: int, x: float, z: float) -> None:
    scale = canvas.camera.focal / z
    pole = canvas.paint(draws.tint((92, 94, 96)), POLE, z)
    canvas.front(x - 0.06, x + 0.06, 0, 2.5, z, pole)
    px, py = canvas.camera.at(x, 3.0, z)
    case = canvas.paint((30, 32, 32), SIGN, z, thing=number, rough=0.02, glow=0.2)
    canvas.rectangle(px - 0.3 * scale, py - 0.75 * scale, px + 0.3 * scale, py + 0.75 * scale, case)
    lit = draws.count(0, 2)
    for row, rgb in enumerate(((255, 40, 30), (255, 190, 30), (40, 235, 110))):
        bright = row == lit
        lamp = canvas.paint(rgb if bright else (70, 70, 66), SIGN, z, thing=number, rough=0.0, glow=0.9 * bright)
        canvas.ellipse(px, py + (row - 1) * 0.48 * scale, 0.18 * scale, 0.18 * scale, lamp)


def gantry(canvas: Canvas, draws: Draws, numbers: list[int], half: float, z: float) -> None:
    """A portal over the whole road, `half` its width, with a blue or green board for each number."""
    steel = canvas.paint(draws.tint((136, 140, 144)), POLE, z)
    for x in (-half, half):
        canvas.front(x - 0.15, x + 0.15, 0, 6.6, z, steel)
    canvas.front(-half, half, 6.1, 6.6, z, steel)
    board_rgb: RGB = draws.pick(((18, 74, 176), (14, 110, 66)))
    step = 2 * half / len(numbers)
    for place, number in enumerate(numbers):
        middle = -half + (place + 0.5) * step
        wide = min(2.4, 0.4 * step)
        board = canvas.paint(board_rgb, SIGN, z, thing=number, rough=0.02, glow=0.4)
        text = canvas.paint((240, 242, 244), SIGN, z, thing=number, rough=0.02, glow=0.5)
        canvas.front(middle - wide, middle + wide, 4.8, 7.0, z, board)
        for low in (5.3, 6.2):
            canvas.front(middle - 0.7 * wide, middle + draws.between(0.1, 0.7) * wide, low, low + 0.25, z, text)

"""What stands beside the road of a `streets` scene and has no box: buildings, trees, fences, lamps, tunnel, bridge."""

from __future__ import annotations

import math
from itertools import pairwise

from cvbench.data.streets_scene.canvas import (
    BUILDING,
    FENCE,
    MARKING,
    POLE,
    RGB,
    SKY,
    TREE,
    Canvas,
    Draws,
)

_WALLS: tuple[RGB, ...] = (
    (176, 98, 74),
    (198, 176, 140),
    (150, 150, 154),
    (214, 206, 190),
    (122, 104, 92),
    (188, 142, 108),
)
_ROOFS: tuple[RGB, ...] = ((142, 62, 48), (84, 72, 70), (104, 86, 74))
LEAVES: tuple[RGB, ...] = ((52, 98, 40), (74, 112, 44), (38, 80, 46), (120, 116, 44), (158, 104, 40))


def sky(canvas: Canvas) -> None:
    paint = canvas.paint(canvas.air.sky, SKY, rough=0.01, glow=1.0)
    canvas.rectangle(0, 0, canvas.width, canvas.height, paint)


def skyline(canvas: Canvas, draws: Draws, towers: bool) -> None:
    """Hills (class tree) or distant towers on the horizon."""
    horizon, width, height = canvas.camera.horizon, canvas.width, canvas.height
    if not towers:
        hills = canvas.paint(draws.tint((74, 100, 70)), TREE, 60, snow=0.5)
        tops = [(width * i / 6, horizon - height * draws.between(0.01, 0.12)) for i in range(7)]
        canvas.polygon([(0, horizon + 1), *tops, (width, horizon + 1)], hills)
        return
    x = -width * draws.unit() * 0.1
    while x < width:
        wide = width * draws.between(0.04, 0.13)
        tower = canvas.paint(draws.tint((118, 118, 128), 30), BUILDING, 55)
        canvas.rectangle(x, horizon - height * draws.between(0.02, 0.16), x + wide, horizon + 1, tower)
        x += wide * draws.between(0.8, 1.8)


def _windows(canvas: Canvas, draws: Draws, x: float, high: float, near: float, far: float, depth: float) -> None:
    lit = canvas.air.light != "day"
    dark = canvas.paint((62, 72, 86), BUILDING, depth, rough=0.02)
    bright = canvas.paint((255, 214, 128), BUILDING, depth, rough=0.02, glow=0.85) if lit else dark
    share = 0.45 if canvas.air.light == "night" else 0.25
    bays = max(1, int((far - near) / 3.2))
    storeys = min(5, int((high - 0.8) / 3.0))
    bay = (far - near) / bays
    for storey in range(storeys):
        low = 1.0 + 3.0 * storey
        if near > 16:  # too small to tell one from the next
            canvas.wall(x, low, low + 1.5, near + 0.6, far - 0.6, bright if draws.chance(share) else dark)
            continue
        for place in range(bays):
            start = near + place * bay
            paint = bright if draws.chance(share) else dark
            canvas.wall(x, low, low + 1.6, start + 0.25 * bay, start + 0.75 * bay, paint)


def building(canvas: Canvas, draws: Draws, side: int, x: float, near: float, far: float, style: str) -> None:
    """A block ("tower") or a gabled house ("house") whose street wall stands at |x| = x on `side`, from near to far."""
    high = draws.between(8, 24) if style == "tower" else draws.between(3.6, 6.2)
    depth = (near + far) / 2
    rgb = draws.tint(draws.pick(_WALLS), 18)
    lit_side = 0.94 if side > 0 else 0.8
    wall = canvas.paint((rgb[0] * lit_side, rgb[1] * lit_side, rgb[2] * lit_side), BUILDING, depth, rough=0.05)
    face = canvas.paint((rgb[0] * 0.7, rgb[1] * 0.7, rgb[2] * 0.7), BUILDING, near, rough=0.05)
    x0, x1 = sorted((side * x, side * (x + 12)))
    at = canvas.camera.at
    if style == "house":
        roof = canvas.paint(draws.tint(draws.pick(_ROOFS)), BUILDING, depth, snow=0.95)
        ridge = high + draws.between(1.8, 3.2)
        middle = side * (x + 4)
        x0, x1 = sorted((side * x, side * (x + 8)))
        canvas.polygon(
            (
                at(side * (x - 0.4), high, near),
                at(middle, ridge, near),
                at(middle, ridge, far),
                at(side * (x - 0.4), high, far),
            ),
            roof,
        )
        canvas.polygon((at(side * x, high, near), at(middle, ridge, near), at(side * (x + 8), high, near)), face)
    canvas.front(x0, x1, 0, high, near, face)
    canvas.wall(side * x, 0, high, near, far, wall)
    _windows(canvas, draws, side * x, high, near, far, depth)
    if style == "tower" and draws.chance(0.5):  # a shop below
        shop = canvas.paint(
            draws.tint(draws.pick(((150, 40, 44), (44, 92, 74), (48, 62, 120), (190, 150, 60)))),
            BUILDING,
            depth,
            glow=0.25,
        )
        canvas.wall(side * (x - 0.5), 2.7, 3.5, near + 0.5, far - 0.5, shop)


def tree(canvas: Canvas, draws: Draws, x: float, z: float, leaves: RGB | None = None) -> None:
    scale = canvas.camera.focal / z
    base_x, base_y = canvas.camera.at(x, 0, z)
    rgb = draws.tint(leaves or draws.pick(LEAVES))
    dark = canvas.paint((rgb[0] * 0.75, rgb[1] * 0.75, rgb[2] * 0.75), TREE, z, rough=0.22, snow=0.3)
    light = canvas.paint((rgb[0] * 1.15, rgb[1] * 1.15, rgb[2] * 1.15), TREE, z, rough=0.22, snow=0.6)
    trunk = canvas.paint(draws.tint((88, 66, 48)), TREE, z, rough=0.1)
    tall = draws.between(3.6, 8.0)
    if draws.chance(0.25):  # a conifer
        canvas.front(x - 0.12, x + 0.12, 0, 0.25 * tall, z, trunk)
        for low, wide in ((0.12, 0.3), (0.36, 0.24), (0.6, 0.17)):
            top = min(1.0, low + 0.42)
            reach, bottom = wide * tall * scale, base_y - low * tall * scale
            corners = ((base_x - reach, bottom), (base_x, base_y - top * tall * scale), (base_x + reach, bottom))
            canvas.polygon(corners, dark if low < 0.3 else light)
        return
    canvas.front(x - 0.16, x + 0.16, 0, 0.6 * tall, z, trunk)
    radius = 0.26 * tall * scale
    for place in range(4):
        dx, dy = (draws.unit() - 0.5) * 1.1 * radius, (draws.unit() - 0.5) * 0.9 * radius
        canvas.ellipse(
            base_x + dx, base_y - 0.68 * tall * scale + dy, 0.85 * radius, 0.75 * radius, light if place > 1 else dark
        )


def bush(canvas: Canvas, draws: Draws, x: float, z: float, leaves: RGB | None = None) -> None:
    scale = canvas.camera.focal / z
    px, py = canvas.camera.at(x, 0, z)
    paint = canvas.paint(draws.tint(leaves or draws.pick(LEAVES)), TREE, z, rough=0.25, snow=0.5)
    size = draws.between(0.5, 1.1) * scale
    canvas.ellipse(px, py - 0.6 * size, size, 0.7 * size, paint)


_FENCES: dict[str, tuple[RGB, float, tuple[tuple[float, float], ...], float]] = {
    # colour, height, the bands (low, high) of each panel as shares of the height, metres between posts
    "rail": ((168, 172, 176), 0.9, ((0.4, 0.95),), 2.5),
    "wood": ((138, 102, 68), 1.3, ((0.08, 1.0),), 2.5),
    "picket": ((226, 224, 214), 1.0, ((0.1, 0.9),), 1.6),
    "iron": ((48, 56, 54), 1.2, ((0.15, 0.3), (0.4, 0.6), (0.7, 0.95)), 2.0),
    "pasture": ((120, 94, 66), 1.2, ((0.3, 0.5), (0.7, 0.95)), 3.0),
    "noise": ((128, 138, 122), 3.2, ((0.0, 1.0),), 4.0),
    "parapet": ((176, 180, 182), 1.25, ((0.0, 0.35), (0.5, 0.7), (0.82, 1.0)), 2.5),
}


def fence_segment(canvas: Canvas, draws: Draws, style: str, x: float, near: float, far: float) -> None:
    """One stretch of fence: its bands, and a post at either end of every panel."""
    rgb, high, bands, spacing = _FENCES[style]
    snow = 0.3
    band = canvas.paint(rgb, FENCE, (near + far) / 2, rough=0.08, snow=snow)
    post = canvas.paint((rgb[0] * 0.72, rgb[1] * 0.72, rgb[2] * 0.72), FENCE, (near + far) / 2, rough=0.05)
    for low, top in bands:
        canvas.wall(x, low * high, top * high, near, far, band)
    for place in range(int((far - near) / spacing) + 1):
        z = near + place * spacing
        canvas.front(x - 0.05, x + 0.05, 0, high, z, post)


def lamp(canvas: Canvas, draws: Draws, side: int, x: float, z: float) -> None:
    """A street lamp whose arm hangs over the road."""
    high = draws.between(4.5, 7.0)
    steel = canvas.paint(draws.tint((104, 108, 108)), POLE, z, rough=0.03)
    head_x = side * (abs(x) - 1.3)
    on = canvas.air.light != "day"
    head = canvas.paint((255, 226, 160) if on else (196, 196, 190), POLE, z, rough=0.0, glow=1.0 if on else 0.0)
    thickness = 0.16 * canvas.camera.focal / z
    at = canvas.camera.at
    canvas.front(x - 0.09, x + 0.09, 0, high, z, steel)
    canvas.line(at(x, high, z), at(head_x, high + 0.25, z), thickness, steel)
    canvas.front(head_x - 0.35, head_x + 0.35, high + 0.05, high + 0.3, z, head)


def dashes(canvas: Canvas, x: float, paint: int, near: float, far: float, period: float) -> None:
    z = near
    while z < far:
        canvas.strip(x - 0.09, x + 0.09, paint, max(1.4, z), z + 0.45 * period)
        z += period


def zebra(canvas: Canvas, half: float, z: float) -> None:
    paint = canvas.paint((228, 228, 222), MARKING, rough=0.06, snow=0.3)
    bars = max(4, round(2 * half / 1.0))
    step = 2 * half / bars
    for place in range(bars):
        left = -half + (place + 0.25) * step
        canvas.strip(left, left + 0.55 * step, paint, z, z + 2.6)


def tunnel(canvas: Canvas, draws: Draws, half: float, mouth: float) -> None:
    """Walls, vault and lamps from the camera to the mouth at z = mouth; what was drawn before is seen through it."""
    high = draws.between(4.4, 5.6)
    if draws.chance(0.6):
        profile = [(-half * math.cos(t), 1.8 + (high - 1.8) * math.sin(t)) for t in (k * math.pi / 6 for k in range(7))]
    else:
        profile = [(-half, high), (half, high)]
    profile = [(-half, 0.0), *profile, (half, 0.0)]
    rgb = draws.tint(draws.pick(((172, 160, 138), (150, 150, 148), (184, 174, 160))), 18)
    at = canvas.camera.at
    sections = (0.7, 2.0, 5.0, 10.0, 18.0, mouth)
    for near, far in pairwise(sections):
        for place, ((x0, y0), (x1, y1)) in enumerate(pairwise(profile)):
            shade = (0.95 if place in (0, len(profile) - 2) else 0.72) * (1.0 - 0.007 * far)
            paint = canvas.paint((rgb[0] * shade, rgb[1] * shade, rgb[2] * shade), BUILDING, 0.5 * near, rough=0.05)
            canvas.polygon((at(x0, y0, near), at(x1, y1, near), at(x1, y1, far), at(x0, y0, far)), paint)
    glow = canvas.paint((255, 232, 176), BUILDING, 4, rough=0.0, glow=1.0)
    z = draws.between(3, 5)
    while z < mouth - 3:
        for x in (-0.45 * half, 0.45 * half):
            y = 1.8 + (high - 1.8) * 0.86
            canvas.polygon(
                (at(x - 0.25, y, z), at(x + 0.25, y, z), at(x + 0.25, y, z + 1.6), at(x - 0.25, y, z + 1.6)), glow
            )
        z += 4.5


_PORTALS = {"cables": (12.0, 0.35), "truss": (5.4, 0.16)}  # height, half thickness


def portal(canvas: Canvas, draws: Draws, half: float, z: float, style: str, rgb: RGB) -> None:
    """A frame across a bridge: two posts and a beam."""
    tall, thick = _PORTALS[style]
    steel = canvas.paint(rgb, POLE, z, rough=0.03)
    for x in (-half, half):
        canvas.front(x - thick, x + thick, 0, tall, z, steel)
    canvas.front(-half, half, tall - 2.4 * thick, tall, z, steel)


def stays(canvas: Canvas, draws: Draws, half: float, z: float, style: str, rgb: RGB, spacing: float) -> None:
    """What holds a bridge beside its road, `spacing` metres a portal: cables, or a truss's chord and diagonal."""
    tall, _ = _PORTALS[style]
    steel = canvas.paint(rgb, POLE, z, rough=0.03)
    at = canvas.camera.at
    width = canvas.camera.focal / z
    near = max(1.2, z - spacing)
    for x in (-half, half):
        if style == "truss":
            canvas.wall(x, tall - 0.3, tall, near, z, steel)
            canvas.line(at(x, tall, z), at(x, 0.8, near), 0.2 * width, steel)
            continue
        for reach in (0.15, 0.3, 0.45):
            for end in (max(1.2, z - reach * spacing), z + reach * spacing):
                canvas.line(at(x, tall * 0.97, z), at(x, 1.0, end), 0.1 * width, steel)


def fields(canvas: Canvas, draws: Draws, edge: float) -> None:
    """Crops of different colours beside the road (class tree, as CamVid's other vegetation)."""
    for side in (-1, 1):
        z = 4.0
        while z < 60:
            far = z * draws.between(1.4, 2.4)
            rgb = draws.pick(((164, 148, 70), (112, 134, 56), (120, 98, 62), (78, 112, 50)))
            paint = canvas.paint(draws.tint(rgb), TREE, rough=0.14, snow=0.95)
            canvas.strip(side * (edge + 2.0), side * 200.0, paint, z, far)
            z = far

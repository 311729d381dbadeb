"""A `streets` scene without its traffic: sky, ground, road, buildings, and what stands beside the road."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cvbench.data.streets_scene import scenery
from cvbench.data.streets_scene.canvas import (
    MARKING,
    PAVEMENT,
    RGB,
    ROAD,
    TREE,
    Atmosphere,
    Camera,
    Canvas,
    Draws,
    atmosphere,
)
from cvbench.data.streets_scene.layouts import Layout

_NEAREST, _FARTHEST = 1.4, 90.0
# Seen from the road, what stands farther out never hides what stands farther in: trees, then fences, then the rest.
_OUTER, _FENCES, _INNER = range(3)


class Street:
    """The road's measures, the canvas, and `standing`: what is drawn last, from far to near."""

    def __init__(self, layout: Layout, height: int, width: int, draws: Draws) -> None:
        self.layout, self.draws = layout, draws
        self.lanes = draws.pick(layout.lanes)
        self.lane_width = draws.between(2.9, 3.6)
        self.half = self.lanes * self.lane_width / 2
        self.pavement = draws.between(*layout.pavement_width) if draws.chance(layout.pavement) else 0.0
        self.back = self.half + self.pavement
        self.own_lane_x = (draws.count(0, self.lanes // 2 - 1) + 0.5) * self.lane_width
        self.air: Atmosphere = atmosphere(draws, sheltered=layout.vault)
        self.canvas = Canvas(height, width, self._camera(height, width), self.air)
        crossing = draws.between(9.0, 14.0)
        self.cross = (crossing, crossing + draws.between(6.5, 8.5)) if layout.crossing else None
        self.zebra: float | None = None
        if draws.chance(layout.zebra):
            self.zebra = self.cross[0] - draws.between(3.0, 3.8) if self.cross else draws.between(6.0, 13.0)
        self.asphalt: RGB = draws.tint(draws.pick(((86, 86, 90), (104, 102, 100), (72, 72, 78))), 8)
        if self.air.weather == "rain":  # wet
            self.asphalt = (self.asphalt[0] * 0.8, self.asphalt[1] * 0.8, self.asphalt[2] * 0.85)
        self.mouth = draws.between(26.0, 55.0)  # of a tunnel
        self._standing: list[tuple[int, float, Callable[..., None], tuple[Any, ...]]] = []

    def _camera(self, height: int, width: int) -> Camera:
        draws = self.draws
        return Camera(
            focal=height * draws.between(0.95, 1.35),
            horizon=height * draws.between(0.34, 0.5),
            centre=width * draws.between(0.42, 0.58),
            height=draws.between(1.3, 1.9),
            offset=self.own_lane_x + draws.between(-0.5, 0.5),
            bend=draws.between(-0.0025, 0.0025) if draws.chance(0.6) else 0.0,
        )

    def stand(self, z: float, draw: Callable[..., None], *arguments: Any, row: int = _INNER) -> None:
        """Has `draw(canvas, draws, *arguments)` called in its turn: outer rows first, each from far to near."""
        self._standing.append((row, -z, draw, arguments))

    def draw_standing(self) -> None:
        for _, _, draw, arguments in sorted(self._standing, key=lambda item: item[:2]):
            draw(self.canvas, self.draws, *arguments)

    def free(self, z: float, margin: float = 2.0) -> bool:
        """Whether nothing crosses the road's side at depth z."""
        return self.cross is None or not self.cross[0] - margin < z < self.cross[1] + margin

    def draw_ground(self) -> None:
        layout, draws, canvas = self.layout, self.draws, self.canvas
        scenery.sky(canvas)
        if draws.chance(0.7):
            scenery.skyline(canvas, draws, towers=draws.chance(0.7 if "tower" in layout.buildings else 0.3))
        soil, soil_class = layout.soil
        rough = 0.12 if soil_class == TREE else 0.05
        canvas.rectangle(0, canvas.camera.horizon, canvas.width, canvas.height,
                         canvas.paint(draws.tint(soil, 22), soil_class, rough=rough, snow=0.95))  # fmt: skip
        if layout.fields:
            scenery.fields(canvas, draws, self.back)
        if layout.vault:
            scenery.tunnel(canvas, draws, self.back + 0.02, self.mouth)
        self._draw_road()
        self._draw_markings()
        self._draw_buildings()

    def _stretches(self) -> list[tuple[float, float]]:
        """Where the road runs without another crossing it, near and far."""
        return [(_NEAREST, self.cross[0]), (self.cross[1], _FARTHEST)] if self.cross else [(_NEAREST, _FARTHEST)]

    def _draw_road(self) -> None:
        draws, canvas, half = self.draws, self.canvas, self.half
        if self.cross:
            paving = canvas.paint((158, 154, 150), PAVEMENT, rough=0.08, snow=0.75)
            if self.pavement:
                canvas.crosswise(self.cross[0] - 1.8, self.cross[1] + 2.2, paving)
            canvas.crosswise(*self.cross, canvas.paint(self.asphalt, ROAD, rough=0.06, snow=0.4))
        canvas.strip(-half, half, canvas.paint(self.asphalt, ROAD, rough=0.06, snow=0.4))
        if self.pavement:
            rgb = draws.tint(draws.pick(((164, 158, 152), (176, 150, 134), (146, 146, 148))), 10)
            paving = canvas.paint(rgb, PAVEMENT, rough=0.1, snow=0.75)
            stone = canvas.paint((206, 204, 198), PAVEMENT, rough=0.04, snow=0.4)
            for side in (-1, 1):
                for near, far in self._stretches():
                    canvas.strip(side * half, side * self.back, paving, near, far)
                    canvas.strip(side * half, side * (half + 0.18), stone, near, far)
        for _ in range(draws.count(0, 3)):  # mended asphalt
            x, z = draws.between(-half, half * 0.6), draws.between(3, 25)
            shade = draws.between(0.72, 1.25)
            rgb = (self.asphalt[0] * shade, self.asphalt[1] * shade, self.asphalt[2] * shade)
            patch = canvas.paint(rgb, ROAD, rough=0.08, snow=0.4)
            canvas.strip(x, min(half, x + draws.between(0.5, 2.5)), patch, z, z + draws.between(1, 6))

    def _draw_markings(self) -> None:
        draws, canvas, half = self.draws, self.canvas, self.half
        if draws.chance(self.layout.markings):
            rgb: RGB = (232, 232, 226) if draws.chance(0.85) else (236, 196, 70)
            paint = canvas.paint(rgb, MARKING, rough=0.06, snow=0.35)
            period = draws.between(3.5, 7.0)
            solid, edges = draws.chance(0.3), not self.pavement or draws.chance(0.3)
            for near, far in self._stretches():
                for lane in range(1, self.lanes):
                    x = -half + lane * self.lane_width
                    if solid and 2 * lane == self.lanes:
                        canvas.strip(x - 0.09, x + 0.09, paint, near, far)
                    else:
                        scenery.dashes(canvas, x, paint, near + draws.unit() * period, min(far, 45.0), period)
                for x in (0.25 - half, half - 0.25) if edges else ():
                    canvas.strip(x - 0.07, x + 0.07, paint, near, far)
        if self.zebra:
            scenery.zebra(canvas, half, self.zebra)

    def _draw_buildings(self) -> None:
        layout, draws = self.layout, self.draws
        if not layout.buildings:
            return
        style = draws.pick(layout.buildings)
        for side in (-1, 1):
            x = self.back + draws.between(*layout.setback)
            row: list[tuple[float, float]] = []
            near = draws.between(2.5, 5.0)
            while near < 75:
                far = near + draws.between(7.0, 16.0)
                if self.cross and near < self.cross[1] + 2.4 and far > self.cross[0] - 1.8:
                    if near < self.cross[0] - 5:
                        row.append((near, self.cross[0] - 1.8))
                    near = self.cross[1] + 2.4
                    continue
                if not draws.chance(layout.gaps):
                    row.append((near, far))
                near = far + (draws.between(0.0, 0.6) if style == "tower" else draws.between(1.5, 4.0))
            for near, far in reversed(row):
                scenery.building(self.canvas, draws, side, x, near, far, style)

    def put_beside(self) -> None:
        """Fences, trees, lamps, portals: whatever stands beside the road and has no box."""
        layout, draws = self.layout, self.draws
        if draws.chance(layout.fence):
            style = draws.pick(layout.fences)
            both = layout.fence == 1.0 or draws.chance(0.5)
            for side in (-1, 1) if both else (draws.pick((-1, 1)),):
                x = side * (self.back + (0.3 if self.pavement else 0.6))
                near = 2.0
                while near < (self.mouth if layout.vault else 60):
                    far = near * 1.35 + 1.0
                    if self.free(near) and self.free(far) and self.free((near + far) / 2):
                        self.stand(near, scenery.fence_segment, style, x, near, far, row=_FENCES)
                    near = far
        leaves = None if draws.chance(0.5) else draws.pick(scenery.LEAVES)
        for _ in range(draws.count(*layout.trees)):
            z = draws.between(5.0, 34.0)
            x = draws.pick((-1, 1)) * (self.back + draws.between(*layout.trees_at))
            if self.free(z):
                self.stand(z, scenery.bush if draws.chance(0.2) else scenery.tree, x, z, leaves, row=_OUTER)
        if draws.chance(layout.lamps):
            side, spacing, z = draws.pick((-1, 1)), draws.between(10.0, 15.0), draws.between(6.0, 12.0)
            for place in range(3):
                if self.free(z + place * spacing, 0.0):
                    self.stand(z + place * spacing, scenery.lamp, side, side * (self.half + 0.5), z + place * spacing)
        if layout.span:
            style, z = draws.pick(("cables", "truss", "truss")), draws.between(7.0, 11.0)
            spacing = draws.between(26.0, 40.0) if style == "cables" else draws.between(5.0, 8.0)
            rgb = draws.tint(draws.pick(((150, 84, 70), (146, 150, 154), (92, 122, 132))))
            while z < 60:
                self.stand(z, scenery.stays, self.back + 0.5, z, style, rgb, spacing, row=_OUTER)
                self.stand(z, scenery.portal, self.back + 0.5, z, style, rgb)
                z += spacing

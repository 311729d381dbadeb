"""The traffic of a `streets` scene: which vehicles, people and signs stand where. Everything here has a box."""

from __future__ import annotations

from typing import NamedTuple

from cvbench.data.streets_scene import things
from cvbench.data.streets_scene.canvas import BIKE, PEDESTRIAN, SIGN, VEHICLE
from cvbench.data.streets_scene.street import Street


class Thing(NamedTuple):
    """What was put into the scene, seen or not. colour: "" where it has none to speak of."""

    kind: str
    kind_class: int
    colour: str


class Traffic:
    """Puts the traffic of `street` into it; thing number n of the canvas is `things[n - 1]`."""

    def __init__(self, street: Street) -> None:
        self.street = street
        self.things: list[Thing] = []
        self._reach = 20.0 if street.air.weather == "fog" else 30.0
        self._put_vehicles()
        # One place beside the road each, so that nobody stands inside somebody else.
        sides = [(side, z) for side in (-1, 1) for z in self._depths(4.5) if z < 22 and street.free(z, 0.0)]
        self._places = street.draws.shuffled(sides)
        self._put_pedestrians()
        self._put_cyclists()
        self._put_signs()

    def _name(self, kind: str, kind_class: int, colour: str = "") -> int:
        self.things.append(Thing(kind, kind_class, colour))
        return len(self.things)

    def _depths(self, near: float) -> list[float]:
        """Places along the road, each a little farther from the last."""
        draws, depths = self.street.draws, []
        z = near * draws.between(1.0, 1.3)
        while z < self._reach:
            depths.append(z)
            z *= draws.between(1.2, 1.45)
        return depths

    def _put_vehicles(self) -> None:
        street, draws = self.street, self.street.draws
        colours = tuple(things.COLOURS)
        slots = []
        for lane in range(street.lanes):
            x = -street.half + (lane + 0.5) * street.lane_width
            # In the camera's own lane a near vehicle would hide the whole scene.
            slots += [(x, z) for z in self._depths(9.0 if abs(x - street.own_lane_x) < 1 else 6.0)]
        slots = [slot for slot in slots if street.free(slot[1], 4.0)]
        for x, z in draws.shuffled(slots)[: draws.count(*street.layout.vehicles)]:
            kind, colour = draws.pick(things.VEHICLES), draws.pick(colours)
            number = self._name(kind, VEHICLE, colour)
            street.stand(z, things.vehicle, number, kind, colour, x + draws.between(-0.25, 0.25), z, x < 0)
        for way in (0, 1) if street.cross else ():
            if street.cross and draws.chance(0.5):
                kind, colour = draws.pick(things.VEHICLES), draws.pick(colours)
                near, far = street.cross
                z = near + (0.25 + 0.5 * way) * (far - near)
                number = self._name(kind, VEHICLE, colour)
                street.stand(z, things.crossing_vehicle, number, kind, colour, draws.between(-0.6, 0.6) * z, z)

    def _put_pedestrians(self) -> None:
        street, draws = self.street, self.street.draws
        for _ in range(draws.count(*street.layout.pedestrians)):
            if street.zebra and draws.chance(0.4):
                x, z = draws.between(-street.half, street.half), street.zebra + draws.between(0.6, 2.0)
            elif self._places:
                side, z = self._places.pop()
                beside = draws.between(0.4, max(0.5, street.pavement - 0.4)) if street.pavement else 0.35
                x = side * (street.half + beside)
            else:
                return
            colour = draws.pick(tuple(things.COLOURS))
            street.stand(z, things.pedestrian, self._name("pedestrian", PEDESTRIAN, colour), colour, x, z)

    def _put_cyclists(self) -> None:
        street, draws = self.street, self.street.draws
        for _ in range(min(len(self._places), draws.count(*street.layout.cyclists))):
            side, z = self._places.pop()
            colour = draws.pick(tuple(things.COLOURS))
            x = side * (street.half - draws.between(0.5, 1.0))
            street.stand(z, things.cyclist, self._name("cyclist", BIKE, colour), colour, x, z)

    def _put_signs(self) -> None:
        street, draws, layout = self.street, self.street.draws, self.street.layout
        for _ in range(min(len(self._places), draws.count(*layout.signs))):
            side, z = self._places.pop()
            x = side * (street.half + (0.2 if layout.vault else 0.55))
            street.stand(z, things.road_sign, self._name("road sign", SIGN), x, z)
        if draws.chance(layout.traffic_lights):
            z = street.cross[0] - 0.6 if street.cross else (street.zebra or 11.0)
            for side in (-1, 1)[draws.count(0, 1) :]:
                number = self._name("traffic light", SIGN)
                street.stand(z, things.traffic_light, number, side * (street.half + 0.5), z)
        if draws.chance(layout.gantry):
            numbers = [self._name("overhead sign", SIGN) for _ in range(draws.count(1, 3))]
            z = draws.between(14.0, 24.0)
            street.stand(z, things.gantry, numbers, street.half + 0.4, z)

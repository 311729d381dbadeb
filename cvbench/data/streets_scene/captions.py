"""Five English sentences about a `streets` scene, each true of what can be seen and of several facts at once.

The templates are few and unlike one another, and every sentence carries things that differ from scene to scene (what,
how many, which colour, where, light and weather): whoever does not look at the image scores low.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cvbench.data.streets_scene.canvas import BUILDING, FENCE, SIGN, TREE, VEHICLE, Draws
from cvbench.data.streets_scene.compose import Drawn, Seen
from cvbench.data.streets_scene.layouts import LAYOUTS

COUNT = 5
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
PLURALS = {"car": "cars", "van": "vans", "bus": "buses", "truck": "trucks", "pedestrian": "pedestrians",
           "cyclist": "cyclists", "road sign": "road signs", "traffic light": "traffic lights",
           "overhead sign": "overhead signs"}  # fmt: skip
_PLACES = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
_ADJECTIVES = {"clear": "clear", "rain": "rainy", "fog": "foggy", "snow": "snowy"}
_AIR = {"clear": "in clear weather", "rain": "in the rain", "fog": "in the fog", "snow": "in falling snow"}
_TIMES = {"day": "by day", "dusk": "at dusk", "night": "at night"}
_IT_IS = {
    "clear": "the weather is clear",
    "rain": "rain is falling",
    "fog": "fog hangs over the road",
    "snow": "it is snowing",
}
_IN = {"city centre": "in", "tunnel": "in", "crossroads": "at"}  # else "on"
_LEAST_SHARE = 0.06  # of the image, for scenery to be spoken of


class _Facts:
    """What the sentences are made of."""

    def __init__(self, drawn: Drawn, draws: Draws) -> None:
        self.drawn, self.draws = drawn, draws
        self.layout = LAYOUTS[drawn.label]
        self.width = drawn.mask.shape[1]
        self.setting = self.layout.name
        self.where = f"{_IN.get(self.setting, 'on')} {_article(self.setting)}"
        shares = np.bincount(drawn.mask.ravel(), minlength=12) / drawn.mask.size
        names = ((BUILDING, "buildings"), (TREE, "greenery"), (FENCE, "a fence"))
        self.scenery = [] if self.layout.vault else [name for kind, name in names if shares[kind] >= _LEAST_SHARE]

    def when(self) -> str:
        """Light and weather; a tunnel has neither."""
        if self.layout.vault:
            return self.draws.pick(("under ceiling lamps", "in artificial light"))
        light, weather = self.drawn.light, self.drawn.weather
        noun = {"day": "day", "dusk": "evening", "night": "night"}[light]
        return self.draws.pick((f"on a {_ADJECTIVES[weather]} {noun}", f"{_AIR[weather]} {_TIMES[light]}"))

    def place(self, thing: Seen) -> str:
        middle = (thing.box[0] + thing.box[2]) / 2 / self.width
        return _PLACES["left" if middle < 0.4 else "right" if middle > 0.6 else "middle"]

    def of(self, *kinds: str) -> list[Seen]:
        return [thing for thing in self.drawn.seen if thing.kind in kinds]

    def vehicles(self) -> list[Seen]:
        return [thing for thing in self.drawn.seen if thing.kind_class == VEHICLE]

    def signs(self) -> list[Seen]:
        return [thing for thing in self.drawn.seen if thing.kind_class == SIGN]


def captions(drawn: Drawn, draws: Draws) -> tuple[str, ...]:
    """Five sentences, each from another template, in random order."""
    facts = _Facts(drawn, draws)
    return tuple(_sentence(template(facts)) for template in draws.shuffled(_TEMPLATES)[:COUNT])


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _single(thing: Seen) -> str:
    """ "a red car", "a pedestrian in blue", "a road sign"."""
    if not thing.colour:
        return _article(thing.kind)
    if thing.kind_class == VEHICLE:
        return _article(f"{thing.colour} {thing.kind}")
    return f"{_article(thing.kind)} in {thing.colour}"


def _counted(count: int, kind: str) -> str:
    """ "no cars", "one car", "three cars"."""
    return f"{NUMBERS[min(count, 12)]} {kind if count == 1 else PLURALS.get(kind, kind + 's')}"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _listed(seen: Sequence[Seen]) -> str:
    """ "a red car, two vans and a pedestrian in blue": one part a kind, colours where a kind stands alone."""
    groups: dict[str, list[Seen]] = {}
    for thing in seen:
        groups.setdefault(thing.kind, []).append(thing)
    parts = [_single(group[0]) if len(group) == 1 else _counted(len(group), kind) for kind, group in groups.items()]
    return _joined(parts)


def _coloured(vehicles: Sequence[Seen]) -> str:
    """ "a red car, two white cars and a blue van": one part a kind and colour."""
    groups: dict[tuple[str, str], int] = {}
    for vehicle in vehicles:
        groups[vehicle.colour, vehicle.kind] = groups.get((vehicle.colour, vehicle.kind), 0) + 1
    parts = []
    for (colour, kind), count in groups.items():
        noun = f"{colour} {kind if count == 1 else PLURALS[kind]}".strip()
        parts.append(_article(noun) if count == 1 else f"{NUMBERS[min(count, 12)]} {noun}")
    return _joined(parts)


def _everything(facts: _Facts) -> str:
    """The kinds of things and their numbers, and where and when."""
    what = _listed(facts.drawn.seen) if facts.drawn.seen else "nobody"
    return f"{what} {facts.where} {facts.when()}"


def _counts(facts: _Facts) -> str:
    """Numbers of vehicles, pedestrians and cyclists."""
    numbers = [_counted(len(facts.vehicles()), "vehicle"), _counted(len(facts.of("pedestrian")), "pedestrian"),
               _counted(len(facts.of("cyclist")), "cyclist")]  # fmt: skip
    return f"{_article(facts.setting)} with {_joined(numbers)}, seen {facts.when()}"


def _places(facts: _Facts) -> str:
    """What is on the left, in the middle, on the right."""
    groups: dict[str, list[Seen]] = {}
    for thing in facts.drawn.seen:
        groups.setdefault(facts.place(thing), []).append(thing)
    if not groups:
        return f"this {facts.setting} is empty from left to right {facts.when()}"
    shown = ((place, groups[place]) for place in _PLACES.values() if place in groups)
    return "; ".join(f"{place} {'is' if len(group) == 1 else 'are'} {_listed(group)}" for place, group in shown)


def _nearest(facts: _Facts) -> str:
    """The nearest thing and where it is."""
    if not facts.drawn.seen:
        return f"nothing stands or moves before the camera, only {_article(facts.setting)} {facts.when()}"
    nearest, rest = facts.drawn.seen[0], len(facts.drawn.seen) - 1
    others = f"with {_counted(rest, 'other thing')} to look out for" if rest else "with nothing else to look out for"
    return f"closest to the camera is {_single(nearest)} {facts.place(nearest)}, {others}"


def _people(facts: _Facts) -> str:
    """Pedestrians and cyclists, what they wear and where they are."""
    people = facts.of("pedestrian", "cyclist")
    if not people:
        return (
            f"nobody walks or cycles here, and {_counted(len(facts.vehicles()), 'vehicle')} can be seen {facts.when()}"
        )
    parts = [f"{_single(person)} {facts.place(person)}" for person in people[:3]]
    more = [f"{NUMBERS[min(len(people) - 3, 12)]} more"] if len(people) > 3 else []
    return f"we see {_joined(parts + more)} {facts.when()}"


def _vehicles(facts: _Facts) -> str:
    """The vehicles one by one, with colours."""
    vehicles = facts.vehicles()
    if not vehicles:
        others = _listed(facts.drawn.seen) if facts.drawn.seen else "asphalt"
        return f"no vehicle is on the road, just {others}, while {_weather(facts)}"
    return f"{_coloured(vehicles)} {'shares' if len(vehicles) == 1 else 'share'} the road while {_weather(facts)}"


def _weather(facts: _Facts) -> str:
    return "lamps light the walls" if facts.layout.vault else _IT_IS[facts.drawn.weather]


def _surroundings(facts: _Facts) -> str:
    """Scenery and signs."""
    bare = "between bare walls" if facts.layout.vault else "in the open"
    around = f"between {_joined(facts.scenery)}" if facts.scenery else bare
    signs = facts.signs()
    seen = " and ".join(f"{_article(sign.kind)} {facts.place(sign)}" for sign in signs[:2])
    more = f" besides {_counted(len(signs) - 2, 'other sign')}" if len(signs) > 2 else ""
    return f"{facts.setting} {around}, with {seen or 'no sign'}{more}, {facts.when()}"


_TEMPLATES: tuple[Callable[[_Facts], str], ...] = (
    _everything, _counts, _places, _nearest, _people, _vehicles, _surroundings,
)  # fmt: skip

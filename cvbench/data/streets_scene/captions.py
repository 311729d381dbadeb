"""Five English sentences about a `streets` scene, each true of what can be seen and of several facts at once.

Every sentence says what there is, where and when, in another order and in other words: none of them is the safe one
that fits most scenes, so whoever does not look at the image scores low, whichever sentence is taken for a model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cvbench.data.streets_scene.canvas import VEHICLE, Draws
from cvbench.data.streets_scene.compose import Drawn, Seen
from cvbench.data.streets_scene.layouts import LAYOUTS

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
PLURALS = {"car": "cars", "van": "vans", "bus": "buses", "truck": "trucks", "pedestrian": "pedestrians",
           "cyclist": "cyclists", "road sign": "road signs", "traffic light": "traffic lights",
           "overhead sign": "overhead signs"}  # fmt: skip
_PLACES = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
_ADJECTIVES = {"clear": "clear", "rain": "rainy", "fog": "foggy", "snow": "snowy"}
_AIR = {"clear": "in clear weather", "rain": "in the rain", "fog": "in the fog", "snow": "in falling snow"}
_TIMES = {"day": "by day", "dusk": "at dusk", "night": "at night"}
_IN = {"city centre": "in", "tunnel": "in", "crossroads": "at"}  # else "on"


class _Facts:
    """What the sentences are made of."""

    def __init__(self, drawn: Drawn, draws: Draws) -> None:
        self.drawn, self.draws = drawn, draws
        self.layout = LAYOUTS[drawn.label]
        self.width = drawn.mask.shape[1]
        self.setting = _article(self.layout.name)
        self.where = f"{_IN.get(self.layout.name, 'on')} {self.setting}"

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

    def what(self) -> str:
        """The two kinds of things that are nearest, with their numbers."""
        return _listed(self.drawn.seen, most=2) if self.drawn.seen else "nobody"


def captions(drawn: Drawn, draws: Draws) -> tuple[str, ...]:
    """A sentence of each template, in random order."""
    facts = _Facts(drawn, draws)
    return tuple(_sentence(template(facts)) for template in draws.shuffled(_TEMPLATES))


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


def _listed(seen: Sequence[Seen], most: int) -> str:
    """ "a red car, two vans and a pedestrian in blue": one part a kind, colours where a kind stands alone."""
    groups: dict[str, list[Seen]] = {}
    for thing in seen:
        groups.setdefault(thing.kind, []).append(thing)
    parts = [_single(group[0]) if len(group) == 1 else _counted(len(group), kind) for kind, group in groups.items()]
    return _joined(parts[:most])


def _things(facts: _Facts) -> str:
    return f"{facts.what()} {facts.where} {facts.when()}"


def _scene(facts: _Facts) -> str:
    return f"{facts.setting} {facts.when()} with {facts.what()}"


def _time(facts: _Facts) -> str:
    return f"{facts.when()}, {facts.what()} can be seen {facts.where}"


def _nearest(facts: _Facts) -> str:
    """The nearest thing and its place."""
    if not facts.drawn.seen:
        return f"nothing stands or moves {facts.where} {facts.when()}"
    nearest = facts.drawn.seen[0]
    return f"the nearest thing {facts.where} is {_single(nearest)} {facts.place(nearest)} {facts.when()}"


def _seen(facts: _Facts) -> str:
    return f"we see {facts.setting} {facts.when()} and {facts.what()}"


_TEMPLATES: tuple[Callable[[_Facts], str], ...] = (_things, _scene, _time, _nearest, _seen)
COUNT = len(_TEMPLATES)

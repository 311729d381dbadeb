"""What each kind of `streets` scene is made of: the table behind the labels of its classification task."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from cvbench.data.streets_scene.canvas import PAVEMENT, RGB, TREE


@dataclass(frozen=True)
class Layout:
    """Counts are inclusive ranges, odds are shares of the scenes, lengths are metres."""

    name: str
    lanes: tuple[int, ...] = (2,)
    pavement: float = 0.0  # odds
    pavement_width: tuple[float, float] = (2.0, 3.2)
    soil: tuple[RGB, int] = ((92, 122, 58), TREE)  # colour and class of the ground beside the road
    buildings: tuple[str, ...] = ()
    gaps: float = 0.0  # odds of a gap for each building
    setback: tuple[float, float] = (0.0, 0.5)
    fences: tuple[str, ...] = ()
    fence: float = 0.0  # odds
    trees: tuple[int, int] = (0, 2)
    trees_at: tuple[float, float] = (0.3, 0.8)  # metres behind the pavement
    lamps: float = 0.3  # odds
    markings: float = 0.8  # odds
    zebra: float = 0.0  # odds
    vehicles: tuple[int, int] = (0, 3)
    pedestrians: tuple[int, int] = (0, 0)
    cyclists: tuple[int, int] = (0, 0)
    signs: tuple[int, int] = (0, 2)
    traffic_lights: float = 0.0  # odds
    crossing: bool = False  # another road crosses
    span: bool = False  # a bridge's portals
    vault: bool = False  # inside a tunnel
    gantry: float = 0.0  # odds of boards over the road
    fields: bool = False


_PAVED: tuple[RGB, int] = ((150, 146, 142), PAVEMENT)

LAYOUTS: tuple[Layout, ...] = (
    Layout("highway", lanes=(4, 6), fences=("rail", "rail", "noise"), fence=1.0, trees=(0, 4), trees_at=(2.5, 7.0),
           markings=1.0, vehicles=(2, 6), signs=(0, 1), gantry=0.5),
    Layout("city centre", lanes=(2, 4), pavement=1.0, soil=_PAVED, buildings=("tower",), gaps=0.08, trees=(0, 3),
           fences=("iron", "rail"), fence=0.25, lamps=0.5, zebra=0.4, vehicles=(1, 5), pedestrians=(1, 5),
           cyclists=(0, 2), signs=(0, 3), traffic_lights=0.35),
    Layout("residential street", pavement=0.9, buildings=("house",), gaps=0.3, setback=(2.0, 5.0), trees=(1, 5),
           trees_at=(0.6, 1.8), fences=("wood", "picket", "iron"), fence=0.75, lamps=0.4, markings=0.4, zebra=0.1,
           vehicles=(1, 4), pedestrians=(0, 3), cyclists=(0, 2)),
    Layout("park road", pavement=0.8, trees=(9, 14), trees_at=(0.8, 4.0), fences=("iron", "wood"), fence=0.45,
           lamps=0.5, markings=0.35, zebra=0.1, vehicles=(0, 2), pedestrians=(1, 4), cyclists=(0, 3)),
    Layout("country road", fences=("pasture", "wood"), fence=0.6, trees=(0, 5), trees_at=(2.0, 9.0), lamps=0.1,
           markings=0.6, vehicles=(0, 3), pedestrians=(0, 1), cyclists=(0, 2), signs=(0, 3), fields=True),
    Layout("crossroads", lanes=(2, 2, 4), pavement=0.9, soil=_PAVED, buildings=("tower", "house"), gaps=0.15,
           setback=(0.0, 1.5), trees=(0, 3), fences=("iron", "wood"), fence=0.25, lamps=0.4, zebra=0.75,
           vehicles=(1, 3), pedestrians=(0, 4), cyclists=(0, 2), traffic_lights=0.75, crossing=True),
    Layout("bridge", lanes=(2, 4), pavement=0.55, pavement_width=(1.2, 2.0), soil=((66, 98, 60), TREE),
           fences=("parapet", "rail"), fence=1.0, trees=(0, 0), lamps=0.35, markings=0.9, vehicles=(1, 4),
           pedestrians=(0, 2), cyclists=(0, 2), signs=(0, 1), span=True),
    Layout("tunnel", lanes=(2, 4), pavement=0.6, pavement_width=(0.8, 1.3), trees=(0, 0), lamps=0.0, markings=0.9,
           vehicles=(1, 5), pedestrians=(0, 1), cyclists=(0, 1), fences=("rail",), fence=0.15, vault=True),
)  # fmt: skip
SCENES: tuple[str, ...] = tuple(layout.name for layout in LAYOUTS)


def label_of(seed: int, role: str, index: int) -> int:
    """The kind of scene `index`, without drawing it. Every 8 scenes hold each kind once, in a turn that varies."""
    turn, place = divmod(index, len(LAYOUTS))
    return (place + zlib.crc32(f"{seed}/{role}/{turn}".encode())) % len(LAYOUTS)

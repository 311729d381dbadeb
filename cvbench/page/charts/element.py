"""SVG elements as harmless text: every attribute and every word is escaped, every number written the same way."""

from __future__ import annotations

from typing import Literal

from markupsafe import Markup, escape

from cvbench.page import text

Anchor = Literal["start", "middle", "end"]


def element(name: str, *children: object, **attributes: object) -> Markup:
    """`<name attributes>children</name>`; `stroke_width` is `stroke-width`, `class_` is `class`; None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(child if isinstance(child, Markup) else escape(text.xml(child)) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


def picture(width: float, height: float, words: str, *children: Markup, class_: str = "chart") -> Markup:
    """A chart of its own; words: what it shows, for who cannot see it."""
    size = {"viewBox": f"0 0 {_plain(width)} {_plain(height)}", "width": width, "height": height}
    return element("svg", element("title", words), *children, class_=class_, role="img", **size)


def path(points: list[tuple[float, float]], **attributes: object) -> Markup:
    """A line through all points."""
    return element("path", d="M" + "L".join(f"{_plain(x)} {_plain(y)}" for x, y in points), **attributes)


def words(x: float, y: float, shown: object, look: str, anchor: Anchor = "start") -> Markup:
    """Text that starts, has its middle or ends at x; look: classes of the style sheet, which has one an anchor too."""
    return element("text", shown, x=x, y=y, class_=look if anchor == "start" else f"{look} {anchor}")


def _plain(value: object) -> str:
    """A tenth of a pixel is as fine as anybody sees."""
    if isinstance(value, float):
        shown = f"{value:.1f}"
        return "0" if shown == "-0.0" else shown.removesuffix(".0")
    return text.xml(value)

"""Numbers and names as people read them, and names made harmless for the format they go into."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

NOTHING = "–"  # noqa: RUF001
MINUS = "−"  # noqa: RUF001

# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What Markdown (GitHub's) or HTML would read as markup anywhere in a line; `_` only matters at the edge of a word.
_MARKUP = re.compile(r"[\\`*\[\]~$|]|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def percent(value: float | None) -> str:
    """0.5562 -> `55.62`."""
    return NOTHING if value is None else f"{100 * value:.2f}"


def plain(value: float | None) -> str:
    """A metric that is shown as it is."""
    return NOTHING if value is None else f"{value:.3f}"


def spread(mean: float | None, sd: float | None, *, hundredfold: bool) -> str:
    """`55.62 ± 0.41`, or the mean alone where one seed gives no sd."""
    show = percent if hundredfold else plain
    return show(mean) if mean is None or sd is None else f"{show(mean)} ± {show(sd)}"


def signed(value: float, *, hundredfold: bool) -> str:
    """0.1 -> `+10.00`; a difference, with the sign that belongs to typography."""
    return (f"{100 * value:+.2f}" if hundredfold else f"{value:+.3f}").replace("-", MINUS)


def between(low: float, high: float, *, hundredfold: bool) -> str:
    """`[77.00, 83.00]`, an interval."""
    show = percent if hundredfold else plain
    return f"[{show(low)}, {show(high)}]".replace("-", MINUS)


def chance(p: float) -> str:
    """0.0312 -> `p = 0.031`, never broken over two lines; what is smaller than a thousandth only says so."""
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{p:.3f}"


def energy(joules: float | None) -> str:
    """12.34 -> `12.3 J`, 5400 -> `1.50 Wh`, 7.2e6 -> `2.00 kWh`."""
    if joules is None:
        return NOTHING
    for power, unit in ((3.6e6, "kWh"), (3600, "Wh")):
        if joules >= 0.9995 * power:
            return f"{_three_digits(joules / power)} {unit}"
    return f"{_three_digits(joules)} J"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def count(value: float | None) -> str:
    """61100840 -> `61.1M`: three digits and the power of a thousand."""
    if value is None:
        return NOTHING
    for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * power:
            return _three_digits(value / power) + letter
    return f"{value:.0f}" if value == round(value) else _three_digits(value)


def duration(seconds: float | None) -> str:
    """0.00003 -> `30.0 µs`, 0.0021 -> `2.10 ms`, 75 -> `75.0 s`, 605 -> `10 min 05 s`, 7300 -> `2 h 02 min`."""
    if seconds is None:
        return NOTHING
    if seconds < 0.9995e-3:
        return f"{_three_digits(1e6 * seconds)} µs"
    if seconds < 0.9995:
        return f"{_three_digits(1e3 * seconds)} ms"
    if seconds < 99.95:
        return f"{_three_digits(seconds)} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(number: float | None) -> str:
    """Bytes -> `512 MiB`."""
    if number is None:
        return NOTHING
    for power, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= power:
            return f"{_three_digits(number / power)} {unit}"
    return f"{number:.0f} B"


def settings(values: Mapping[str, Any]) -> str:
    """`{"classes": 11}` -> `classes 11`; nested ones in brackets."""
    return ", ".join(f"{key} {setting(value)}" for key, value in values.items())


def markdown(value: object) -> str:
    """One line of text that Markdown shows as it is, in a table's cell too."""
    line = " ".join(str(value).split())
    line = re.sub("[&<>]", lambda match: _ENTITIES[match[0]], line)
    return _MARKUP.sub(lambda match: "\\" + match[0], line)


def code(value: object) -> str:
    """Text as Markdown code: fenced by more backticks than it has, and one line."""
    line = " ".join(str(value).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def xml(value: object) -> str:
    """One line of text that XML can hold; its markup is still to be escaped."""
    return printable(" ".join(str(value).split()))


def printable(value: object) -> str:
    """Text that XML and HTML can hold, its spaces as they are; its markup is still to be escaped."""
    return _NOT_XML.sub("\ufffd", str(value))


def cells(words: str) -> int:
    """How many cells of a monospaced font a text takes: none for a combining mark, two for a wide letter, else one."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in words)


def shortened(words: str, most: int) -> str:
    """At most that many cells; a longer text loses its middle, because names often differ in their ends."""
    left, right = words[: (len(words) + 1) // 2], words[(len(words) + 1) // 2 :]
    short = words
    while (left or right) and cells(short) > most:
        left, right = (left[:-1], right) if cells(left) > cells(right) else (left, right[1:])
        short = f"{left}…{right}"
    return short


def csv_cell(value: object) -> object:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it; numbers stay numbers."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return "'" + value
    return value


def _three_digits(value: float) -> str:
    """12.345 -> `12.3`, 1234.5 -> `1235`, 5 -> `5.00`."""
    digits = next((digits for limit, digits in ((9.995, 2), (99.95, 1)) if value < limit), 0)
    return f"{value:.{digits}f}"


def setting(value: Any) -> str:
    """One value of `settings`."""
    if isinstance(value, Mapping):
        return f"({settings(value)})" if value else "none"
    if isinstance(value, list | tuple):
        if not (len(value) == 2 and all(isinstance(number, int) for number in value)):
            return f"[{', '.join(map(str, value))}]"
        return " × ".join(map(str, value))  # noqa: RUF001
    names = {True: "yes", False: "no", None: "none"}
    return names[value] if isinstance(value, bool | None) else str(value)

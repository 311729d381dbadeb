"""`dotted.key=value` of the command line, put into a benchmark as it was read from its file."""

from __future__ import annotations

from typing import Any

from cvbench.yamlfile import Document, Loc, Problem, SpecError, parse_value


class NotHereError(LookupError):
    """This benchmark has no such dataset or model; another one of the suite may have it."""


class _OverrideError(ValueError):
    """Why an override cannot be put where it says."""


def override(document: Document, text: str) -> Problem | None:
    """Puts one override into `document.data`; a problem where it cannot be put, such as through a scalar.

    Items of `datasets` and `models` go by label, name or index. A key of `recipe` is also taken out of the recipes of
    single datasets and models, so that the command line wins over all that the file says. Whether key and value are
    right is for the validation that follows: `document` remembers where the value came from. Raises NotHereError.
    """
    path, equals, value = text.partition("=")
    try:
        if not equals or not path:
            raise _OverrideError("Expected dotted.key=value")
        loc = _put(document.data, path, parse_value(value))
        if path.startswith("recipe."):
            _take_out(document.data, path.split("."))
    except SpecError as error:
        return Problem("command line", None, f"{text}: {error.problems[0].message}")
    except _OverrideError as error:
        return Problem("command line", None, f"{text}: {error}")
    for below in [place for place in (*document.lines, *document.overrides) if place[: len(loc)] == loc]:
        document.lines.pop(below, None)
        document.overrides.pop(below, None)
    document.overrides[loc] = text
    return None


def _put(data: dict[str, Any], path: str, value: Any) -> Loc:
    """Walks to the end of `path`, making mappings where there are none, and sets the value.

    Returns where that is, or where the first mapping was made: all below it is the override's.
    """
    here: Any = data
    loc: Loc = ()
    made: Loc | None = None
    rest = path
    while rest:
        done = path[: len(path) - len(rest)].rstrip(".")
        key: str | int
        if isinstance(here, list):
            key, rest = _item(here, rest, done)
        elif isinstance(here, dict):
            # `tune: {augment.flip: [false, true]}` has a key with a dot in it
            key, _, rest = (rest, "", "") if rest in here else rest.partition(".")
        else:
            raise _OverrideError(f"{done} is {here!r} and has no keys")
        loc = (*loc, key)
        if not rest:
            here[key] = value
        elif isinstance(here, dict) and here.get(key) is None:
            here[key] = {}
            made = made or loc
        here = here[key]
    return made or loc


def _take_out(data: dict[str, Any], path: list[str]) -> None:
    """The key that ends `path` from the recipe of each dataset and model; a length in steps or epochs goes for both."""
    *above, last = path
    items = [item for kind in ("datasets", "models") for item in _as_list(data.get(kind)) if isinstance(item, dict)]
    for item in items:
        here: Any = item
        for key in above:
            here = here.get(key) if isinstance(here, dict) else None
        for name in ("epochs", "steps") if last in ("epochs", "steps") else (last,):
            if isinstance(here, dict):
                here.pop(name, None)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _item(items: list[Any], rest: str, path: str) -> tuple[int, str]:
    """(index, what is left) of the item of the list at `path` that `rest` begins with. A name may have dots in it."""
    for key in ("label", "name"):
        names = {item[key] for item in items if isinstance(item, dict) and isinstance(item.get(key), str)}
        fitting = [name for name in names if f"{rest}.".startswith(f"{name}.")]
        if fitting:
            name = max(fitting, key=len)
            found = [index for index, item in enumerate(items) if isinstance(item, dict) and item.get(key) == name]
            if len(found) > 1:
                raise _OverrideError(f"{len(found)} items are called {name!r}; go by index, {found[0]} or {found[1]}")
            return found[0], rest[len(name) + 1 :]
    first, _, rest = rest.partition(".")
    if not first.isdecimal() and path in ("datasets", "models"):
        raise NotHereError(first)
    if not first.isdecimal():
        raise _OverrideError(f"{path} is a list: go by index, or replace it ({path}=…)")
    if int(first) >= len(items):
        raise _OverrideError(f"Expected an index below {len(items)}, but got {first}")
    return int(first), rest

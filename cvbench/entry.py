"""`Entry`: one name of the catalog, what its file says of itself, and its `build`."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvbench.declaration import Option


class UnknownNameError(ValueError):
    """A name that the catalog does not have; the message lists the nearest."""


@dataclass(frozen=True)
class Entry:
    """One file of the catalog. `module` is what is imported to build it; `tasks` are those that it serves.

    takes_task: `build` of a dataset that serves several tasks asks which. embedded: it needs nothing on disk.
    open_options: a zoo's or somebody's own
    `build`; options are passed on unchecked. zoo: the model is built by its name from a library.
    """

    kind: str
    name: str
    file: Path | None
    module: str
    summary: str = ""
    year: str = ""
    source: str = ""
    licence: str = ""
    tasks: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    version: int | None = None
    takes_task: bool = False
    embedded: bool = False
    open_options: bool = False
    zoo: bool = False

    @property
    def plugin(self) -> bool:
        """Whether it is somebody's own `my_package.my_file:build`, which is not imported before it is run."""
        return ":" in self.module

    def build(self) -> Callable[..., Any]:
        """Imports the file and returns its `build`. Importing a plug-in runs its author's code.

        Raises UnknownNameError where there is no such plug-in; what its code raises passes through.
        """
        module, _, function = self.module.partition(":")
        if self.plugin and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # as `python -m` has it, which the `cvbench` command has not
        try:
            loaded = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not self.plugin or error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            remedy = "install it, or call cvbench from the folder that it lies in"
            raise UnknownNameError(f"{self.module}: there is no module {error.name!r}; {remedy}") from error
        try:
            return getattr(loaded, function or "build")  # type: ignore[no-any-return]
        except AttributeError:
            defined = [name for name in vars(loaded) if not name.startswith("_")]
            wanted = function or "build"
            raise UnknownNameError(f"{self.module}: {module} has no {wanted!r}{nearest(wanted, defined)}") from None


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'camvid'?`, or the whole list where nothing is near and it is short."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        best = difflib.SequenceMatcher(None, close[0], name).ratio()
        close = difflib.get_close_matches(name, close, n=3, cutoff=max(0.5, best - 0.15))
        return "; did you mean " + " or ".join(repr(match) for match in close) + "?"
    return f"; known: {', '.join(known)}" if len(known) <= 20 else ""

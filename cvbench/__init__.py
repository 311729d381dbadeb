"""cvbench trains, compares and ranks computer-vision architectures so that others believe the result.

The same from Python as from the command line: `load_suite`, `plan`, `execute`, `load_records`, `load_model`; and
`tuned`, which gives the runs that follow from a suite's candidates. Importing `cvbench` imports nothing else; each name
is looked up when it is first used.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvbench.executors.execute import execute
    from cvbench.plan import plan
    from cvbench.record import load_records
    from cvbench.suite import load_suite
    from cvbench.trained import load_model
    from cvbench.tuning import tuned

__version__ = "0.1.0"
__all__ = ["__version__", "execute", "load_model", "load_records", "load_suite", "plan", "tuned"]

_HOMES = {
    "load_suite": "cvbench.suite",
    "plan": "cvbench.plan",
    "execute": "cvbench.executors.execute",
    "load_records": "cvbench.record",
    "load_model": "cvbench.trained",
    "tuned": "cvbench.tuning",
}


class _Package(ModuleType):
    """`cvbench.plan` is the function. Python would bind its submodule instead, once somebody imports it."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'cvbench' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""`python -m tests.speed [--only NAME]`: every module here that has `measure()`, one table, exit 1 below a target."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
import traceback
from pathlib import Path

from tests.speed.timing import Row

NOT_MEASURED = {"__main__", "__init__", "timing"}
# Read once, when the measured modules import numpy and torch.
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; returns 0 if every target is reached, 1 if one is not or a module fails, 2 for a wrong name."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="measure this module alone")
    only = parser.parse_args(arguments).only
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_MEASURED)
    if only is not None and only not in names:
        near = difflib.get_close_matches(only, names, n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        print(f"Expected --only to be one of {', '.join(names)}, but got {only!r}{guess}", file=sys.stderr)
        return 2
    os.environ |= dict.fromkeys(ONE_THREAD, "1")
    rows: list[Row] = []
    failed: list[str] = []
    for name in names if only is None else [only]:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            module = importlib.import_module(f"tests.speed.{name}")
            if hasattr(module, "measure"):  # else it serves the others, as data or a counterpart
                rows += module.measure()
        except Exception:  # the other modules' numbers are still wanted
            traceback.print_exc()
            failed.append(name)
    print(table(rows))
    for name in failed:
        print(f"{name}: failed, see above")
    return 0 if rows and not failed and all(row.reached for row in rows) else 1


def table(rows: list[Row]) -> str:
    """One line a row: times with a fitting unit, ratio, target, verdict."""
    width = max([len(row.name) for row in rows] + [4])
    lines = [f"{'what':<{width}}  {'ours':>9}  {'reference':>9}  {'ratio':>7}  {'target':>7}  verdict"]
    lines += [
        f"{row.name:<{width}}  {_shown(row.ours_s, row.unit):>9}  {_shown(row.reference_s, row.unit):>9}  "
        f"{row.ratio:>6.2f}x  {row.target:>6.2f}x  {'ok' if row.reached else 'BELOW TARGET'}"
        for row in rows
    ]
    return "\n".join(lines)


def _shown(value: float, unit: str) -> str:
    return f"{value * 1e3:.3f} ms" if unit == "s" and value < 1 else f"{value:.2f} {unit}"


if __name__ == "__main__":
    sys.exit(main())
